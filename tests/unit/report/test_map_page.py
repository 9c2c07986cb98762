"""A map of the parameter space fits the page, and hides no failure, however many values there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maestro_es.audit.parameter_map import QUANTITIES, map_data, parameter_map
from maestro_es.core.model import Param, State, StepRecord
from maestro_es.errors import RequestRefused
from maestro_es.report.map_page import map_lines
from maestro_es.report.table import width

MINUTE = 60_000_000


def step(number: int, state: State = State.FINISHED, run: int = 1, **params: object) -> StepRecord:
    """Return a step that ran this number of minutes."""
    return StepRecord(
        number=number, name=f"s{number}", template="s", workspace="", workspaces={}, scheduled=False, row=number,
        restart_limit=1, state=state, attempt=1, submitted_at=1, started_at=MINUTE + 1,
        ended_at=(1 + run) * MINUTE + 1, exit_code=3 if state is State.FAILED else 0,
        params=tuple(Param(name, str(value), f"{name}.{value}", name) for name, value in params.items()),
    )  # fmt: skip


def grid(rows: int, columns: int, failed: tuple[int, int]) -> Iterator[StepRecord]:
    for row in range(rows):
        for column in range(columns):
            state = State.FAILED if (row, column) == failed else State.FINISHED
            yield step(row * columns + column + 1, state, row, SIZE=row, SEED=column)


def shown(*steps: StepRecord, by: str = "state", names: tuple[str, ...] = (), page: int = 80) -> list[str]:
    return list(map_lines(parameter_map(steps, names, by, 0), page, colour=False))


def test_each_pair_of_values_is_a_cell_with_the_worst_state_of_its_steps():
    lines = shown(
        step(1, SIZE=10, METHOD="cg"),
        step(2, State.RUNNING, SIZE=10, METHOD="cg"),
        step(3, SIZE=9, METHOD="cg"),
        step(4, State.FAILED, SIZE=9, METHOD="gmres"),
        step(5, SIZE=9, METHOD="gmres"),
        step(6, State.FAILED),
    )

    assert lines == [
        "State by SIZE down, METHOD across",
        "",
        "SIZE    cg gmres",
        "9        #     X",
        "10       R",
        "",
        "# finished  X failed  R running",
        "A cell with several steps shows the worst state.",
        "Not in the map: 1 step without SIZE and METHOD: 1 failed",
    ]


def test_with_one_parameter_each_value_has_a_line_with_the_number_of_its_steps():
    lines = shown(step(1, SIZE=10), step(2, State.CANCELLED, SIZE=10), step(3, SIZE=20), names=("SIZE",))

    assert lines[2:4] == ["10   c  1 finished, 1 cancelled", "20   #  1 finished"]


@pytest.mark.parametrize("by", QUANTITIES)
@pytest.mark.parametrize("failed", [(0, 0), (30, 45), (52, 89)])
def test_many_values_are_folded_and_the_failure_is_still_there(by: str, failed: tuple[int, int]):
    found = parameter_map(list(grid(53, 90, failed)), [], by, 0)
    for page in (40, 80, 120):
        lines = list(map_lines(found, page, colour=False))

        assert max(map(width, lines)) <= page
        assert len(lines) < 60
        assert sum("X" in line for line in lines) == 2  # in the map, and in the legend
        assert any(line.startswith("52 ") for line in lines)


@pytest.mark.parametrize(("by", "cell"), [("run", "X7:00"), ("exit", "X3"), ("wait", "X1:00"), ("attempts", "X1")])
def test_a_number_keeps_the_letter_of_a_failure(by: str, cell: str):
    lines = shown(step(1, State.FAILED, run=7, A=1, B=1), step(2, run=2, A=1, B=2), by=by, names=("A", "B"))

    assert lines[3].split()[1] == cell


def test_names_from_users_are_shortened_and_harmless():
    lines = shown(step(1, A="x" * 100, B="a\x1b[31mb"), step(2, A="計算" * 20, B="y" * 50), names=("A", "B"))

    assert max(map(width, lines)) <= 80
    assert all(line.isprintable() for line in lines)


def test_data_has_every_cell():
    data = map_data(parameter_map([step(1, A=1, B=1), step(2, State.FAILED, run=5, A=1, B=1)], ("A", "B"), "run", 0))

    assert data["cells"] == [
        {
            "values": {"A": "1", "B": "1"},
            "steps": 2,
            "state": "failed",
            "states": {"finished": 1, "failed": 1},
            "value": 300.0,
        }
    ]


def test_an_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(RequestRefused, match="'SIZ' is not a parameter of the study; the parameters are SIZE, SEED"):
        parameter_map([step(1, SIZE=1, SEED=1)], ["SIZ"], "state", 0)
    with pytest.raises(RequestRefused, match=r"^the steps of the study have no parameters$"):
        parameter_map([step(1)], [], "state", 0)
