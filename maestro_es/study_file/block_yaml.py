"""Writes mappings as YAML in block style, byte for byte as PyYAML does.

For the metadata of a large study, PyYAML takes longer than all other work of creating the study. Nearly all keys and
values are numbers, or texts that need no quotes. This module formats them itself, and leaves the others to PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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


def block_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML. Lists and mappings may be nested, but the same object must not appear twice."""
    return "".join(_lines(data, ())) if data else _dumped(data)


def _lines(data: Mapping[str, Any], outer: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a mapping that is the value of the last of the `outer` keys."""
    indent = "  " * len(outer)
    for key in sorted(data):
        value = data[key]
        if _is_bare_key(key) and type(value) is dict and value and _has_texts(value):
            yield f"{indent}{key}:\n"
            yield from _lines(value, (*outer, key))
        else:
            yield _entry(indent, key, value) or _dumped_inside(outer, key, value)


def _entry(indent: str, key: str, value: object) -> str:
    """Return the lines of a key and its value, or an empty text if they are not simple."""
    if not _is_bare_key(key):
        return ""
    if type(value) is not list:
        text = _scalar(value)
        return f"{indent}{key}: {text}\n" if text else ""
    items = [_scalar(item) for item in value]
    if not items or "" in items:
        return "" if items else f"{indent}{key}: []\n"
    return f"{indent}{key}:\n" + "".join(f"{indent}- {item}\n" for item in items)


def _scalar(value: object) -> str:
    """Return a simple text or number as YAML; an empty text for any other value."""
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        return ""
    if _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return f"'{value}'" if _NUMBER.fullmatch(value) else ""


def _is_bare_key(key: object) -> bool:
    return type(key) is str and 0 < len(key) <= _LONGEST_KEY and _scalar(key) == key


def _has_texts(data: Mapping[object, object]) -> bool:
    """Whether all keys are texts, so that they can be sorted here."""
    return all(type(key) is str for key in data)


def _dumped_inside(outer: tuple[str, ...], key: str, value: object) -> str:
    """Return the lines that PyYAML writes for a key and its value, with the right indentation."""
    data: dict[str, Any] = {key: value}
    for name in reversed(outer):
        data = {name: data}
    return _dumped(data).split("\n", len(outer))[-1]


def _dumped(data: Mapping[str, Any]) -> str:
    return str(yaml.dump(data, Dumper=_Dumper, allow_unicode=True, default_flow_style=False))
