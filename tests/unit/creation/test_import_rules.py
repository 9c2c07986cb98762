"""What becomes of a step of Maestro's, for every state that its table may show."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_es.adapters.base import JobInfo
from maestro_es.core import events as e
from maestro_es.core.cascade import ended_badly
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import JobState, Phase, State, StepRecord, SubmissionKind
from maestro_es.core.reducer import apply
from maestro_es.creation.import_rules import ImportDecision, StepFacts, decide_import
from maestro_es.errors import StudyError
from maestro_es.study_file.maestro_dir import Ended
from maestro_es.study_file.maestro_status import Row

STUDY_ID = "cafe0123" * 4
SEEN = {state: JobInfo(state, f"job 17 is {state.value}") for state in JobState}


def decision(
    state: State, *, job_id: str = "17", restarts: int = 0, scheduled: bool = True, **facts: Any
) -> ImportDecision:
    step = StepRecord(
        number=1, name="a", template="a", params=(), workspace="a", workspaces={}, scheduled=scheduled, row=1,
        restart_limit=1,
    )  # fmt: skip
    row = Row("a", job_id, state, 1, 2, 3, restarts, "")
    return decide_import(step, row, StepFacts(**facts), STUDY_ID)


def folded(found: ImportDecision) -> StepRecord:
    """Return the step after the events of its fate."""
    graph = MemoryGraph()
    run = {"cmd": "run", "restart": "run on"}
    new_events: list[e.NewEvent] = [
        (None, e.StepTemplateAdded(name="a", description="", run=run)),
        (1, e.StepAdded(name="a", template="a", workspace="a", scheduled=True, restart_limit=1)),
        *((1, event) for event in found.events),
    ]
    for seq, (step, event) in enumerate(new_events, 1):
        apply(graph, e.Recorded(seq, 1000 * seq, 1, step, event))
    return graph.step(1)


@pytest.mark.parametrize("state", [State.FINISHED, State.FAILED, State.CANCELLED, State.TIMEDOUT])
@pytest.mark.parametrize("scheduled", [True, False])
def test_what_has_ended_stays_as_it_is(state, scheduled):
    found = decision(state, scheduled=scheduled, restarts=2, begun=True, seen=SEEN[JobState.RUNNING])

    step = folded(found)
    assert (step.state, step.phase, step.job_id, step.restarts) == (state, Phase.DONE, "17", 2)
    assert (step.submitted_at, step.started_at, step.ended_at) == (1, 2, 3)
    assert ended_badly([(1, event) for event in found.events]) == ([] if state is State.FINISHED else [1])
    [event] = found.events
    assert isinstance(event, e.StepImported)
    assert event.evidence == (e.Evidence(source="imported", detail=f"status.csv: {state.name}, job 17"),)


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
@pytest.mark.parametrize("queue", [state for state in JobState if state is not JobState.GONE])
def test_a_job_that_the_scheduler_knows_is_adopted_whatever_it_says(state, queue):
    found = decision(state, seen=SEEN[queue])

    assert found.becomes == "adopted"
    step = folded(found)
    assert (step.phase, step.job_id, step.attempt) == (Phase.SUBMITTED, "17", 1)
    assert step.token == "cafe0123-1-1-imported"
    assert (step.submitted_at, step.started_at) == (1, 2)


def test_the_job_of_a_restart_is_adopted_as_one_and_its_count_goes_on():
    found = decision(State.TIMEDOUT, restarts=1, restartable=True, seen=SEEN[JobState.PENDING])

    step = folded(found)
    assert (step.state, step.phase, step.kind, step.restarts) == (
        State.TIMEDOUT, Phase.SUBMITTED, SubmissionKind.RESTART, 1,
    )  # fmt: skip


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
def test_a_job_that_the_scheduler_does_not_know_any_more_is_run_again(state):
    found = decision(state, begun=True, seen=SEEN[JobState.GONE])

    assert (found.becomes, found.why) == ("to run again", "the scheduler no longer lists job 17")
    assert (folded(found).state, folded(found).phase) == (State.INITIALIZED, Phase.READY)


def test_a_restart_whose_job_is_gone_goes_on_with_its_restart_script():
    found = decision(State.TIMEDOUT, restarts=2, restartable=True, seen=SEEN[JobState.GONE])

    step = folded(found)
    assert (step.phase, step.kind, step.restarts) == (Phase.READY, SubmissionKind.RESTART, 2)


def test_a_job_that_the_scheduler_was_not_asked_for_is_refused():
    with pytest.raises(StudyError, match="a: the scheduler was not asked about job 17; try again"):
        decision(State.RUNNING)


@pytest.mark.parametrize("state", [State.INITIALIZED, State.PENDING])
def test_a_step_that_may_have_a_job_without_an_id_is_refused_with_what_to_do(state):
    with pytest.raises(StudyError, match=r"look for a job of that name in the queue.*remove the directory a"):
        decision(state, job_id="", begun=True)


@pytest.mark.parametrize("state", [State.INITIALIZED, State.PENDING, State.RUNNING])
def test_a_local_step_without_an_end_is_run_again(state):
    found = decision(state, job_id="", scheduled=False, begun=True)

    assert found.becomes == "to run again"
    assert (folded(found).state, folded(found).phase) == (State.INITIALIZED, Phase.READY)


@pytest.mark.parametrize("end", [State.FINISHED, State.FAILED])
@pytest.mark.parametrize("state", [State.INITIALIZED, State.RUNNING])
def test_an_end_in_the_conductors_log_counts_where_the_table_has_none(state, end):
    found = decision(state, job_id="", scheduled=False, begun=True, ended=Ended(end, 9))

    step = folded(found)
    assert (step.state, step.phase, step.ended_at) == (end, Phase.DONE, 9)


def test_an_end_in_the_table_counts_more_than_the_log():
    assert folded(decision(State.FAILED, ended=Ended(State.FINISHED, 9))).state is State.FAILED


@pytest.mark.parametrize(("state", "begun"), [(State.INITIALIZED, False), (State.DRYRUN, True), (State.DRYRUN, False)])
def test_a_step_that_maestro_did_not_touch_is_as_new(state, begun):
    found = decision(state, job_id="", begun=begun)

    assert (found.becomes, found.events) == ("to run", ())
