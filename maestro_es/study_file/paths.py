"""The names of things on disk: what is safe in a path, and the workspace of each instance."""

from __future__ import annotations

import string
from collections.abc import Sequence

from maestro_es.files import replaced_by

_SAFE = frozenset("-_.() " + string.ascii_letters + string.digits)

#: The longest name of a script is that of the instance and this, as file systems allow 255 bytes. There is room for an
#: extension of eight characters at least, so that a study may change its scheduler.
_RESTART = ".restart."
_EXTENSION = 8
_LONGEST_NAME = 255


def safe(name: str) -> str:
    """Return `name` as Maestro writes it in a path: without the characters it drops, and ``_`` for each blank."""
    return "".join(character for character in name if character in _SAFE).replace(" ", "_")


def workspace(*parts: str) -> str:
    """Return the directory of a step or of one of its instances, relative to the study's."""
    return "/".join(safe(part) for part in parts)


def nicknames(step: str, combos: Sequence[str]) -> dict[str, str]:
    """Return the short name of each distinct combination: what ``--hashws`` puts in place of its labels."""
    distinct = list(dict.fromkeys(combos))
    width = len(str(len(distinct) - 1))
    return {combo: f"{step}_instance_{index:0{width}d}" for index, combo in enumerate(distinct)}


def objection(directory: str, stem: str, taken: Sequence[str], extension: str = "") -> str | None:
    """Return what is wrong with a workspace whose scripts are called `stem` with this `extension`, or None."""
    parts = directory.split("/")
    if parts[0] in taken or replaced_by(parts[0]) in taken:
        return f"its directory '{parts[0]}' is taken by a file of the study"
    if any(part in {"", ".", ".."} for part in parts):
        return f"its directory would be '{directory}', which is no name"
    script = len(stem + _RESTART) + max(_EXTENSION, len(extension))
    longest = max(script, *map(len, parts))
    if longest > _LONGEST_NAME:
        return f"its names would be {longest} characters long, and {_LONGEST_NAME} is the most"
    return None
