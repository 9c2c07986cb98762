from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maestro_es.core.model import Param, Phase, State, StepRecord
from maestro_es.report import layouts
from maestro_es.report.layouts import Page, StatusView

SECOND = 1_000_000


def record(number: int, name: str, **fields: Any) -> StepRecord:
    known = {
        "number": number, "name": name, "template": "sim", "params": (), "workspace": f"sim/{name}", "workspaces": {},
        "scheduled": True, "row": number, "restart_limit": 0,
    }  # fmt: skip
    return StepRecord(**{**known, **fields})


FINISHED = record(
    1,
    "one",
    state=State.FINISHED,
    phase=Phase.DONE,
    job_id="17",
    submitted_at=0,
    started_at=SECOND,
    ended_at=4 * SECOND,
)
RUNNING = record(2, "two", state=State.RUNNING, job_id="18", submitted_at=0, started_at=10 * SECOND)
FAILED = record(3, "[red]three[/red]\x1b[2J", state=State.FAILED, phase=Phase.DONE)


def view(*steps: StepRecord, **why: str) -> StatusView:
    return StatusView("/studies/[bold]pi", steps, 3610 * SECOND, lambda step: why.get(step.name, ""))


def flat(shown: StatusView, page: Page) -> str:
    return text(layouts.flat(shown, page))


def narrow(shown: StatusView, page: Page) -> str:
    return text(layouts.narrow(shown, page))


def legacy(shown: StatusView, page: Page) -> str:
    return text(layouts.legacy(shown, page))


def text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_flat_shows_maestros_columns_without_the_parameters():
    drawn = flat(view(FINISHED), Page())
    assert "Study: /studies/[bold]pi" in drawn
    header = next(line for line in drawn.splitlines() if "Step Name" in line)
    assert [cell.strip() for cell in header.strip("┃").split("┃")] == [
        "Step Name", "Job ID", "Workspace", "State", "Run Time", "Elapsed Time", "Start Time", "Submit Time",
        "End Time", "Number Restarts",
    ]  # fmt: skip
    [line] = [line for line in drawn.splitlines() if "FINISHED" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")][:6] == [
        "one", "17", "one", "FINISHED", "0d:00h:00m:03s", "0d:00h:00m:04s",
    ]  # fmt: skip


def test_a_running_step_shows_its_run_time():
    assert "0d:01h:00m:00s" in flat(view(RUNNING), Page())


@pytest.mark.parametrize("draw", [flat, narrow])
def test_why_is_shown_when_there_is_something_to_say(draw):
    assert "why" not in draw(view(FINISHED), Page()).lower()
    drawn = draw(view(FINISHED, RUNNING, two="upstream: a is FAILED"), Page())
    assert "why" in drawn.lower()
    assert "upstream: a is FAILED" in drawn


@pytest.mark.parametrize("draw", [flat, narrow, legacy])
def test_markup_and_control_characters_in_names_are_shown_and_not_obeyed(draw):
    drawn = draw(view(FAILED), Page())
    assert "[red]three[/red]?[2J" in drawn
    assert "/studies/[bold]pi" in drawn
    assert "\x1b" not in drawn


@pytest.mark.parametrize("draw", [flat, narrow])
def test_colours_are_drawn_only_when_they_are_asked_for(draw, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in draw(view(FINISHED), Page(width=200, colour=True))
    assert "\x1b" not in draw(view(FINISHED), Page(width=200))


@pytest.mark.parametrize("draw", [flat, narrow])
def test_a_terminal_that_knows_only_ascii_gets_only_that(draw):
    assert draw(view(FINISHED), Page(encoding="ascii")).isascii()


def test_flat_folds_long_names_where_the_terminal_ends():
    drawn = flat(view(record(1, "a_long_name_" * 10)), Page(width=100))
    assert max(map(len, drawn.splitlines())) == 100
    assert "…" not in drawn


def test_narrow_shows_a_block_a_step_with_parameters_that_may_hold_colons():
    params = tuple(Param(key, value, "", key) for key, value in (("N", "1"), ("AT", "12:30"), ("M", "x;y")))
    drawn = narrow(view(record(1, "one", params=params)), Page(width=120))
    lines = [" ".join(line.split()) for line in drawn.splitlines()]
    assert "STUDY: /studies/[bold]pi" in lines
    assert "STEP: one" in lines
    assert "WORKSPACE: sim/one" in lines
    assert "N 1 AT 12:30" in lines
    assert "M x;y" in lines
    assert "State INITIALIZED Submit Time --" in lines


def test_legacy_is_a_table_between_rulers():
    lines = legacy(view(FINISHED), Page()).splitlines()
    ruler = "=" * len(lines[0])
    assert (lines[0], lines[1], lines[2], lines[-1]) == (ruler, "/studies/[bold]pi", ruler, ruler)
    assert lines[3].startswith("Step Name      Job ID  Workspace    State     Run Time")
    assert lines[4].startswith("-----------  --------  -----------  --------  --------------")
    assert lines[5].startswith("one                17  one          FINISHED  0d:00h:00m:03s")


def test_a_large_study_is_drawn_with_a_line_a_step_too():
    drawn = flat(view(*[record(number, f"step_{number}") for number in range(1, 2501)]), Page())
    lines = drawn.splitlines()
    assert lines[0].strip() == "Study: /studies/[bold]pi"
    assert lines[2].startswith("┃ Step Name ┃ Job ID ┃")
    assert lines[-2].startswith("│ step_2500 │")
    assert len(lines) == 2505
