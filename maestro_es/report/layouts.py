"""Maestro's three layouts of a status: flat, narrow and legacy.

They show what ``status.csv`` holds, as `maestro status` does. New is a last column, or line, that says why a step did
not end well; it is there when there is something to say. Names and values come from study files: they are shown as
they are, never taken for markup, and what a terminal would obey is left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from maestro_es.core.model import Micros, StepRecord
from maestro_es.poller.status_csv import HEADER, status_row
from maestro_es.report.plain import clean, columns

#: How wide a table may get where no terminal sets a limit: as wide as it needs, so that a line is a step.
UNLIMITED = 100_000

#: From so many steps on the flat layout is drawn as plain columns: rich takes half a millisecond a step.
_LARGE = 2000

_COLUMNS = HEADER[:-1]  # Maestro shows the parameters in the narrow layout only
_WHY = "Why"
_DETAILS = ("State", "Job ID", "Run Time", "Elapsed Time")
_SCHEDULER = ("Submit Time", "Start Time", "End Time", "Number Restarts")
_PAIRS_A_LINE = 2

_STYLES = {"Step Name": "bold", "Workspace": "blue", "Job ID": "yellow"}
_STATE_STYLES = {
    "RUNNING": "bold cyan",
    "FINISHED": "green",
    "FAILED": "bold red",
    "TIMEDOUT": "bold red",
    "HWFAILURE": "bold red",
    "CANCELLED": "magenta",
}


@dataclass(frozen=True)
class Page:
    """What is drawn on: how many columns wide, with colours or not, and whether it has more than ASCII."""

    width: int = UNLIMITED
    colour: bool = False
    encoding: str = "utf-8"


class View(NamedTuple):
    """What is drawn: the directory of a study, steps in the order of lines, and why by the number of a step."""

    path: str
    steps: Sequence[StepRecord]
    now: Micros
    reasons: Mapping[int, str]


def flat(view: View, page: Page) -> str:
    """Draw one table with a line for each step."""
    header, rows = _rows(view)
    if len(rows) >= _LARGE:
        return "\n".join((f"Study: {clean(view.path)}", *columns(header, rows))) + "\n"
    table = Table(title=_text(f"Study: {view.path}"), box=box.HEAVY_HEAD)
    for title in header:
        table.add_column(title, style=_STYLES.get(title, ""), overflow="fold")
    for index, row in enumerate(rows):
        cells = list(map(_text, row))
        cells[_STATE].stylize(_STATE_STYLES.get(row[_STATE], ""))
        table.add_row(*cells, style="none" if index % 2 else "dim")
    return _draw(table, page)


def narrow(view: View, page: Page) -> str:
    """Draw a block for each step, with its parameters."""
    table = Table.grid(padding=0)
    table.title = _text(f"STUDY: {view.path}")
    table.box = box.HEAVY
    table.show_lines = True
    table.show_edge = False
    table.collapse_padding = True
    table.add_column("Step", overflow="fold")
    for step in view.steps:
        table.add_row(_block(step, view), end_section=True)
    return _draw(table, page)


def legacy(view: View, page: Page) -> str:  # noqa: ARG001 - drawn like the others
    """Draw Maestro's first layout, as it always was: to be read by the scripts that read it."""
    lines = columns(_COLUMNS, [status_row(step, view.now)[:-1] for step in view.steps], ruler=True)
    ruler = "=" * max(map(len, lines))
    return "\n".join((ruler, clean(view.path), ruler, *lines, ruler)) + "\n"


LAYOUTS: dict[str, Callable[[View, Page], str]] = {"flat": flat, "narrow": narrow, "legacy": legacy}

_STATE = _COLUMNS.index("State")


def _rows(view: View) -> tuple[list[str], list[list[str]]]:
    """Return the header and the lines of the flat layout."""
    rows = [status_row(step, view.now)[:-1] for step in view.steps]
    reasons = [view.reasons.get(step.number, "") for step in view.steps]
    if not any(reasons):
        return list(_COLUMNS), rows
    return [*_COLUMNS, _WHY], [[*row, why] for row, why in zip(rows, reasons, strict=True)]


def _block(step: StepRecord, view: View) -> Table:
    """Draw one step of the narrow layout."""
    values = dict(zip(HEADER, status_row(step, view.now), strict=True))
    details = {name: values[name] for name in _DETAILS}
    block = Table(box=box.SIMPLE_HEAVY, show_header=False)
    block.add_column("key")
    block.add_column("val", overflow="fold")
    block.add_row("STEP:", _text(step.name), style="bold")
    block.add_row("WORKSPACE:", _text(values["Workspace"]), style="blue")
    why = view.reasons.get(step.number)
    if why:
        block.add_row("WHY:", _text(why))
    block.add_row("", "")
    both = Table.grid(padding=1)
    both.add_row(_pairs("Step Details", details), _pairs("Scheduler Details", {n: values[n] for n in _SCHEDULER}))
    block.add_row("", both)
    if step.params:
        block.add_row("", _parameters(step))
    return block


def _pairs(title: str, values: Mapping[str, str]) -> Table:
    table = Table(title=title, show_header=False, show_lines=True, box=box.HORIZONTALS)
    for name, value in values.items():
        style = _STATE_STYLES.get(value, "") if name == "State" else ""
        table.add_row(name, _text(value), style=style)
    return table


def _parameters(step: StepRecord) -> Table:
    """Draw the parameters of a step, two in a line."""
    table = Table(title="Step Parameters", show_header=False, show_lines=True, box=box.HORIZONTALS)
    for _ in range(_PAIRS_A_LINE):
        table.add_column("name")
        table.add_column("val", style="blue", justify="right", overflow="fold")
    cells = [_text(cell) for param in step.params for cell in (param.key, param.value)]
    for start in range(0, len(cells), 2 * _PAIRS_A_LINE):
        table.add_row(*cells[start : start + 2 * _PAIRS_A_LINE])
    return table


def _text(value: str) -> Text:
    """Return a cell that is no markup."""
    return Text(clean(value))


def _draw(drawing: RenderableType, page: Page) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=page.encoding, errors="replace")
    Console(file=out, width=page.width, force_terminal=page.colour, highlight=False).print(drawing)
    out.seek(0)
    return out.read()
