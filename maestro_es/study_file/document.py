"""Loads a YAML text as data, with the line of every value.

Loading is safe: it creates no Python objects. It follows YAML 1.1, like PyYAML and Maestro. So ``on`` is a boolean,
and an unquoted ``10:30:00`` is the number 37800. `scalars` warns of such values. `validation` and `checks` decide
whether the data is a study.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from maestro_es.errors import SpecError
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.plain_yaml import (
    DEEPEST,
    LONGEST_NUMBER,
    Loaded,
    UnusualYaml,
    WrittenScalar,
    is_noted,
    load,
)

# The C loader is 6 to 8 times faster, but some builds of PyYAML lack it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_STRING = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_READ_AS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "timestamp": "a date"}

#: How many values aliases may add. Nested aliases let a short text grow without limit.
_MOST_VALUES = 1_000_000

#: The largest number of values in a text that PyYAML loads as a whole. Each value takes half a kilobyte of memory.
_MOST_NODES = 1_000_000

#: The largest study file, in bytes. A chain of 100,000 steps is smaller.
LARGEST = 10_000_000

_QUOTE = (
    "Text that begins with one of % @ ` & * ! | > [ { or that holds ': ' or ' #' needs quotes; indent with spaces."
)

_NO_VALUE = "Correct it. If it is text, put it in quotes and remove its tag, if it has one."


class Document:
    """The data of a YAML text, and the lines of its values.

    The nodes of PyYAML take much memory. So if a text was loaded without them, they are made when they are needed.
    """

    def __init__(
        self,
        data: Any,  # noqa: ANN401 - YAML holds anything
        *,
        text: str = "",
        root: Node | None = None,
        loaded: Loaded | None = None,
    ) -> None:
        self.data = data
        self._text = text
        self._made_root = root
        self._loaded = loaded

    @property
    def _root(self) -> Node | None:
        if self._made_root is None and self._text:
            self._made_root = yaml.compose(self._text, _Loader)
        return self._made_root

    def line(self, *path: str | int) -> int:
        """Return the line of the key or list item at `path`, or of the longest part of `path` that exists."""
        if self._loaded is not None:
            lines = self._loaded.lines
            depth = next((depth for depth in range(len(path), 0, -1) if path[:depth] in lines), 0)
            if depth == len(path) or is_noted(depth + 1, path[0]):
                return lines.get(path[:depth], 1)
        line, node = 1, self._root
        for part in path:
            child = _child(node, part)
            if child is None:
                break
            line, node = child
        return line

    def with_data(self, data: Any) -> Document:  # noqa: ANN401 - likewise
        """Return a document with the same text and other data."""
        return Document(data, text=self._text, root=self._made_root, loaded=self._loaded)

    def changed(self, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], WrittenScalar]]:
        """Yield the place and text of each scalar at or below `path` that Python writes differently from the file."""
        every = self._written() if self._loaded is None else self._loaded.changed
        for path_of, scalar in every:
            if path_of[: len(path)] == path and str(scalar.value) != scalar.text:
                yield path_of, scalar

    def _written(self) -> Iterator[tuple[tuple[str | int, ...], WrittenScalar]]:
        """Yield the place and text of each scalar that YAML reads as something other than text."""
        stack: list[tuple[tuple[str | int, ...], Node]] = [((), self._root)] if self._root is not None else []
        seen: set[int] = set()
        while stack:
            path_so_far, node = stack.pop()
            if id(node) in seen:  # an alias
                continue
            seen.add(id(node))
            if isinstance(node, ScalarNode) and node.tag not in (_STRING, _MERGE):
                value = SafeConstructor().construct_object(node)
                yield path_so_far, WrittenScalar(_line(node), node.tag.rpartition(":")[2], node.value, value)
            stack += [((*path_so_far, part), child) for part, child in _parts(node)]


def read_file(file: Path) -> bytes:
    """Return the content of a study file. SpecError if it is too large: reading a device would never end."""
    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise SpecError([f"{file}: The file holds more than {LARGEST:,} bytes. Is it a study file?"])
    return content


def read_document(text: str, findings: Findings) -> Document:
    """Return the only document in `text`. SpecError if it can't be read.

    A duplicate key is a problem. A key that is not a string is a problem, too, and its value is left out.
    """
    text = text.removeprefix("\ufeff")
    try:
        try:
            with _loader(text) as loader:
                loaded = load(loader)
            return Document(loaded.data, text=text, loaded=loaded)
        except UnusualYaml as unusual:
            _check_size(text, unusual, findings)
        with _loader(text) as loader:
            root = loader.get_single_node()
            if root is not None and _check_nodes(root, findings):
                return Document(_construct(loader, root, findings), root=root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"
        if reason.startswith("but "):  # the second half of PyYAML's sentence
            reason = f"{getattr(error, 'context', '')}, {reason}"
        findings.problem(mark.line + 1 if mark else 1, f"This is not valid YAML: {reason}", _QUOTE)
    findings.stop_if_problems()
    return Document(None)


@contextlib.contextmanager
def _loader(text: str) -> Iterator[Any]:
    loader = _Loader(text)
    try:
        yield loader
    finally:
        loader.dispose()


def _check_size(text: str, unusual: UnusualYaml, findings: Findings) -> None:
    """Raise a SpecError if a text that PyYAML must load has too many values for that."""
    if text.count(",") + text.count("\n") > _MOST_NODES:
        message = f"A file of more than {_MOST_NODES:,} values can't have {unusual.what}"
        findings.problem(unusual.line, message, "Write it without, or make the file smaller.")
        findings.stop_if_problems()


def _construct(loader: Any, root: Node, findings: Findings) -> Any:  # noqa: ANN401 - PyYAML has no types; YAML anything
    """Return the data of a file. PyYAML's constructors raise various errors for wrong values."""
    try:
        return loader.construct_document(root)
    except yaml.YAMLError:
        raise
    except Exception as error:  # noqa: BLE001 - PyYAML raises many kinds of error
        unread = [node for node in _scalars(root) if not _is_readable(node)]
        for node in unread:
            kind = _READ_AS.get(node.tag.rpartition(":")[2], "a value of another kind")
            findings.problem(_line(node), f"YAML reads '{node.value}' as {kind}, but it is not valid", _NO_VALUE)
        if not unread:
            findings.problem(1, f"A value in this file can't be read: {error}", _NO_VALUE)
    findings.stop_if_problems()
    return None


def _is_readable(node: ScalarNode) -> bool:
    try:
        SafeConstructor().construct_object(node)
    except Exception:  # noqa: BLE001 - likewise
        return False
    return True


def _scalars(root: Node) -> Iterator[ScalarNode]:
    """Yield each scalar that is not text, in the order of the file."""
    stack, seen = [root], set()
    while stack:
        node = stack.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode) and node.tag not in (_STRING, _MERGE):
            yield node
        stack += reversed(_children(node))


def _child(node: Node | None, part: str | int) -> tuple[int, Node] | None:
    if isinstance(node, MappingNode):
        for key, value in reversed(node.value):
            if key.value == part:
                return key.start_mark.line + 1, value
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


def _check_nodes(root: Node, findings: Findings) -> bool:
    """Check every key once. Return whether the data can be constructed. If so, all its keys are strings."""
    sizes: dict[int, int] = {}
    within: set[int] = set()
    sound, stack = True, [(root, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            within.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in _children(node))
        elif len(within) > DEEPEST:
            findings.problem(_line(node), "The file nests too deeply", f"Stay within {DEEPEST} levels.")
            return False
        elif id(node) in within:
            findings.problem(_line(node), "A value contains itself through an alias", "Remove the alias.")
            return False
        elif id(node) not in sizes:
            _check_keys(node, findings)
            sound = _check_scalar(node, findings) and sound
            within.add(id(node))
            stack.append((node, True))
            stack += [(child, False) for child in _children(node)]
    if sizes[id(root)] - len(sizes) > _MOST_VALUES:
        findings.problem(1, "The aliases in this file expand to too many values", "Use fewer of them.")
        return False
    return sound


def _check_keys(node: Node, findings: Findings) -> None:
    """Report duplicate keys, and remove keys that are not strings."""
    if not isinstance(node, MappingNode):
        return
    seen: dict[str, int] = {}
    strings = []
    for key, value in node.value:
        if key.tag != _MERGE and (not isinstance(key, ScalarNode) or key.tag != _STRING):
            kind = _READ_AS.get(key.tag.rpartition(":")[2], "no string")
            name = f"key '{key.value}'" if isinstance(key, ScalarNode) else "key of this entry"
            findings.problem(_line(key), f"The {name} is read as {kind}", "Put it in quotes.")
            continue
        strings.append((key, value))
        if key.tag != _MERGE and key.value in seen:
            message = f"The key '{key.value}' appears twice, first in line {seen[key.value]}"
            findings.problem(_line(key), message, "Remove one of the two: only the last would count.")
        seen.setdefault(key.value, _line(key))
    node.value = strings


def _check_scalar(node: Node, findings: Findings) -> bool:
    """Report a NUL or a number that is too long. Return whether the value can be constructed."""
    if isinstance(node, ScalarNode) and "\0" in node.value:
        findings.problem(
            _line(node), "A string holds the character NUL", "No path and no script can hold it: remove it."
        )
    if not isinstance(node, ScalarNode) or node.tag not in _NUMBERS or len(node.value) <= LONGEST_NUMBER:
        return True
    message = f"A number has {len(node.value):,} characters; at most {LONGEST_NUMBER:,} are allowed"
    findings.problem(_line(node), message, "Put it in quotes if it is text.")
    return False


def _parts(node: Node) -> list[tuple[str | int, Node]]:
    """Return the values in a node with their keys or indexes."""
    if isinstance(node, MappingNode):
        return [(key.value, value) for key, value in node.value if isinstance(key, ScalarNode)]
    return list(enumerate(node.value)) if isinstance(node, SequenceNode) else []


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
