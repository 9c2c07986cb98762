"""Draws a map of a parameter space with letters, numbers and colours. `maestro_es.audit.parameter_map` has the data.

If there is no room for all values, they are folded. Then a row or a column stands for several neighbouring values, and
a cell for the steps of all these values. The worst group of states determines the letter of a cell, so no failure
disappears.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from maestro_es.audit.parameter_map import MapCell, ParameterMap
from maestro_es.audit.times import clock
from maestro_es.report.glance import shortened
from maestro_es.report.palette import MARKS, TERMINAL_ORDER, painted
from maestro_es.report.table import clean, counted, width, wrap

#: The largest number of rows of a map. If there are more, they are folded.
_ROWS = 40

#: The widest name of a row, and the widest name of a column that is written above the column.
_ROW_NAME, _COLUMN_NAME = 24, 10

#: The narrowest column above which a longer name is shortened.
_SHORTENED = 6

#: The groups whose letter stands before a number.
_MARKED = ("failed", "cancelled")

#: The largest number of lines in which the names of all columns are listed, if they have no room above the columns.
_LIST_LINES = 3

#: The quantities with a scale of colours, and the scale for a terminal with 256 colours, from small to large.
_SCALED, _SCALE = ("run", "wait", "attempts"), (240, 67, 30, 172)

_TITLES = {
    "state": "state",
    "run": "longest run time",
    "exit": "exit code",
    "wait": "longest time in the queue",
    "attempts": "largest number of attempts",
}

#: A range of neighbouring values.
_Range = Sequence[str]


def map_lines(space: ParameterMap, page: int, *, colour: bool) -> Iterator[str]:
    """Yield the lines of a map that fits a page of this width."""
    rows = _folded(space.rows, _ROWS)
    names = [clean(_name(each)) for each in rows]
    size = min(max(map(width, (*names, clean(space.parameters[0])))), _ROW_NAME)
    paint = _Paint(space) if colour else None
    wide = max(len(_text(cell, space.quantity)) for cell in space.cells.values())
    columns = _folded(space.columns, max((page - size) // (wide + 1), 1))
    titles = [clean(_name(each)) for each in columns]
    wide = max(wide, min(max(map(width, titles)), (page - size) // len(columns) - 1, _COLUMN_NAME))
    yield from wrap(_title(space), page)
    yield ""
    if len(space.parameters) > 1:
        yield _column_names(shortened(clean(space.parameters[0]), size), titles, wide, page)
    for name, values in zip(names, rows, strict=True):
        cells = [_merged(space.cells, values, each) for each in columns]
        line = " ".join(_drawn(cell, space.quantity, wide, paint) for cell in cells)
        counts = f"  {_counts(cells[0])}" if len(space.parameters) == 1 and cells[0] else ""
        yield f"{shortened(name, size)} {line}{counts}".rstrip()
    yield ""
    yield from _legend(space, page, paint)
    if len(space.parameters) > 1 and any(width(title) > wide for title in titles):
        yield from _column_list(clean(space.parameters[1]), titles, page)
    yield from _others(space, page)


def _title(space: ParameterMap) -> str:
    axes = " down, ".join(space.parameters) + (" across" if len(space.parameters) > 1 else "")
    return clean(f"{_TITLES[space.quantity].capitalize()} by {axes}")


class _Paint:
    """The colours of cells.

    A cell has the colour of its group. In a map of a quantity, finished cells have a scale.
    """

    def __init__(self, space: ParameterMap) -> None:
        values = [cell.value for cell in space.cells.values() if cell.value is not None]
        self.least, self.most = min(values, default=0.0), max(values, default=0.0)
        self._has_scale = space.quantity in _SCALED and self.most > self.least

    def __call__(self, text: str, cell: MapCell) -> str:
        if not self._has_scale or cell.value is None or cell.group in _MARKED:
            return painted(text, cell.group)
        return f"\x1b[38;5;{_SCALE[self._level(cell.value)]}m{text}\x1b[0m"

    def _level(self, value: float) -> int:
        return min(int((value - self.least) / (self.most - self.least) * len(_SCALE)), len(_SCALE) - 1)

    def scale(self, quantity: str) -> str:
        """Return the part of the legend about the scale (empty: there is none)."""
        if not self._has_scale:
            return ""
        part = (self.most - self.least) / len(_SCALE)
        texts = [_number(self.least + index * part, quantity) for index in range(len(_SCALE))]
        return "  ".join(f"\x1b[38;5;{code}m{text}\x1b[0m.." for code, text in zip(_SCALE, texts, strict=True))


def _folded(values: Sequence[str], most: int) -> list[_Range]:
    """Return at most this many ranges of neighbouring values, all of the same length except the last."""
    length = -(-len(values) // most)
    return [values[begin : begin + length] for begin in range(0, len(values), length)]


def _name(values: _Range) -> str:
    return values[0] if len(values) == 1 else f"{values[0]}..{values[-1]}"


def _merged(cells: Mapping[tuple[str, str], MapCell], rows: _Range, columns: _Range) -> MapCell | None:
    """Return one cell with the steps of a block of cells; None if there are none."""
    inside = [cells[row, column] for row in rows for column in columns if (row, column) in cells]
    if not inside:
        return None
    merged = MapCell()
    for cell in inside:
        merged.add(cell)
    return merged


def _column_names(corner: str, titles: Sequence[str], wide: int, page: int) -> str:
    """Return the line with the names of the columns: all names if they have room, otherwise some of them."""
    if wide >= _SHORTENED or all(width(title) <= wide for title in titles):
        cells = [shortened(title, wide) if width(title) > wide else title for title in titles]
        return f"{corner} {' '.join(' ' * (wide - width(cell)) + cell for cell in cells)}"
    line = ""
    for index, title in enumerate(titles):
        begin = index * (wide + 1)
        has_room = width(corner) + 1 + begin + width(title) <= page
        if (begin > width(line) or not line) and has_room:
            line += " " * (begin - width(line)) + title
    return f"{corner} {line}".rstrip()


def _column_list(parameter: str, titles: Sequence[str], page: int) -> Iterator[str]:
    """Yield the names of all columns in a few lines."""
    lines = list(wrap(f"{parameter} from left to right: {', '.join(titles)}", page))
    yield from lines[:_LIST_LINES]
    if len(lines) > _LIST_LINES:
        yield f"and so on to {titles[-1]}"


def _text(cell: MapCell | None, quantity: str) -> str:
    """Return the text of a cell: the letter of its group, or a number, with the letter of a failure before it."""
    if cell is None:
        return ""
    letter = MARKS[cell.group].letter
    if quantity == "state" or cell.value is None:
        return letter
    number = _number(cell.value, quantity)
    return f"{letter}{number}" if cell.group in _MARKED else number


def _number(value: float, quantity: str) -> str:
    return clock(int(value)) if quantity in {"run", "wait"} else str(int(value))


def _drawn(cell: MapCell | None, quantity: str, wide: int, paint: _Paint | None) -> str:
    text = _text(cell, quantity)
    blanks = " " * (wide - len(text))
    return blanks + (paint(text, cell) if paint and cell else text)


def _counts(cell: MapCell) -> str:
    return ", ".join(f"{cell.groups[group]} {group}" for group in TERMINAL_ORDER if cell.groups[group])


def _legend(space: ParameterMap, page: int, paint: _Paint | None) -> Iterator[str]:
    seen = [group for group in TERMINAL_ORDER if any(cell.groups[group] for cell in space.cells.values())]
    marks = [f"{painted(MARKS[group].letter, group) if paint else MARKS[group].letter} {group}" for group in seen]
    yield from ("  ".join(marks),) if paint else wrap("  ".join(marks), page)
    scale = paint.scale(space.quantity) if paint else ""
    if scale:
        yield scale
    if any(cell.groups.total() > 1 for cell in space.cells.values()) or len(space.rows) > _ROWS:
        largest = "" if space.quantity == "state" else f" and the {_TITLES[space.quantity]}"
        yield from wrap(f"A cell with several steps shows the worst state{largest}.", page)


def _others(space: ParameterMap, page: int) -> Iterator[str]:
    """Yield a line about the steps that are not in the map."""
    if space.others:
        states = ", ".join(f"{space.others[group]} {group}" for group in TERMINAL_ORDER if space.others[group])
        without = f"{counted(space.others.total(), 'step')} without {' and '.join(space.parameters)}"
        yield from wrap(clean(f"Not in the map: {without}: {states}"), page)
