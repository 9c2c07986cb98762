"""Formats tables that fit a terminal. Wide cells are folded, or each row becomes a list of values.

The commands in `maestro_es.cli` decide which values a table has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, zip_longest

from maestro_es.report.table import MeasuredRows, aligned, clean, columns, fold, width

_GAP = 2

#: The smallest width of a column. If even this is too wide for the terminal, each row becomes a list.
_NARROWEST = 12

#: The last column of a table stands beside the others if it has this room. Otherwise its cells are below, indented.
_ROOM, _INDENT = 24, 4


def fitted(
    header: Sequence[str], rows: Iterable[Sequence[str]], size: int | None, numbers: Collection[int] = ()
) -> Iterator[str]:
    """Yield the lines of a table that is at most `size` terminal columns wide (None: any width).

    `numbers` holds the indices of the columns with numbers, which are aligned on the right.
    """
    header = [clean(cell) for cell in header]
    cells = MeasuredRows(rows, len(header))
    widths = [max(width(title), each) for title, each in zip(header, cells.sizes, strict=True)]
    is_narrow = size is None or _total(widths) <= size
    if size is not None and not is_narrow:
        if _total([min(each, _NARROWEST) for each in widths]) > size:
            yield from _lists(header, cells, size)
            return
        widths = narrowed(widths, size, _GAP)
    lines: Iterator[Sequence[str]] = (
        [cell.rjust(widths[index]) if index in numbers else cell for index, cell in enumerate(row)]
        for row in chain([header], cells)
    )
    if not is_narrow:
        lines = _folded(lines, widths)
    yield from aligned(next(lines), lines)


def hanging(header: Sequence[str], rows: Sequence[Sequence[str]], page: int | None) -> list[str]:
    """Return a text for each row of aligned columns.

    If the columns do not fit the page, a text may have several lines. In this case a long last cell continues below
    itself. If it has little room there, the last cells are below their row, each on a line of its own unless all of
    them fit in one line.
    """
    lines = columns(header, rows)
    if page is None or max(map(width, lines)) <= page:
        return lines
    beside = len(header) - 1
    heads = _heads(header, rows, beside)
    indent = max(map(width, heads)) + _GAP
    texts = (header, *rows)
    if page - indent >= _ROOM:
        heads = [head + " " * (indent - width(head)) for head in heads]
        return [_below(head, clean(row[-1]), indent, page) for head, row in zip(heads, texts, strict=True)]
    while beside > 1 and max(map(width, heads)) > page:
        beside -= 1
        heads = _heads(header, rows, beside)
    heads = [f"{head}\n{' ' * _INDENT}" for head in heads]
    below = [(" " * _GAP).join(filter(None, map(clean, row[beside:]))) for row in texts]
    if len(header) - beside > 1 and max(map(width, below)) > page - _INDENT:  # a line for each cell
        return [_each_below(head, row[beside:], page) for head, row in zip(heads, texts, strict=True)]
    return [_below(head, text, _INDENT, page) for head, text in zip(heads, below, strict=True)]


def _each_below(head: str, cells: Sequence[str], page: int) -> str:
    filled = [cell for cell in map(clean, cells) if cell]
    return head + f"\n{' ' * _INDENT}".join(_below("", cell, _INDENT, page) for cell in filled)


def _heads(header: Sequence[str], rows: Sequence[Sequence[str]], count: int) -> list[str]:
    """Return the first columns of all rows as aligned lines. An empty column keeps the alignment of numbers."""
    return columns([*header[:count], ""], [[*row[:count], ""] for row in rows])


def _below(head: str, text: str, indent: int, page: int) -> str:
    """Return a text behind a head. Further lines are indented."""
    return head + f"\n{' ' * indent}".join(fold_cell(text, page - indent))


def _total(widths: Sequence[int], gap: int = _GAP) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def narrowed(natural: Sequence[int], size: int, gap: int) -> list[int]:
    """Return widths that fit. Only the widest columns become narrower, and all of these get the same width."""
    limit = min(max(natural), size)
    while limit > 1 and _total([min(each, limit) for each in natural], gap) > size:
        limit -= 1
    return [min(each, limit) for each in natural]


def _folded(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[list[str]]:
    """Yield rows whose cells have at most these widths. A row with a long cell becomes several rows."""
    for row in rows:
        parts = [fold_cell(cell, size) for cell, size in zip(row, widths, strict=True)]
        yield from map(list, zip_longest(*parts, fillvalue=""))


def fold_cell(cell: str, size: int) -> list[str]:
    """Split a cell into one or more parts of at most `size` columns, at a space if one is near."""
    parts = []
    while width(cell) > size:
        part = next(fold(cell, size))
        blank = part.rfind(" ", len(part) // 2)
        if blank > 0 and cell[len(part)] != " ":
            part = part[: blank + 1]
        parts.append(part.rstrip())
        cell = cell[len(part) :].lstrip()
    return [*parts, cell]


def _lists(header: Sequence[str], rows: Iterable[Sequence[str]], size: int) -> Iterator[str]:
    """Yield a line for each value of each row. An empty line separates two rows."""
    label = min(max(map(width, header)) + _GAP, size // 2)
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, cell in zip(header, row, strict=True):
            for index, part in enumerate(fold_cell(cell, size - label)):
                head = f"{name}:" if index == 0 else ""
                yield f"{head}{' ' * (label - width(head))}{part}".rstrip()
