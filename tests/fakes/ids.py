"""Short names for the cases of a test. They need no quoting in a shell."""

from __future__ import annotations

import enum
import re

#: The largest length that a value adds to the name of a case, and the largest length of a name.
VALUE_LENGTH, CASE_LENGTH = 20, 64

_NO_WORD = re.compile(r"[^\w.,:/=+@%-]+", re.ASCII)


def short_id(value: object) -> str | None:
    """Return a name for a value: words of a text, the name of a function or of a member of an enum, or None.

    If the name is None, or if two cases have the same name, pytest adds numbers.
    """
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if callable(value) and not isinstance(value, type):
        value = getattr(value, "__name__", None)
    if not isinstance(value, str):
        return None
    return _NO_WORD.sub("_", value)[:VALUE_LENGTH].strip("_") or ("symbols" if value else "empty")
