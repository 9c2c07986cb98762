"""Every event has its rule, and follows where it can."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import SubmissionKind
from maestro_es.core.reducer import replay
from maestro_es.core.step_rules import STEP_RULES
from maestro_es.core.study_rules import STUDY_RULES
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import Study, check_counts, in_phase
from tools.testbed.samples import MINIMAL

# -- the table of rules ----------------------------------------------------------------------------------------------


def test_every_event_has_exactly_one_rule():
    study_rules, step_rules = set(STUDY_RULES), set(STEP_RULES)

    assert study_rules | step_rules == set(e.EVENT_TYPES.values())
    assert not study_rules & step_rules


STEP_EVENTS = [event for event in MINIMAL if type(event) in STEP_RULES]


@pytest.mark.parametrize("event", STEP_EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("number", [None, 0, 2, -1])
def test_an_event_of_a_step_that_there_is_not_is_refused(study: Study, event: e.AnyEvent, number: int | None):
    study.add("a")

    with pytest.raises(InvalidTransition, match=f"event 5: {type(event).__name__} of an unknown step"):
        study.do(event, number)


# -- what can't follow -----------------------------------------------------------------------------------------------


#: In which phases of its step an event may be recorded; the restart and the release have tests of their own.
ALLOWED: dict[type[e.Event], set[str]] = {
    e.ConnectionAdded: {"blocked", "ready"},
    e.ConnectionRemoved: {"blocked", "ready"},
    e.StepImported: {"blocked", "ready"},
    e.StepRecovered: {"blocked", "ready", "requested", "submitted"},
    e.SubmissionRequested: {"ready"},
    e.JobSubmitted: {"requested"},
    e.SubmissionRejected: {"requested"},
    e.SubmissionUncertain: {"requested"},
    e.SubmissionWithdrawn: {"requested"},
    e.AttemptAbandoned: {"requested", "submitted"},
    e.JobDelayed: {"submitted"},
    e.JobStarted: {"submitted"},
    e.JobNotFound: {"submitted"},
    e.JobReappeared: {"submitted"},
    e.StepFinished: {"submitted"},
    e.StepTimedOut: {"submitted"},
    e.StepRestarted: set(),
    e.HardwareFailed: {"submitted"},
    e.StepFailed: {"blocked", "ready", "requested", "submitted"},
    e.StepCancelled: {"blocked", "ready", "requested", "submitted"},
    e.JobStateUnknown: {"submitted"},
    e.JobUnsupervised: {"submitted"},
    e.UsageReported: {"blocked", "ready", "requested", "submitted", "done"},
    e.OutputDoubted: {"done"},
    e.StepDryRun: {"ready"},
    e.StepReset: {"blocked", "ready", "done"},
    e.StepSkipped: {"blocked", "ready"},
    e.ScriptSetAside: {"blocked", "ready", "requested", "submitted", "done"},
    e.StepHeld: {"blocked", "ready", "requested", "submitted"},
    e.StepReleased: set(),
}


def with_token(event: e.AnyEvent, token: str) -> e.AnyEvent:
    if "token" not in event.__struct_fields__ or isinstance(event, e.SubmissionRequested):
        return event
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**{**fields, "token": token})


@pytest.mark.parametrize("phase", ["blocked", "ready", "requested", "submitted", "done"])
@pytest.mark.parametrize("event", STEP_EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_follows_in_its_phases_and_in_no_others(event: e.AnyEvent, phase: str):
    study, number = in_phase(phase)
    if isinstance(event, e.ConnectionAdded):
        event = e.ConnectionAdded(parent=study.add("other"))
    if isinstance(event, e.ConnectionRemoved) and phase in ALLOWED[type(event)]:
        other = study.add("other")
        study.do(e.ConnectionAdded(parent=other), number)
        if phase == "ready":
            study.finish(other)
        event = e.ConnectionRemoved(parent=other)
    event = with_token(event, study.step(number).token)

    if phase in ALLOWED[type(event)]:
        study.do(event, number)
        check_counts(study)
        return
    with pytest.raises(InvalidTransition, match=f"{type(event).__name__} can't follow for step 'a', which is "):
        study.do(event, number)


#: Those that must carry the token of the attempt; a request brings a new one.
WITH_TOKEN = [
    event
    for event in STEP_EVENTS
    if "token" in event.__struct_fields__ and not isinstance(event, (e.SubmissionRequested, e.UsageReported))
]


@pytest.mark.parametrize("event", WITH_TOKEN, ids=lambda event: type(event).__name__)
def test_an_event_that_carries_the_token_of_another_attempt_is_refused(event: e.AnyEvent):
    study, number = in_phase("requested" if "submitted" not in ALLOWED[type(event)] else "submitted")

    with pytest.raises(InvalidTransition, match="step 'a', whose token is 'cafe0123-1-1-salt', not 'stale'"):
        study.do(with_token(event, "stale"), number)


@pytest.mark.parametrize("attempt", [0, 2])
def test_attempts_are_counted_without_a_gap(study: Study, attempt: int):
    number = study.add("a")

    with pytest.raises(InvalidTransition, match="which is ready after attempt 0"):
        study.do(e.SubmissionRequested(attempt=attempt, token="t", kind=SubmissionKind.FIRST), number)


def test_folding_the_same_events_again_gives_the_same_graph(study: Study):
    first, second = study.chain("a", "b")
    study.finish(first)
    study.start(second)

    again = replay(study.events)

    assert again.study == study.graph.study
    assert list(again.steps()) == list(study.graph.steps())
