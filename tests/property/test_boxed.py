"""A table in a frame is drawn as rich draws it, wherever its cells fit."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from maestro_es.report.boxed import boxed, framed_width
from maestro_es.report.table import MeasuredRows, clean, width

CELLS = st.text(alphabet="ab_-. é漢[]", max_size=12).map(lambda text: clean(text).strip())
HEADERS = st.lists(st.sampled_from(["Step Name", "Job ID", "State"]), min_size=2, max_size=4)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@given(st.data())
def test_a_table_that_fits_is_drawn_as_rich_draws_it(encoding, data):
    header = data.draw(HEADERS)
    cells = CELLS if encoding == "utf-8" else CELLS.filter(str.isascii)
    rows = data.draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), max_size=4))
    table = Table(title=Text("Study"), box=box.HEAVY_HEAD)
    for title in header:
        table.add_column(title)
    for row in rows:
        table.add_row(*map(Text, row))
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=out, width=200, highlight=False).print(table)
    out.seek(0)

    lines = boxed("Study", header, MeasuredRows(rows, len(header)), size=200, unicode=encoding == "utf-8")
    assert "\n".join(lines) + "\n" == out.read()


@given(st.lists(st.lists(st.text(alphabet="ab 漢-", max_size=40), min_size=3, max_size=3), max_size=4), st.data())
def test_a_table_that_does_not_fit_is_folded_and_loses_nothing(rows, data):
    header = ["Step Name", "Job ID", "State"]
    table = MeasuredRows(rows, len(header))
    size = data.draw(st.integers(30, max(30, framed_width([max(9, cells) for cells in table.sizes]))))

    lines = list(boxed("Study", header, table, size=size))

    assert max(map(width, lines)) <= max(size, 24)
    drawn = sorted("".join(lines))
    assert not [character for row in rows for cell in row for character in cell.strip() if character not in drawn]
