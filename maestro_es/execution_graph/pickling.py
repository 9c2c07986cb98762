"""Pickles of a graph and its views: the path and the id of a study, and no state. So a pickle is never out of date.

`pickle` writes protocol 0 of Python's pickles, which is text. So ``pickle.load`` can read the file. `unpickle` only
compares the text with the one form that we write, because a pickle that is executed can call any function.
"""

from __future__ import annotations

import os
import re
from _thread import get_ident
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from maestro_es.core import arguments
from maestro_es.core.model import Driver
from maestro_es.errors import NotAPointer, NotAStudy, StudyElsewhere
from maestro_es.execution_graph.base import GraphBase, refreshed
from maestro_es.files import replace_file
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

#: What a file begins with: the function that is called, and its first argument, the class.
_HEAD = b"cmaestro_es.execution_graph.pickling\nreopen\n(cmaestro_es.execution_graph\nExecutionGraph\n"

#: The whole file: the path and the id are lines with escapes, then come a tuple, a call and the end.
_FORM = re.compile(re.escape(_HEAD) + rb"V([^\n]*)\nV([0-9a-f]+)\ntR\.")

#: Characters that protocol 0 escapes besides those that its encoding does.
_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "\\\0\n\r\x1a"}

#: So much of a file is read: far more than a path is long, and enough to recognize a pickle of Maestro's.
_LONGEST = 2**20


class PicklableGraph(GraphBase):
    """The part of `ExecutionGraph` that can be pickled and copied: the copy is open on the same study."""

    def pickle(self, path: str | os.PathLike[str]) -> None:
        """Write where the study is, and its id, to a file that `unpickle` and ``pickle.load`` read.

        The file is replaced whole. OSError if it can't be written.
        """
        root, study_id = self._pointer()
        lines = ("V" + "".join(_ESCAPES.get(char, char) for char in text) + "\n" for text in (root, study_id))
        content = _HEAD + "".join(lines).encode("raw-unicode-escape") + b"tR."
        replace_file(Path(arguments.path("path", path)), content, 0o666, durable=False)

    @classmethod
    def unpickle(cls, path: str | os.PathLike[str]) -> Self:
        """Open the study that a file of `pickle` points to. The file is parsed and never executed.

        NotAPointer, which is a TypeError, if another program has written it; StudyElsewhere if the study was moved,
        deleted or replaced; OSError if the file can't be read.
        """
        file = Path(arguments.path("path", path))
        with file.open("rb") as opened:
            content = opened.read(_LONGEST)
        match = _FORM.fullmatch(content)
        if match is None:
            raise NotAPointer(f"{file}: {_other(content, file)}")
        root, study_id = (text.decode("raw-unicode-escape") for text in match.groups())
        return cls._reopen(root, study_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (type(self), *self._pointer())

    def __copy__(self) -> Self:
        return self._reopen(*self._pointer(), self._study.runtime)

    def __deepcopy__(self, _memo: object) -> Self:
        return self.__copy__()

    def _pointer(self) -> tuple[str, str]:
        return os.path.abspath(self.path), self._fresh().study.study_id  # noqa: PTH100 - links stay

    @classmethod
    def _reopen(cls, path: str, study_id: str, runtime: Runtime | None = None) -> Self:
        return cls._of(_session_at(path, study_id, runtime))


def _session_at(path: str, study_id: str, runtime: Runtime | None = None) -> Session:
    """Open a study. StudyElsewhere if it is not there."""
    try:
        study = Session(Path(path), runtime or Runtime(driver=Driver.PROGRAM))
    except NotAStudy:
        message = f"{path}: the study {study_id} is not here any more: it was moved or deleted; if it was moved, "
        raise StudyElsewhere(f"{message}open it with ExecutionGraph.open at its new place") from None
    actual = refreshed(study).study.study_id
    if actual != study_id:
        study.log.close()
        raise StudyElsewhere(f"{path}: another study, {actual}, is here; the pickle points to {study_id}")
    return study


#: The studies of the views that were unpickled, by process and thread: a study's steps share one.
_SHARED: WeakValueDictionary[tuple[int, int, str, str], Session] = WeakValueDictionary()


def view_pickle(view: type, study: Session, *more: object) -> tuple[Any, ...]:
    """Return what `__reduce__` of a view of a study returns: a pointer to the study, and no state."""
    return reopen_view, (view, os.path.abspath(study.dir.root), refreshed(study).study.study_id, *more)  # noqa: PTH100 - links stay


def reopen_view(view: Callable[..., object], path: str, study_id: str, *more: object) -> object:
    """Make a view of a study again: what a pickle calls. StudyElsewhere if the study is not there."""
    key = (os.getpid(), get_ident(), path, study_id)
    study = _SHARED.get(key)
    if study is None:
        study = _SHARED[key] = _session_at(path, study_id)
    return view(study, *more)


def reopen(graph_class: type[PicklableGraph], path: str, study_id: str) -> PicklableGraph:
    """Open a study again: what a pickle calls. StudyElsewhere if it is not there."""
    return graph_class._reopen(path, study_id)  # noqa: SLF001 - one of our own


def _other(content: bytes, file: Path) -> str:
    """Return what a file is that is no pointer of ours."""
    if b"maestrowf" in content:
        remedy = f"'maestro-es import {file.parent}' takes its study over"
        return f"a pickle of Maestro's, which could run any program and is not read; {remedy}"
    if b"maestro_es" in content:
        return "not written by ExecutionGraph.pickle; read it with the program that has written it"
    return "no pickle of an ExecutionGraph"
