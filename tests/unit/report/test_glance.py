from __future__ import annotations

from collections import Counter

import pytest

from maestro_es.audit.overview import GROUPS, Overview, TemplateCounts, TimeLeft
from maestro_es.report.glance import overview_lines


def shown(page: int, template: TemplateCounts) -> list[str]:
    return list(overview_lines(Overview([template], 1200.0, None, {}), page, colour=False))


@pytest.mark.parametrize("page", [100, 80, 72])
def test_no_line_is_wider_than_the_page_even_if_steps_are_in_all_states(page):
    lines = shown(page, TemplateCounts("simulate-with-a-long-name", 1, Counter(dict.fromkeys(GROUPS, 2)), [4.0]))
    assert "20 steps per minute" in lines[-4].lower()
    assert max(map(len, lines)) <= page
    assert lines[-1].split()[-6:] == ["2"] * 6 or page == 100
    assert ("Steps" in lines[-2], "Run time" in lines[-2]) == (page > 72, page == 100)


def test_few_columns_fit_a_narrow_page():
    lines = shown(40, TemplateCounts("a", 1, Counter(finished=3), [4.0]))
    assert lines[-2:] == ["Template  Steps  Finished  Run time", "a             3         3       4 s"]


def test_the_numbers_of_a_million_steps_fit_the_page():
    lines = shown(80, TemplateCounts("a", 1, Counter(dict.fromkeys(GROUPS, 1_000_000)), [4.0]))
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).count("1000000 ") >= len(GROUPS)


@pytest.mark.parametrize(
    ("least", "pace"), [(0.0, "20 steps per minute"), (90.0, "At least 90 s left, 20 steps per minute")]
)
def test_a_bound_of_nothing_is_not_shown(least, pace):
    seen = Overview([TemplateCounts("a", 1, Counter(running=1))], 1200.0, TimeLeft(least, 95.0, is_bound=True), {})
    lines = list(overview_lines(seen, 80, colour=False))
    assert lines[1] == pace
