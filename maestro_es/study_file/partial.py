"""Replaces the faulty parts of a study file, so that the rest can be checked in the same run.

Without this, a misspelt key would hide problems of the scripts, and a user would see the problems one after the other.
`findings` holds the paths of the faulty parts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from maestro_es.study_file.document import Document

#: Keys and list indexes, from the top of the file.
KeyPath = tuple[str | int, ...]

#: More nodes or processes than any launcher requests.
NO_LIMIT = 1_000_000

#: Substitutes for faulty and missing values of a step. `None` in the dependencies stands for further, unknown
#: dependencies.
_STAND_INS: dict[str | int, Any] = {
    "cmd": ":",
    "run": {"cmd": ":"},
    "depends": [None],
    "description": "-",
    "nodes": NO_LIMIT,
    "procs": NO_LIMIT,
}


def without_faults(document: Document, faults: Iterable[KeyPath]) -> Document:
    """Return the document with the values at `faults` removed or replaced. All other values keep their paths.

    Afterwards every step has a name, a description and commands.
    """
    places = list(faults)
    if not places:
        return document
    data = copy.deepcopy(document.data)
    for path in places:
        _replace(data, path)
    return document.with_data(data)


def _replace(data: Any, path: KeyPath) -> None:  # noqa: ANN401 - not known to be a study
    parent: Any = data
    for part in path[:-1]:
        parent = _at(parent, part)
    key, stand_in = path[-1] if path else "", _stand_in(path)
    if isinstance(parent, list) and isinstance(key, int):
        parent[key] = stand_in
    elif isinstance(parent, dict) and stand_in is None:
        parent.pop(key, None)
    elif isinstance(parent, dict):
        parent[key] = stand_in


def _at(parent: Any, part: str | int) -> Any:  # noqa: ANN401 - likewise
    """Return the value under a key, or at an index of a list (None: there is none)."""
    if isinstance(parent, dict):
        return parent.get(part)
    return parent[part] if isinstance(parent, list) and isinstance(part, int) and part < len(parent) else None


def _stand_in(path: KeyPath) -> Any:  # noqa: ANN401 - of any kind
    match path:
        case ("study", int(index), "name"):
            return f"number {index + 1}"
        case ("study", int(), key) | ("study", int(), "run", key):
            return copy.deepcopy(_STAND_INS.get(key))
        case _:
            return None
