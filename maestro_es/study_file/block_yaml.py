"""Writes mappings as YAML in block style, byte for byte as PyYAML does.

For a large study, PyYAML would take longer to write the metadata than the rest of the creation takes. Nearly all keys
and values are numbers, or texts that need no quotes. This module formats these itself, and leaves the others to
PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

# The C dumper is 6 to 8 times faster, but some builds of PyYAML lack it.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: A text that needs no quotes. It can't be a number. It has no spaces (where lines may be broken) or special marks.
_BARE = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./$()-]*")
#: A text that would be a number without quotes.
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
#: Words that would be other values without quotes.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
#: PyYAML writes a longer key in another form.
_LONGEST_KEY = 100


class SortedEntries:
    """A mapping that is never in memory as a whole: its keys, in ascending order, with their values."""

    def __init__(self, entries: Iterable[tuple[str, Any]]) -> None:
        self.entries = entries


def block_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML. Lists and mappings may be nested, but the same object must not appear twice."""
    return "".join(block_lines(data))


def block_lines(data: Mapping[str, Any] | SortedEntries) -> Iterator[str]:
    """Yield the text of `block_yaml` in parts. Each mapping in it may be a `SortedEntries` with at least one entry."""
    if data:
        yield from _lines(data, ())
    else:
        yield _dumped({})


def _lines(data: Mapping[str, Any] | SortedEntries, outer: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a mapping that is the value of the last of the `outer` keys."""
    indent = "  " * len(outer)
    for key, value in data.entries if isinstance(data, SortedEntries) else _by_key(data):
        if not _is_bare_key(key):
            yield _dumped_inside(outer, key, value)
        elif _is_mapping(value):
            yield f"{indent}{key}:\n"
            yield from _lines(value, (*outer, key))
        else:
            yield _entry(indent, key, value) or _dumped_inside(outer, key, value)


def _by_key(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((key, data[key]) for key in sorted(data))


def _entry(indent: str, key: str, value: object) -> str:
    """Return the lines of a bare key and its value, or an empty string if the value is not simple."""
    if type(value) is not list:
        text = _scalar(value)
        return f"{indent}{key}: {text}\n" if text else ""
    items = [_scalar(item) for item in value]
    if not items or "" in items:
        return "" if items else f"{indent}{key}: []\n"
    return f"{indent}{key}:\n" + "".join(f"{indent}- {item}\n" for item in items)


def _scalar(value: object) -> str:
    """Return a simple string or number as YAML. Return an empty string for any other value."""
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        return ""
    if _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return f"'{value}'" if _NUMBER.fullmatch(value) else ""


def _is_bare_key(key: object) -> bool:
    return type(key) is str and 0 < len(key) <= _LONGEST_KEY and _scalar(key) == key


def _is_mapping(value: object) -> bool:
    """Return whether this module writes a value, that is, whether it is a non-empty mapping whose keys are strings."""
    if type(value) is dict:
        return bool(value) and all(type(key) is str for key in value)
    return isinstance(value, SortedEntries)


def _dumped_inside(outer: tuple[str, ...], key: str, value: object) -> str:
    """Return the lines that PyYAML writes for a key and its value, with the right indentation."""
    data: dict[str, Any] = {key: dict(value.entries) if isinstance(value, SortedEntries) else value}
    for name in reversed(outer):
        data = {name: data}
    return _dumped(data).split("\n", len(outer))[-1]


def _dumped(data: Mapping[str, Any]) -> str:
    return str(yaml.dump(data, Dumper=_Dumper, allow_unicode=True, default_flow_style=False))
