"""Decides which kinds of states diagrams and pages distinguish, and which state a step has after an event.

`maestro_es.core.step_rules` has the rules for states, but needs the records of steps. A million records take
gigabytes, so this module works without them. The docstrings of the events state the same rules in lines
``Result: ...``, and a property test compares this module with the reducer.
"""

from __future__ import annotations

from maestro_es.audit.overview import group_of
from maestro_es.core import events as e
from maestro_es.core.model import State, SubmissionKind

#: The kinds of states that diagrams and pages distinguish.
KINDS = ("to submit", "queued", "running", "finished", "failed", "timed out", "not run", "cancelled")


def kind_of(state: State, *, is_upstream: bool) -> str:
    """Return the kind of a state: its group, except that "not run" and "timed out" are separate from "failed".

    `is_upstream` says that the step has ended because of another step.
    """
    if state is State.TIMEDOUT:
        return "timed out"
    return "not run" if is_upstream and state is State.FAILED else group_of(state)


#: The state after each event that always leads to the same state.
_STATES: dict[type[e.Event], State] = {
    e.StepAdded: State.INITIALIZED,
    e.JobStarted: State.RUNNING,
    e.StepFinished: State.FINISHED,
    e.StepTimedOut: State.TIMEDOUT,
    e.StepRestarted: State.TIMEDOUT,
    e.HardwareFailed: State.HWFAILURE,
    e.StepFailed: State.FAILED,
    e.StepCancelled: State.CANCELLED,
    e.StepDryRun: State.DRYRUN,
    e.StepReset: State.INITIALIZED,
    e.StepSkipped: State.FINISHED,
}

#: The states in which a step has a job, and the events after which it has none and waits.
_WITH_JOB = (State.PENDING, State.RUNNING)
_WITHOUT_JOB = (e.SubmissionRejected, e.AttemptAbandoned, e.SubmissionWithdrawn)


def state_after(event: e.AnyEvent, state: State) -> State:
    """Return the state of a step after an event. `state` is the state before it."""
    always = _STATES.get(type(event))
    if always is not None:
        return always
    match event:
        case e.SubmissionRequested():
            goes_on = event.kind is SubmissionKind.RESTART and state is not State.INITIALIZED
            return state if goes_on else State.PENDING
        case e.StepImported() | e.StepRecovered():
            if event.state is State.INITIALIZED and event.restarts:
                return State.TIMEDOUT
            return event.state
        case _:
            return State.INITIALIZED if isinstance(event, _WITHOUT_JOB) and state in _WITH_JOB else state
