"""Draws a table in a frame, as rich does, but in a hundredth of the time.

The cells must be clean (`maestro_es.report.table`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from maestro_es.report.fitted import fold_cell, narrowed
from maestro_es.report.table import MeasuredRows, width

#: How many columns a frame adds for each cell. The table gets one more.
FRAME = 3

#: Returns a text in the style of a cell: the text, the cells of its row, and its row and column. The header is row -1.
Paint = Callable[[str, Sequence[str], int, int], str]


class _Frame(NamedTuple):
    """The characters of a frame.

    Each of the three horizontal lines has four characters: the left end, the line, a crossing and the right end.
    """

    top: str
    below_header: str
    bottom: str
    header: str
    body: str


_HEAVY = _Frame("┏━┳┓", "┡━╇┩", "└─┴┘", "┃", "│")
_ASCII = _Frame("+--+", "|-+|", "+--+", "|", "|")


def framed_width(sizes: Sequence[int]) -> int:
    """Return the width of a table whose columns have these sizes."""
    return sum(sizes) + FRAME * len(sizes) + 1


def boxed(
    title: str,
    header: Sequence[str],
    rows: MeasuredRows,
    *,
    size: int,
    unicode: bool = True,
    paint: Paint | None = None,
) -> Iterator[str]:
    """Yield the lines of a table that is at most `size` columns wide, if possible. Wider cells are folded.

    Only as many columns of the rows are shown as the header has.
    """
    frame = _HEAVY if unicode else _ASCII
    shown = len(header)
    sizes = [max(width(name), cells) for name, cells in zip(header, rows.sizes, strict=False)]
    fits = framed_width(sizes) <= size
    if not fits:
        sizes = narrowed(sizes, max(size - FRAME - 1, 1), FRAME)
    whole = framed_width(sizes)
    yield from (_centred(part, whole) for part in fold_cell(title, whole))
    yield _line(frame.top, sizes)
    yield from _row_lines(header, sizes, frame.header, -1, paint, fits=fits)
    yield _line(frame.below_header, sizes)
    if fits and paint is None and rows.plain:
        template = "".join(f"{frame.body} %-{each}s " for each in sizes) + frame.body
        yield from (template % row[:shown] for row in rows)
    else:
        for number, row in enumerate(rows):
            yield from _row_lines(row[:shown], sizes, frame.body, number, paint, fits=fits)
    yield _line(frame.bottom, sizes)


def _centred(text: str, size: int) -> str:
    free = size - width(text)
    return f"{' ' * (free // 2)}{text}{' ' * (free - free // 2)}"


def _line(characters: str, sizes: Sequence[int]) -> str:
    left, line, crossing, right = tuple(characters)
    return left + crossing.join(line * (size + FRAME - 1) for size in sizes) + right


def _row_lines(
    row: Sequence[str], sizes: Sequence[int], bar: str, number: int, paint: Paint | None, *, fits: bool
) -> Iterator[str]:
    """Yield the lines of one row. If its cells do not all fit, they are folded."""
    parts = [[cell] if fits else fold_cell(cell, size) for cell, size in zip(row, sizes, strict=True)]
    for line in zip_longest(*parts, fillvalue=""):
        cells = (f"{cell}{' ' * (size - width(cell))}" for cell, size in zip(line, sizes, strict=True))
        painted = cells if paint is None else (paint(cell, row, number, column) for column, cell in enumerate(cells))
        yield f"{bar} " + f" {bar} ".join(painted) + f" {bar}"
