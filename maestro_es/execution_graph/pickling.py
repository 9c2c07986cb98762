"""Pickles a graph and its views. A pickle contains the path and the id of a study, and no state.

So a pickle is never out of date. `pickle` writes protocol 0 of Python's pickles, which is text, and ``pickle.load``
can read it. `unpickle` never executes a file, because an executed pickle can call any function. It accepts only the
one form that `pickle` writes.
"""

from __future__ import annotations

import errno
import os
import re
from _thread import get_ident
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from maestro_es.core import arguments
from maestro_es.core.file_names import TAKEN
from maestro_es.errors import LogUnavailable, NotAPointer, NotAStudy, RequestRefused, StudyElsewhere
from maestro_es.execution_graph.base import GraphBase, refreshed
from maestro_es.files import replace_file
from maestro_es.study.invocation import Driver, Runtime
from maestro_es.study.session import Session

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

#: The beginning of a file: the function to call, and its first argument, the class.
_HEAD = b"cmaestro_es.execution_graph.pickling\nreopen\n(cmaestro_es.execution_graph\nExecutionGraph\n"

#: The whole file. The path and the id are lines with escapes. The opcodes for a tuple, a call and the end follow.
_FORM = re.compile(re.escape(_HEAD) + rb"V([^\n]*)\nV([0-9a-f]+)\ntR\.")

#: Characters that protocol 0 escapes in addition to those that its encoding escapes.
_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "\\\0\n\r\x1a"}

#: How many bytes of a file are read. No path is that long, and this part is enough to recognise a pickle of Maestro's.
_LONGEST = 2**20


class PicklableGraph(GraphBase):
    """The part of `ExecutionGraph` that pickles and copies. A copy is a second object for the same study."""

    def pickle(self, path: str | os.PathLike[str]) -> None:
        """Write the path and the id of the study to a file for `unpickle` or ``pickle.load``.

        The file is replaced atomically. RequestRefused for the name of a file that each study has, such as its log.
        OSError if the file can't be written, or is a directory. LogUnavailable if the study was moved or deleted.
        """
        file = _of_no_study(Path(arguments.path("path", path)))
        root, study_id = self._pointer()
        lines = ("V" + "".join(_ESCAPES.get(char, char) for char in text) + "\n" for text in (root, study_id))
        content = _HEAD + "".join(lines).encode("raw-unicode-escape") + b"tR."
        replace_file(file, content, 0o666, durable=False)

    @classmethod
    def unpickle(cls, path: str | os.PathLike[str]) -> Self:
        """Open the study that a file written by `pickle` points to. The file is parsed and never executed.

        NotAPointer, a TypeError, if `pickle` has not written the file. StudyElsewhere if the study was moved, deleted
        or replaced. OSError if the file can't be read.
        """
        file = Path(arguments.path("path", path))
        with file.open("rb") as opened:
            content = opened.read(_LONGEST)
        match = _FORM.fullmatch(content)
        if match is None:
            raise NotAPointer(f"{file}: {_other(content, file)}")
        try:
            root, study_id = (text.decode("raw-unicode-escape") for text in match.groups())
            arguments.path("the path", root)
        except ValueError as error:
            raise NotAPointer(f"{file}: not as ExecutionGraph.pickle writes it: {error}") from error
        return cls._reopen(root, study_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (type(self), *self._pointer())

    def __copy__(self) -> Self:
        return self._reopen(*self._pointer(), self._study.runtime)

    def __deepcopy__(self, _memo: object) -> Self:
        return self.__copy__()

    def _pointer(self) -> tuple[str, str]:
        return _pointer_to(self._study)

    @classmethod
    def _reopen(cls, path: str, study_id: str, runtime: Runtime | None = None) -> Self:
        return cls._of(_session_at(path, study_id, runtime))


def _pointer_to(study: Session) -> tuple[str, str]:
    """Return the path and the id of a study. LogUnavailable if it was moved or deleted.

    This does not read the log, because a `multiprocessing.Pool` pickles its arguments in a thread of its own.
    """
    study.log.check_place()
    return os.path.abspath(study.dir.root), study.graph.study.study_id  # noqa: PTH100 - links stay


def _of_no_study(file: Path) -> Path:
    """Return the path of a file to write. RequestRefused if every study has a file with this name, such as the log.

    IsADirectoryError if the path leads to a directory.
    """
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a directory; give the path of a file", str(file))
    taken = {*(file.parent.resolve() / file.name).parts} & {*TAKEN}
    if taken:
        raise RequestRefused(
            f"{file}: {min(taken)} is a name of the files of a study; write the pickle to another file"
        )
    return file


def _session_at(path: str, study_id: str, runtime: Runtime | None = None) -> Session:
    """Open a study. StudyElsewhere if it is not at this path."""
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


#: The open studies of unpickled views, by process, thread, path and id. All views of one study share a session.
_SHARED: WeakValueDictionary[tuple[int, int, str, str], Session] = WeakValueDictionary()


def view_pickle(view: type, study: Session, *more: object) -> tuple[Any, ...]:
    """Return the result of a view's `__reduce__`. It contains a pointer to the study, and no state."""
    return reopen_view, (view, *_pointer_to(study), *more)


def reopen_view(view: Callable[..., object], path: str, study_id: str, *more: object) -> object:
    """Make a view of a study. Pickles call this. StudyElsewhere if the study is not at this path."""
    key = (os.getpid(), get_ident(), path, study_id)
    study = _SHARED.get(key)
    if study is None or not _is_in_place(study):
        study = _SHARED[key] = _session_at(path, study_id)
    return view(study, *more)


def _is_in_place(study: Session) -> bool:
    """Return whether the open log is still at its path, and no copy has replaced it."""
    try:
        study.log.check_place()
    except LogUnavailable:
        return False
    return True


def reopen(graph_class: type[PicklableGraph], path: str, study_id: str) -> PicklableGraph:
    """Open a study. Pickles call this. StudyElsewhere if the study is not at this path."""
    return graph_class._reopen(path, study_id)  # noqa: SLF001 - one of our own


def _other(content: bytes, file: Path) -> str:
    """Describe a file that `pickle` has not written."""
    if b"maestrowf" in content:
        remedy = f"'maestro-es import {file.parent}' takes its study over"
        return f"a pickle of Maestro's, which could run any program and is not read; {remedy}"
    if b"maestro_es" in content:
        return "not written by ExecutionGraph.pickle; read it with the program that has written it"
    return "not a pickle of an ExecutionGraph"
