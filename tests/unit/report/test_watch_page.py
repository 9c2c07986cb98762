from __future__ import annotations

from collections import Counter

import pytest

from maestro_es.audit.overview import Overview, TemplateCounts
from maestro_es.report.watch_page import MainPage, StepEntry, main_lines


@pytest.mark.parametrize("rows", range(8, 24))
def test_a_short_page_says_how_many_templates_are_missing(rows):
    templates = [TemplateCounts(name, 1, Counter(finished=3), [4.0]) for name in "abcd"]
    overview = Overview(templates, 1200.0, None, {})
    page = MainPage("title", overview, [StepEntry("a", "0:01")], [], ["event"] * 20)
    lines = main_lines(page, 80, rows, "keys", colour=False)
    hidden = 4 - sum(line[:1] in "abcd" and line[1:2] == " " for line in lines if line)
    assert len(lines) == rows
    assert [line for line in lines if line.startswith("and ")] == (
        [f"and {hidden} more template{'s' if hidden > 1 else ''}"] if hidden else []
    )
