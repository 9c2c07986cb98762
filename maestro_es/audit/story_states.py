"""Says which state a step has after an event, without a record of the step.

`maestro_es.core.step_rules` decides this. Its rules need records, of which a million take gigabytes. The docstrings of
the events have the same rules as lines ``Result: ...``, and a property test compares this module with the reducer.
"""

from __future__ import annotations

from maestro_es.core import events as e
from maestro_es.core.model import State, SubmissionKind

#: The state after an event that always gives the same one.
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
