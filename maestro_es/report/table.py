"""Formats text for terminals without a library: clean cells, aligned columns, labelled values.

The commands in `maestro_es.cli` decide which values a table has.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from maestro_es.spool import Spool

_Cell = TypeVar("_Cell")

_GAP = "  "

#: How many rows of a long table are checked together.
_SOME = 1000

#: Unicode categories: control characters, format characters, lone surrogates, and line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """Return a text in which control characters and invisible characters are question marks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def visible(text: str) -> str:
    """Return a text in which control characters and invisible characters are escaped as in a Python string.

    Newlines and tabs stay as they are.
    """
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else f"{c!a}"[1:-1] for c in text)


class MeasuredRows:
    """The rows of a table, which may be many, with clean cells. They are drawn once, and can be read again and again.

    For each column, `sizes` holds the width of its widest cell, `numeric` is true if all cells are numbers, and
    `filled` is true if any cell is not empty. `plain` means that all characters are certainly one column wide.
    """

    def __init__(self, rows: Iterable[Sequence[str]], columns: int) -> None:
        self.sizes = [0] * columns
        self.numeric = [True] * columns
        self.filled = [False] * columns
        self.plain = True
        self._rows = Spool(self._measured(rows), tuple[str, ...])

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self) -> Iterator[list[tuple[str, ...]]]:
        """Yield the columns of some rows at a time, because checking many cells together is quick."""
        return transposed(self._rows)

    def _measured(self, rows: Iterable[Sequence[str]]) -> Iterator[tuple[str, ...]]:
        for some in transposed(rows):
            columns = [_cleaned(cells) for cells in some]
            for index, cells in enumerate(columns):
                text = "".join(cells)
                is_ascii = text.isascii()
                self.plain = self.plain and is_ascii
                self.filled[index] = self.filled[index] or text != ""
                self.numeric[index] = self.numeric[index] and is_ascii and text.isdigit() and all(cells)
                self.sizes[index] = max(self.sizes[index], *map(len if is_ascii else width, cells))
            yield from zip(*columns, strict=True)


def transposed(rows: Iterable[Sequence[_Cell]]) -> Iterator[list[tuple[_Cell, ...]]]:
    """Yield the columns of some rows at a time."""
    rest = iter(rows)
    while some := list(itertools.islice(rest, _SOME)):
        yield list(zip(*some, strict=True))


def columns(header: Sequence[str], rows: Iterable[Sequence[str]], *, ruler: bool = False) -> list[str]:
    """Return the lines of `aligned`."""
    return list(aligned(header, rows, ruler=ruler))


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]], *, ruler: bool = False) -> Iterator[str]:
    """Yield lines of aligned columns. Numbers are aligned on the right, except in the last column.

    With `ruler`, the lines are those of the `tabulate` package with its defaults, as in Maestro's status: a line of
    dashes follows the header, and titles are padded by two spaces.
    """
    table = MeasuredRows(rows, len(header))
    sizes = [max(width(title) + 2 * ruler, size) for title, size in zip(header, table.sizes, strict=True)]
    last = len(header) - 1
    right = [len(table) > 0 and numeric and (ruler or index < last) for index, numeric in enumerate(table.numeric)]
    yield from _padded([(title,) for title in header], sizes, right)
    if ruler:
        yield _GAP.join("-" * size for size in sizes)
    for some in table.columns():
        yield from _padded(some, sizes, right)


def _padded(columns: Sequence[Sequence[str]], sizes: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    """Yield the lines of some rows, given as columns."""
    shown = [_justified(*column) for column in zip(columns, sizes, right, strict=True)]
    return (_GAP.join(line).rstrip() for line in zip(*shown, strict=True))


def _justified(cells: Sequence[str], size: int, right: bool) -> list[str]:  # noqa: FBT001 - of a column
    if "".join(cells).isascii():
        return [cell.rjust(size) for cell in cells] if right else [cell.ljust(size) for cell in cells]
    blanks = (" " * (size - width(cell)) for cell in cells)
    return [blank + cell if right else cell + blank for blank, cell in zip(blanks, cells, strict=True)]


def _cleaned(cells: Sequence[str]) -> Sequence[str]:
    return cells if "".join(cells).isprintable() else [clean(cell) for cell in cells]


def labelled(pairs: Iterable[tuple[str, str]], page: int | None = None) -> list[str]:
    """Return a line for each label and its value, with the values aligned. Labels without a value are left out.

    `page` is the width in columns. A longer value continues on the next line. Words are not broken, because users copy
    some of them.
    """
    shown = [(f"{label}:", clean(value)) for label, value in pairs if value]
    size = max((len(label) for label, _ in shown), default=0)
    lines = []
    for label, value in shown:
        parts = list(wrap(value, page - size - 1)) if page else [value]
        lines += [f"{head:<{size}} {part}" for head, part in zip([label, *[""] * len(parts)], parts, strict=False)]
    return lines


def wrap(text: str, size: int) -> Iterator[str]:
    """Yield a text in lines of at most `size` columns. A wider word gets a wider line."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width(longer) > size:
            yield line
            longer = word
        line = longer
    yield line


def wrapped(text: str, page: int | None, indent: str = "") -> list[str]:
    """Return a text in clean lines that fit the page (None: one line). All lines are indented."""
    return [f"{indent}{line}" for line in (wrap(clean(text), page - len(indent)) if page else [clean(text)])]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], page: int | None = None) -> list[str]:
    """Return lines of aligned columns. If the `page` is too narrow, return a block of labelled values for each row."""
    lines = columns(header, rows)
    if page is None or max(map(width, lines)) <= page:
        return lines
    blocks = [labelled([(title, cell) for title, cell in zip(header, row, strict=True)], page) for row in rows]
    return [line for block in blocks for line in ["", *block]][1:]


def counted(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def width(text: str) -> int:
    """Return how many terminal columns a text occupies."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def fold(text: str, size: int) -> Iterator[str]:
    """Yield the parts of a text, each at most `size` columns wide."""
    part, used = "", 0
    for character in text:
        more = 1 if character.isascii() else width(character)
        if used + more > size and part:
            yield part
            part, used = "", 0
        part, used = part + character, used + more
    if part:
        yield part
