"""Formats a status in Maestro's three layouts: flat, narrow and legacy.

The layouts show the contents of ``status.csv``, as `maestro status` does. In the flat layout, an additional last
column has the reasons for failures. In the narrow layout, an additional line has them. Names and values come from
study files. Such texts are never interpreted as markup, and control characters in them become question marks.
`maestro_es.audit.status` finds the steps and the reasons.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from maestro_es.core.model import Micros
from maestro_es.report.boxed import boxed
from maestro_es.report.table import MeasuredRows, aligned, clean, fold, width
from maestro_es.study.status_csv import HEADER, ShownStep, status_cells, status_row

#: The width of a table if there is no terminal. It is so large that each step has one line.
UNLIMITED = 100_000

_COLUMNS = HEADER[:-1]  # Maestro shows the parameters in the narrow layout only
_WHY = "Why"
_DETAILS = ("State", "Job ID", "Run Time", "Elapsed Time")
_SCHEDULER = ("Submit Time", "Start Time", "End Time", "Number Restarts")
_PAIRS_A_LINE = 2
_INDENT, _GAP = " " * 15, " " * 3
#: The width of a block of the narrow layout, and the smallest width of a column of text.
_BLOCK, _SHORTEST = 72, 10
#: The codes of styles on a terminal (ECMA-48).
_CODES = {
    "bold": "1",
    "italic": "3",
    "dim": "2",
    "red": "31",
    "yellow": "33",
    "green": "32",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

_STYLES = {"Step Name": "bold", "Workspace": "blue", "Job ID": "yellow"}
_STATE_STYLES = {
    "RUNNING": "bold cyan",
    "FINISHED": "green",
    "FAILED": "bold red",
    "TIMEDOUT": "bold red",
    "HWFAILURE": "bold red",
    "CANCELLED": "magenta",
}


class Page(NamedTuple):
    """The output: its width in columns, whether it has colours, and its encoding."""

    width: int = UNLIMITED
    colour: bool = False
    encoding: str = "utf-8"


class StatusView(NamedTuple):
    """The contents: the directory of a study, its steps in the order of lines, and why they did not succeed.

    The steps are read only once.
    """

    path: str
    steps: Iterable[ShownStep]
    now: Micros
    why: Callable[[Any], str]


def flat(view: StatusView, page: Page) -> Iterator[str]:
    """Yield the lines of one table with a line for each step."""
    unicode = page.encoding.lower().startswith("utf")
    cells: Iterator[list[str]] = ([*status_cells(step, view.now), view.why(step)] for step in view.steps)
    if not unicode:
        cells = ([_encodable(clean(cell), page.encoding) for cell in row] for row in cells)
    rows = MeasuredRows(cells, len(_COLUMNS) + 1)
    header = [*_COLUMNS, _WHY] if rows.filled[-1] else _COLUMNS
    pen = _Pen(page)

    def paint(text: str, cells: Sequence[str], row: int, column: int) -> str:
        if row < 0:
            return pen.text(text, "bold")
        dim = "" if row % 2 else "dim "
        state = _STATE_STYLES.get(cells[_STATE], "") if column == _STATE else ""
        return pen.text(text, dim + (state or _STYLES.get(header[column], "")))

    title = _encodable(clean(f"Study: {view.path}"), page.encoding)
    return boxed(title, header, rows, size=page.width, unicode=unicode, paint=paint if pen.colour else None)


def narrow(view: StatusView, page: Page) -> Iterator[str]:
    """Yield the lines of a block for each step, with its parameters. rich would take 7 ms per step."""
    pen = _Pen(page)
    size = min(page.width, _BLOCK)
    yield from (f"STUDY: {clean(view.path)}".center(size).rstrip(), "")
    for index, step in enumerate(view.steps):
        if index:
            yield from ("", pen.thick * size, "")
        yield from _block(step, view, pen)


def legacy(view: StatusView, page: Page) -> Iterator[str]:  # noqa: ARG001 - called like the other layouts
    """Yield the lines of Maestro's oldest layout, unchanged, because scripts parse it."""
    lines = aligned(_COLUMNS, (status_cells(step, view.now) for step in view.steps), ruler=True)
    header, dashes = next(lines), next(lines)
    ruler = "=" * len(dashes)
    yield from (ruler, clean(view.path), ruler, header, dashes)
    yield from lines
    yield ruler


LAYOUTS: dict[str, Callable[[StatusView, Page], Iterator[str]]] = {"flat": flat, "narrow": narrow, "legacy": legacy}

_STATE = _COLUMNS.index("State")


def _encodable(text: str, encoding: str) -> str:
    """Return a text with question marks for the characters that an encoding lacks."""
    return text.encode(encoding, "replace").decode(encoding)


class _Pen:
    """Writes strings with the styles, lines and characters that a page can show."""

    def __init__(self, page: Page) -> None:
        self.colour = page.colour and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.width = page.width
        try:
            "\u2500\u2501".encode(page.encoding)
            self.thin, self.thick = "\u2500", "\u2501"
        except UnicodeEncodeError:
            self.thin, self.thick = "-", "="
        self._encoding = page.encoding

    def text(self, value: str, style: str = "") -> str:
        """Return a text for the page. Characters that the page can't show become question marks."""
        shown = _encodable(clean(value), self._encoding)
        codes = ";".join(_CODES[word] for word in style.split()) if self.colour else ""
        return f"\x1b[{codes}m{shown}\x1b[0m" if codes and shown else shown

    def labelled(self, label: str, value: str, style: str = "") -> list[str]:
        """Return lines with a label and its value. A long value continues on the next line."""
        folded = list(fold(clean(value), max(self.width - len(_INDENT) - 2, _SHORTEST))) or [""]
        heads = [f"  {label}", *[""] * (len(folded) - 1)]
        return [
            f"{self.text(head.ljust(len(_INDENT)), style)}{self.text(part, style)}"
            for head, part in zip(heads, folded, strict=True)
        ]


def _block(step: ShownStep, view: StatusView, pen: _Pen) -> list[str]:
    """Return the lines of one step of the narrow layout."""
    values = dict(zip(HEADER, status_row(step, view.now), strict=True))
    why = view.why(step)
    lines = [
        *pen.labelled("STEP:", step.name, "bold"),
        *pen.labelled("WORKSPACE:", values["Workspace"], "blue"),
        *(pen.labelled("WHY:", why) if why else []),
        "",
    ]
    details = _pairs("Step Details", [(name, values[name]) for name in _DETAILS], pen)
    scheduler = _pairs("Scheduler Details", [(name, values[name]) for name in _SCHEDULER], pen)
    if len(_INDENT) + details.size + len(_GAP) + scheduler.size <= pen.width:
        pairs = zip(details.lines, scheduler.lines, strict=True)
        lines += [f"{_INDENT}{left}{_GAP}{right}" for left, right in pairs]
    else:
        lines += [f"{_INDENT}{line}" for table in (details, scheduler) for line in table.lines]
    return [line.rstrip() for line in [*lines, *_parameters(step, pen)]]


class _Drawn(NamedTuple):
    """The lines of a small table, all of the same width."""

    lines: list[str]
    size: int


def _pairs(title: str, pairs: Sequence[tuple[str, str]], pen: _Pen) -> _Drawn:
    """Return a small table: a title, a line, and a row for each name and value."""
    names, values = (max(width(clean(pair[side])) for pair in pairs) for side in (0, 1))
    size = names + values + len(_GAP) + 2
    lines = [pen.text(title.center(size), "italic"), pen.thin * size]
    for name, value in pairs:
        style = _STATE_STYLES.get(value, "") if name == "State" else ""
        padding = " " * (values - width(clean(value)))
        lines += [f" {pen.text(name.ljust(names), style)}{_GAP}{pen.text(value, style)}{padding} ", pen.thin * size]
    return _Drawn(lines, size)


def _parameters(step: ShownStep, pen: _Pen) -> Iterator[str]:
    """Yield lines with the parameters of a step, two per line if they fit."""
    cells = [(clean(param.key), clean(str(param.value))) for param in step.params]
    if not cells:
        return
    columns = [cells[first::_PAIRS_A_LINE] for first in range(_PAIRS_A_LINE)]
    sizes = [[max((width(cell[side]) for cell in column), default=0) for side in (0, 1)] for column in columns]
    size = sum(map(sum, sizes)) + len(_GAP) * (2 * _PAIRS_A_LINE - 1) + 2
    yield f"{_INDENT}{pen.text('Step Parameters', 'italic')}"
    if len(_INDENT) + size > pen.width:
        for key, value in cells:
            yield from (f"{_INDENT}{part}" for part in fold(f" {key}{_GAP}{value}", pen.width - len(_INDENT)))
        return
    yield f"{_INDENT}{pen.thin * size}"
    for start in range(0, len(cells), _PAIRS_A_LINE):
        row = [
            f"{key}{' ' * (names - width(key))}{_GAP}{' ' * (values - width(value))}{pen.text(value, 'blue')}"
            for (key, value), (names, values) in zip(cells[start : start + _PAIRS_A_LINE], sizes, strict=False)
        ]
        yield f"{_INDENT} {_GAP.join(row)}"
        yield f"{_INDENT}{pen.thin * size}"
