"""Maestro's classes that lay out the status of a study.

They convert the columns of ``status.csv`` to a table on the terminal.

`maestro_es.report.layouts` contains the layouts of ``maestro-es status``.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from rich import box
from rich.console import Console
from rich.table import Table
from rich.theme import Theme

from maestro_es.report.table import columns

_DETAILS = ("State", "Job ID", "Run Time", "Elapsed Time")
_SCHEDULER = ("Submit Time", "Start Time", "End Time", "Number Restarts")
_PARAMETERS = "Params"

Columns = Mapping[str, Sequence[Any]]


class BaseStatusRenderer(ABC):
    """Lays out a status and prints it. `_theme_dict` maps the names that the layout uses to styles."""

    layout_type: ClassVar[str] = ""
    #: The styles that an object begins with.
    _styles: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *_: Any, disable_theme: bool = False, disable_pager: bool = False, **__: Any) -> None:  # noqa: ANN401 - as Maestro
        self.disable_theme = disable_theme
        self.disable_pager = disable_pager
        self._theme_dict = dict(self._styles)
        self._status_data: Columns = {}
        self._status_table: Any = None
        self._study_title = ""
        self._filters: dict[str, Any] = {}

    @abstractmethod
    def layout(self, status_data: Columns, study_title: str | None = None, filter_dict: Any = None) -> None:  # noqa: ANN401 - unused, as in Maestro
        """Make the table from a mapping of titles to columns. ValueError if there are no columns."""

    def render(self, theme: Mapping[str, str] | None = None) -> None:
        """Print the table, in a pager unless it is disabled. `theme` replaces styles."""
        self._theme_dict.update(theme or {})
        if self.disable_theme:
            self._theme_dict = dict.fromkeys(self._theme_dict, "none")
        console = Console(theme=Theme(self._theme_dict))
        if self.disable_pager:
            console.print(self._status_table)
        else:
            with console.pager(styles=not self.disable_theme):
                console.print(self._status_table)

    def render_to_str(self, theme: Mapping[str, str] | None = None, width: int = 200) -> str:
        """Return the table as plain text, without colours."""
        self._theme_dict.update(theme or {})
        out = io.StringIO()
        Console(theme=Theme(self._theme_dict), file=out, width=width).print(self._status_table)
        return out.getvalue()

    def _take(self, status_data: Columns) -> Columns:
        """Check the columns of a status, and return them. ValueError if there are none."""
        if not isinstance(status_data, dict) or not status_data:
            raise ValueError("there is no status to lay out: pass a dictionary that maps titles to columns")
        self._status_data = status_data
        return status_data


def _rows(data: Columns) -> range:
    return range(len(next(iter(data.values()))))


class LegacyStatusRenderer(BaseStatusRenderer):
    """Plain columns between rulers."""

    layout_type = "legacy"

    def layout(self, status_data: Columns, study_title: str | None = None, filter_dict: Any = None) -> None:  # noqa: ANN401, ARG002 - likewise
        """Lay out the status as plain text."""
        data = {title: cells for title, cells in self._take(status_data).items() if title != _PARAMETERS}
        self._status_data = data
        lines = columns(list(data), [[str(cells[row]) for cells in data.values()] for row in _rows(data)], ruler=True)
        ruler = "=" * max(map(len, lines))
        self._status_table = "\n".join((ruler, study_title or "", ruler, *lines, ruler, ""))

    def render(self, theme: Mapping[str, str] | None = None) -> None:  # noqa: ARG002 - this layout has no styles
        """Print the text."""
        Console(soft_wrap=True, highlight=False, markup=False, emoji=False).print(self._status_table)

    def render_to_str(self, theme: Mapping[str, str] | None = None, width: int = 200) -> str:  # noqa: ARG002 - likewise
        """Return the text."""
        return str(self._status_table)


class FlatStatusRenderer(BaseStatusRenderer):
    """One table with a line for each step."""

    layout_type = "flat"
    _styles: ClassVar[Mapping[str, str]] = {
        "State": "bold red",
        "Step Name": "bold",
        "Workspace": "blue",
        "Job ID": "yellow",
        "row_style": "none",
        "row_style_dim": "dim",
        "col_style_1": "",
        "col_style_2": "blue",
        "bgcolor": "grey7",
        "color": "",
    }

    def layout(self, status_data: Columns, study_title: str | None = None, filter_dict: Any = None) -> None:  # noqa: ANN401, ARG002 - likewise
        """Make the table, without the parameters."""
        data = self._take(status_data)
        titles = [title for title in data if title != _PARAMETERS]
        table = Table(title=f"Study: {study_title}" if study_title else None)
        for index, title in enumerate(titles):
            plain = "col_style_2" if index % 2 else "col_style_1"
            table.add_column(title, style=title if title in self._theme_dict else plain, overflow="fold")
        for row in _rows(data):
            table.add_row(*(str(data[title][row]) for title in titles), style="none" if row % 2 else "dim")
        self._status_table = table


class NarrowStatusRenderer(BaseStatusRenderer):
    """A block for each step, with its parameters."""

    layout_type = "narrow"
    _styles: ClassVar[Mapping[str, str]] = {
        "State": "bold red",
        "Step Name": "bold",
        "Workspace": "blue",
        "row_style": "",
        "row_style_dim": "dim",
        "background": "grey7",
    }

    def layout(self, status_data: Columns, study_title: str | None = None, filter_dict: Any = None) -> None:  # noqa: ANN401, ARG002 - likewise
        """Make the blocks."""
        data = self._take(status_data)
        blocks = Table.grid(padding=0)
        blocks.title = f"STUDY: {study_title}" if study_title else None
        blocks.box, blocks.show_lines, blocks.show_edge = box.HEAVY, True, False
        blocks.show_footer, blocks.collapse_padding = True, True
        blocks.add_column("Step", overflow="fold")
        for row in _rows(data):
            blocks.add_row(self._block({title: str(cells[row]) for title, cells in data.items()}), end_section=True)
        self._status_table = blocks

    def render_to_str(self, theme: Mapping[str, str] | None = None, width: int = 120) -> str:
        """Return the blocks as plain text, without colours."""
        return super().render_to_str(theme, width)

    def _block(self, step: Mapping[str, str]) -> Table:
        block = Table(box=box.SIMPLE_HEAVY, show_header=False)
        block.add_column("key")
        block.add_column("val", overflow="fold")
        block.add_row("STEP:", step["Step Name"], style="Step Name")
        block.add_row("WORKSPACE:", step["Workspace"], style="Workspace")
        block.add_row("", "")
        both = Table.grid(padding=1)
        both.add_column("details")
        both.add_column("scheduler")
        both.add_row(_pairs("Step Details", _DETAILS, step), _pairs("Scheduler Details", _SCHEDULER, step))
        block.add_row("", both)
        parameters = [pair for pair in step.get(_PARAMETERS, "").split(";") if pair]
        if parameters:
            block.add_row("", _two_in_a_line("Step Parameters", parameters))
        return block


def _small(title: str) -> Table:
    return Table(title=title, show_header=False, show_lines=True, box=box.HORIZONTALS)


def _pairs(title: str, names: Sequence[str], step: Mapping[str, str]) -> Table:
    table = _small(title)
    table.add_column("key")
    table.add_column("val")
    for name in names:
        table.add_row(name, step[name], style="State" if name == "State" else "row_style")
    return table


def _two_in_a_line(title: str, pairs: Sequence[str]) -> Table:
    """Return a table of ``name:value`` strings. A value may contain colons."""
    table = _small(title)
    for _ in range(2):
        table.add_column()
        table.add_column(style="blue", justify="right")
    cells = [pair.partition(":")[::2] for pair in pairs]
    for first, second in zip(cells[::2], [*cells[1::2], ("", "")], strict=False):
        table.add_row(*first, *second, style="row_style")
    return table


class StatusRendererFactory:
    """Finds a layout by its name."""

    def __init__(self) -> None:
        self._layouts: dict[str, type[BaseStatusRenderer]] = {}
        for renderer in (FlatStatusRenderer, LegacyStatusRenderer, NarrowStatusRenderer):
            self.register_layout(renderer.layout_type, renderer)

    def register_layout(self, layout: str, renderer: type[BaseStatusRenderer]) -> None:
        """Add a layout, or replace one."""
        self._layouts[layout] = renderer

    def get_renderer(self, layout: str, disable_theme: bool, disable_pager: bool) -> BaseStatusRenderer:  # noqa: FBT001 - Maestro's signature
        """Return an object that draws a layout. ValueError if no layout has this name."""
        if layout not in self._layouts:
            raise ValueError(f"there is no layout {layout!r}; the layouts are: {', '.join(self._layouts)}")
        return self._layouts[layout](disable_theme=disable_theme, disable_pager=disable_pager)

    def get_layouts(self) -> Collection[str]:
        """Return the names of the layouts."""
        return self._layouts.keys()


status_renderer_factory = StatusRendererFactory()
