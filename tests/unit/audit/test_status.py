from __future__ import annotations

import pytest

from maestro_es.audit.sentences import listed
from maestro_es.audit.status import counts, reason, select_steps, step_data
from maestro_es.audit.step_details import find_step
from maestro_es.core import events as e
from maestro_es.core.model import Cause, Phase, State, StepRecord
from maestro_es.errors import RequestRefused
from tests.unit.core.making import Study

SECOND = 1_000_000


def record(**fields) -> StepRecord:
    known = {
        "number": 1, "name": "sim_1", "template": "sim", "params": (), "workspace": "sim/1", "workspaces": {},
        "scheduled": True, "row": 1, "restart_limit": 0,
    }  # fmt: skip
    return StepRecord(**{**known, **fields})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"state": State.FINISHED, "phase": Phase.DONE}, ""),
        ({"state": State.FAILED, "cause": Cause.EXIT_CODE, "message": "exit code 3"}, "exit code 3"),
        ({"state": State.FAILED, "cause": Cause.UPSTREAM, "message": "a is FAILED"}, "upstream: a is FAILED"),
        ({"state": State.TIMEDOUT, "message": "it has no restart script"}, "it has no restart script"),
        ({"state": State.CANCELLED, "message": "cancelled"}, "cancelled"),
        ({"state": State.PENDING, "rejections": 1, "message": "no queue"}, "submission refused: no queue"),
        ({"state": State.RUNNING, "phase": Phase.SUBMITTED, "message": "node failed"}, ""),
    ],
)
def test_the_reason_is_said_of_steps_that_did_not_end_well_and_of_no_other(fields, why):
    assert reason(record(**fields)) == why


def test_a_running_step_has_a_run_time_and_its_times_are_utc():
    data = step_data(record(state=State.RUNNING, submitted_at=SECOND, started_at=2 * SECOND), 12 * SECOND)
    assert (data["run_seconds"], data["elapsed_seconds"]) == (10.0, 11.0)
    assert data["started_at"] == "1970-01-01T00:00:02.000000+00:00"


def test_a_step_that_waits_has_no_run_time():
    data = step_data(record(state=State.PENDING, submitted_at=SECOND), 12 * SECOND)
    assert (data["run_seconds"], data["elapsed_seconds"], data["job_id"]) == (None, None, None)


def family() -> Study:
    """Two steps of `sim`, what waits for the first of them, and what waits for both; in other order in status.csv."""
    study = Study()
    first = study.add("sim_1", template="sim", row=2)
    study.add("sim_2", template="sim", row=1)
    study.add("post_1", template="post", parents=(first,), row=3)
    study.add("end", funnels=("sim",), row=4)
    return study


def test_steps_are_in_the_order_of_status_csv():
    assert [step.name for step in select_steps(family().graph)] == ["sim_2", "sim_1", "post_1", "end"]


def test_patterns_and_states_narrow_the_steps_down():
    study = family()
    study.do(e.StepCancelled(at=5, message="cancelled"), 2)
    names = [step.name for step in select_steps(study.graph, ["sim", "end"], [State.INITIALIZED])]
    assert names == ["sim_1", "end"]


def test_a_pattern_that_names_no_step_is_refused():
    with pytest.raises(RequestRefused, match="no step is called simm"):
        select_steps(family().graph, ["simm"])


def test_a_step_is_found_by_its_name_or_a_glob_of_it():
    graph = family().graph
    assert find_step(graph, "sim_2").name == "sim_2"
    assert find_step(graph, "e*").name == "end"


def test_a_pattern_of_several_steps_is_refused_with_their_names():
    with pytest.raises(RequestRefused, match="2 steps match sim: sim_1, sim_2; name one"):
        find_step(family().graph, "sim")


def test_of_many_names_the_first_are_said_and_the_rest_is_counted():
    assert listed([str(number) for number in range(13)]) == "0, 1, 2, 3, 4 and 8 more"


def test_counts_of_steps_are_in_maestros_order_in_words_too():
    assert counts({"FINISHED": 12, "RUNNING": 3}) == "3 RUNNING, 12 FINISHED"
    assert counts({}) == "no steps"
