"""Finds registered studies, and asks all of them a question. A broken study does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from maestro_es.audit.sentences import listed
from maestro_es.audit.status import Summary, summary_data
from maestro_es.audit.times import When
from maestro_es.errors import MaestroError, RequestRefused
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime

Found = TypeVar("Found")

#: The keys of `listed_data`, in their order.
FIELDS = (*Summary.__struct_fields__, "problem")

#: The word for the study that was registered last.
LAST = "last"

#: The smallest number of digits of an id that can name a study.
_PREFIX = 4


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A registered study. If it has no `summary`, `problem` says why."""

    id: str
    path: str
    summary: Summary | None = None
    problem: str = ""


def list_studies(runtime: Runtime, when: When | None = None) -> Iterator[Listed]:
    """Yield the registered studies in the order of their registration, as they are now or were at a moment.

    A broken study does not stop the others.
    """
    for study_id, root in registry.registered().items():
        yield _look(study_id, root, runtime, when)


def _look(study_id: str, root: Path, runtime: Runtime, when: When | None) -> Listed:
    if not root.is_dir():
        return Listed(id=study_id, path=str(root), problem="the directory is gone")
    try:
        with AuditableGraph.open(root, runtime) as graph:
            actual = graph.state.study.study_id
            summary = graph.summary(when)
    except (MaestroError, OSError) as error:
        return Listed(id=study_id, path=str(root), problem=_message(error))
    if actual != study_id:
        return Listed(id=study_id, path=str(root), problem=f"another study is in this directory: {actual}")
    return Listed(id=study_id, path=str(root), summary=summary)


def _message(error: Exception) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)


class StudyAnswer(msgspec.Struct, Generic[Found], frozen=True):
    """The answer of a registered study: its `result`, or the `problem` that prevented one."""

    path: str
    result: Found | None = None
    problem: str = ""


def ask_all(runtime: Runtime, ask: Callable[[AuditableGraph], Found]) -> Iterator[StudyAnswer[Found]]:
    """Ask each registered study, in the order of registration. A broken study does not stop the others.

    A study that refuses the question is left out. RequestRefused, after all were asked, if none has answered.
    """
    refusal: RequestRefused | None = None
    answered = False
    for root in registry.registered().values():
        try:
            with AuditableGraph.open(root, runtime) as graph:
                answer = StudyAnswer(str(root), ask(graph))
        except RequestRefused as error:
            refusal = error
            continue
        except (MaestroError, OSError) as error:
            answer = StudyAnswer(str(root), problem=_message(error))
        answered = answered or not answer.problem
        yield answer
    if refusal and not answered:
        raise refusal


def find_registered(word: str) -> list[str]:
    """Return the ids of the registered studies that match a word: an id, the beginning of an id, or a path.

    RequestRefused if no study matches, or if several ids begin with the word.
    """
    studies = registry.registered()
    if word in studies:
        return [word]
    by_path = {study_id for study_id, root in studies.items() if root in (Path(word), Path(word).absolute())}
    matches = by_path or {study_id for study_id in studies if word and study_id.startswith(word)}
    if not matches or (len(matches) > 1 and not by_path):
        many = (
            f"the ids of {len(matches)} studies begin with it"
            if matches
            else "no registered study has this id or path"
        )
        raise RequestRefused(f"{word}: {many}; 'maestro-es studies' lists them")
    return sorted(matches)


def find_named(word: str) -> Path | None:
    """Return the directory of a registered study, given its id, the beginning of its id, or its name.

    The word "last" means the newest study.

    The name is the one in the study file, or the name of the directory. None if no study matches. RequestRefused if
    several match. The caller checks first whether the word is the path of a study.
    """
    studies = registry.registered()
    if word == LAST:
        return [*studies.values()][-1] if studies else None
    matches = [root for study_id, root in studies.items() if len(word) >= _PREFIX and study_id.startswith(word)]
    if not matches:
        matches = [root for root in studies.values() if word in (root.name, _name_at(root))]
    if len(matches) > 1:
        raise RequestRefused(
            f"{word}: {len(matches)} studies have this name: {listed(map(str, matches))}; give the path of one"
        )
    return matches[0] if matches else None


def _name_at(root: Path) -> str:
    """Return the name of the study in a directory (empty: it can't be read)."""
    try:
        with AuditableGraph.open(root, Runtime()) as graph:
            return graph.state.study.name
    except (MaestroError, OSError):
        return ""


def listed_data(listed: Listed) -> dict[str, Any]:
    """Return a listed study for JSON. It has the keys of a summary, with null for unknown values, and "problem"."""
    known = summary_data(listed.summary) if listed.summary else dict.fromkeys(FIELDS)
    return {**known, "id": listed.id, "path": listed.path, "problem": listed.problem or None}
