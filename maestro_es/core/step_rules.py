"""The rules by which the events about a step change the state.

The rules of ticks (`maestro_es.core.decide`) and requests (`maestro_es.core.requests`) decide beforehand which events
to write. The rules in this module only refuse an event that can't follow the present state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import (
    BLOCKED,
    DONE,
    IN_FLIGHT,
    READY,
    RELEASED,
    REQUESTED,
    SUBMITTED,
    Micros,
    Phase,
    Refusal,
    State,
    StepRecord,
    SubmissionKind,
)
from maestro_es.core.transitions import can_go_on, connect, end, move, refusal, release, retract

#: Global names for members that are looked up often, as for the phases in `maestro_es.core.model`.
_PENDING, _RUNNING, _FINISHED, _FAILED = State.PENDING, State.RUNNING, State.FINISHED, State.FAILED
_RESTART = SubmissionKind.RESTART


def _connection_added(graph: Graph, step: StepRecord, _at: Micros, event: e.ConnectionAdded) -> None:
    if event.parent in graph.parents(step.number):
        raise refusal(step, event, f"which waits for step {event.parent} already")
    connect(graph, step, event.parent)
    move(graph, step, step.state, BLOCKED if step.unmet else READY)


def _connection_removed(graph: Graph, step: StepRecord, _at: Micros, event: e.ConnectionRemoved) -> None:
    if event.parent not in graph.parents(step.number):
        raise refusal(step, event, f"which does not wait for step {event.parent}")
    graph.disconnect(event.parent, step.number)
    step.unmet -= graph.step(event.parent).state not in RELEASED
    move(graph, step, step.state, BLOCKED if step.unmet else READY)


#: The states in which a step may have ended before this log began, or in a lost part of it.
_UNSEEN_ENDS = (_FINISHED, _FAILED, State.TIMEDOUT, State.CANCELLED)


def _imported(graph: Graph, step: StepRecord, _at: Micros, event: e.StepImported) -> None:
    if step.attempt or step.restarts:
        raise refusal(step, event, "which was tried before")
    if event.state not in (*_UNSEEN_ENDS, State.INITIALIZED):
        raise refusal(step, event, f"as {event.state.name} is not an end")
    step.submitted_at = event.submitted_at
    step.started_at = event.started_at
    step.restarts = event.restarts
    step.message = event.message
    if event.state in _UNSEEN_ENDS:
        step.job_id = event.job_id
        step.ended_at = event.ended_at
        move(graph, step, event.state, DONE)
    elif event.restarts:
        step.kind = _RESTART
        move(graph, step, State.TIMEDOUT, step.phase)
    if event.state is _FINISHED:
        release(graph, step)


def _recovered(graph: Graph, step: StepRecord, _at: Micros, event: e.StepRecovered) -> None:
    if event.attempt < step.attempt:
        raise refusal(step, event, f"which has had attempt {step.attempt}")
    if event.state not in (*_UNSEEN_ENDS, State.INITIALIZED):
        raise refusal(step, event, f"as {event.state.name} is not an end")
    step.attempt = event.attempt
    step.restarts = event.restarts
    step.message = event.message
    step.job_id = event.job_id
    step.job_host = step.job_instance = ""
    if event.state in _UNSEEN_ENDS:
        step.started_at = event.started_at or step.started_at
        step.ended_at = event.ended_at
        move(graph, step, event.state, DONE)
    else:
        step.kind = _RESTART if event.restarts else SubmissionKind.FIRST
        state = State.TIMEDOUT if event.restarts else State.INITIALIZED
        move(graph, step, state, BLOCKED if step.unmet else READY)
    if event.state is _FINISHED:
        release(graph, step)


def _requested(graph: Graph, step: StepRecord, at: Micros, event: e.SubmissionRequested) -> None:
    if step.phase is not READY or event.attempt != step.attempt + 1:
        raise refusal(step, event, f"which is {step.phase.name.lower()} after attempt {step.attempt}")
    if step.attempt or step.job_id or step.message:
        step.missed_at = None
        step.delays = 0
        step.usage = None
        step.job_id = step.job_host = step.job_instance = step.message = ""
    step.attempt = event.attempt
    step.token = event.token
    step.kind = event.kind
    step.requested_at = at
    goes_on = event.kind is _RESTART and step.state is not State.INITIALIZED
    move(graph, step, step.state if goes_on else _PENDING, REQUESTED)


def _submitted(graph: Graph, step: StepRecord, _at: Micros, event: e.JobSubmitted) -> None:
    step.job_id = event.job_id
    step.job_host = event.host
    step.job_instance = event.instance
    step.rejections = 0
    if step.message:
        step.message = ""
    if step.submitted_at is None:
        step.submitted_at = step.requested_at
    if step.scheduled and not event.adopted:
        graph.study.refusal = None
    move(graph, step, step.state, SUBMITTED)


def _noted(_graph: Graph, _step: StepRecord, _at: Micros, _event: e.ScriptSetAside) -> None:
    """Change nothing: the event only informs readers of the log."""


def _rejected(graph: Graph, step: StepRecord, _at: Micros, event: e.SubmissionRejected) -> None:
    step.rejections += 1
    step.message = event.message
    graph.study.refusal = None
    _wait_again(graph, step)


def _uncertain(_graph: Graph, step: StepRecord, _at: Micros, event: e.SubmissionUncertain) -> None:
    step.message = event.message


def _abandoned(graph: Graph, step: StepRecord, _at: Micros, _event: e.AttemptAbandoned) -> None:
    step.abandoned += 1
    _wait_again(graph, step)


def _withdrawn(graph: Graph, step: StepRecord, at: Micros, event: e.SubmissionWithdrawn) -> None:
    if event.message:
        times = graph.study.refusal.times + 1 if graph.study.refusal else 1
        graph.study.refusal = Refusal(event.message, at, step.number, times, event.together)
        graph.study.refused = graph.study.refused if event.together > 1 else step.number
        graph.study.queue_limit = sum(other.scheduled and other.phase is SUBMITTED for other in graph.in_flight())
    _wait_again(graph, step)


def _wait_again(graph: Graph, step: StepRecord) -> None:
    """Make a step without a job ready to be submitted. A step that was PENDING or RUNNING becomes INITIALIZED."""
    step.job_id = step.job_host = step.job_instance = ""
    has_job = step.state in (_PENDING, _RUNNING)
    move(graph, step, State.INITIALIZED if has_job else step.state, READY)


def _delayed(_graph: Graph, step: StepRecord, _at: Micros, event: e.JobDelayed | e.JobUnsupervised) -> None:
    step.delays += 1
    step.message = event.reason


def _state_unknown(_graph: Graph, step: StepRecord, _at: Micros, event: e.JobStateUnknown) -> None:
    step.delays += 1
    step.message = event.raw_state


def _started(graph: Graph, step: StepRecord, _at: Micros, event: e.JobStarted) -> None:
    if step.started_at is None:
        step.started_at = event.at
    if event.host:
        step.job_host = event.host
    if step.message:
        step.message = ""
    move(graph, step, _RUNNING, SUBMITTED)


def _usage_reported(_graph: Graph, step: StepRecord, _at: Micros, event: e.UsageReported) -> None:
    if event.token == step.token:
        step.usage = event.usage


def _job_not_found(_graph: Graph, step: StepRecord, at: Micros, _event: e.JobNotFound) -> None:
    step.missed_at = at


def _job_reappeared(_graph: Graph, step: StepRecord, _at: Micros, _event: e.JobReappeared) -> None:
    step.missed_at = None


def _finished(graph: Graph, step: StepRecord, _at: Micros, event: e.StepFinished) -> None:
    step.exit_code = event.exit_code
    end(step, event)
    if step.message:
        step.message = ""
    move(graph, step, _FINISHED, DONE)
    release(graph, step)


def _timed_out(graph: Graph, step: StepRecord, _at: Micros, event: e.StepTimedOut) -> None:
    end(step, event)
    step.message = event.final
    move(graph, step, State.TIMEDOUT, DONE)


def _restarted(graph: Graph, step: StepRecord, _at: Micros, event: e.StepRestarted) -> None:
    if step.state is not State.TIMEDOUT or event.number != step.restarts + 1 or step.unmet:
        raise refusal(step, event, f"which is {step.state.name} after {step.restarts} restarts")
    step.restarts = event.number
    step.kind = _RESTART
    step.ended_at = None
    move(graph, step, State.TIMEDOUT, READY)


def _hardware_failed(graph: Graph, step: StepRecord, _at: Micros, event: e.HardwareFailed) -> None:
    step.hardware_failures = event.number
    step.usage = event.usage
    step.message = event.reason
    step.stopped_in = event.stopped_in or step.stopped_in
    if not step.scheduled and can_go_on(graph, step):
        step.kind = _RESTART
    elif step.kind is not _RESTART:
        step.kind = SubmissionKind.RESUBMIT
    move(graph, step, State.HWFAILURE, READY)


def _failed(graph: Graph, step: StepRecord, _at: Micros, event: e.StepFailed) -> None:
    step.cause = event.cause
    step.message = event.message
    step.exit_code = event.exit_code
    end(step, event)
    step.blocker = event.blocker
    move(graph, step, _FAILED, DONE)


def _cancelled(graph: Graph, step: StepRecord, _at: Micros, event: e.StepCancelled) -> None:
    step.message = event.message
    end(step, event)
    step.blocker = event.blocker
    move(graph, step, State.CANCELLED, DONE)


def _dry_run(graph: Graph, step: StepRecord, _at: Micros, event: e.StepDryRun) -> None:
    step.ended_at = event.at
    move(graph, step, State.DRYRUN, DONE)
    release(graph, step)


def _doubted(_graph: Graph, step: StepRecord, _at: Micros, event: e.OutputDoubted) -> None:
    if step.state is not _FINISHED or step.skipped or step.doubted:
        why = "which is in doubt already" if step.doubted else f"which is {step.state.name}"
        raise refusal(step, event, why)
    step.doubted = True


def _reset(graph: Graph, step: StepRecord, _at: Micros, event: e.StepReset) -> None:
    if step.state in RELEASED:
        retract(graph, step, event)
    if not event.from_scratch and can_go_on(graph, step):
        step.kind = _RESTART
    else:
        step.kind = SubmissionKind.RETRY if step.attempt else SubmissionKind.FIRST
    step.restarts = step.hardware_failures = step.rejections = step.abandoned = 0
    step.submitted_at = step.started_at = step.ended_at = None
    step.job_id = step.job_host = step.job_instance = step.stopped_in = ""
    _forget_end(step)
    step.cancelling = False
    step.keep_script = event.keep_script
    move(graph, step, State.INITIALIZED, BLOCKED if step.unmet else READY)


def _skipped(graph: Graph, step: StepRecord, at: Micros, event: e.StepSkipped) -> None:
    if step.phase in IN_FLIGHT or step.state in RELEASED:
        raise refusal(step, event, f"which is {step.state.name}")
    _forget_end(step)
    step.skipped = True
    step.message = f"skipped by {event.by}" + (f": {event.reason}" if event.reason else "")
    step.ended_at = at
    move(graph, step, _FINISHED, DONE)
    release(graph, step)


def _forget_end(step: StepRecord) -> None:
    step.exit_code = step.cause = step.blocker = None
    step.skipped = step.doubted = False
    step.message = ""


def _held(_graph: Graph, step: StepRecord, _at: Micros, event: e.StepHeld) -> None:
    if step.held or step.phase is DONE:
        raise refusal(step, event, "which is already held" if step.held else "which is done")
    step.held = True


def _released(_graph: Graph, step: StepRecord, _at: Micros, event: e.StepReleased) -> None:
    if not step.held:
        raise refusal(step, event, "which is not held")
    step.held = False


class Rule(NamedTuple):
    """What an event does to its step. The event can follow only if the step is in one of these `phases`.

    If `of_attempt`, a token in the event must be the token of the step's current attempt.
    """

    change: Callable[[Graph, StepRecord, Micros, Any], None]
    phases: tuple[Phase, ...] = tuple(Phase)
    of_attempt: bool = True


_WAITING = (BLOCKED, READY)
_REQUESTED = (REQUESTED,)
_SUBMITTED = (SUBMITTED,)
_NOT_DONE = (*_WAITING, *IN_FLIGHT)

_RULES: dict[type[e.Event], Rule] = {
    e.ConnectionAdded: Rule(_connection_added, _WAITING),
    e.ConnectionRemoved: Rule(_connection_removed, _WAITING),
    e.StepImported: Rule(_imported, _WAITING),
    e.StepRecovered: Rule(_recovered, _NOT_DONE),
    e.SubmissionRequested: Rule(_requested, of_attempt=False),  # its token belongs to a new attempt
    e.JobSubmitted: Rule(_submitted, _REQUESTED),
    e.ScriptSetAside: Rule(_noted),
    e.SubmissionRejected: Rule(_rejected, _REQUESTED),
    e.SubmissionUncertain: Rule(_uncertain, _REQUESTED),
    e.AttemptAbandoned: Rule(_abandoned, IN_FLIGHT),
    e.SubmissionWithdrawn: Rule(_withdrawn, _REQUESTED),
    e.JobDelayed: Rule(_delayed, _SUBMITTED),
    e.JobStateUnknown: Rule(_state_unknown, _SUBMITTED),
    e.JobUnsupervised: Rule(_delayed, _SUBMITTED),
    e.JobStarted: Rule(_started, _SUBMITTED),
    e.JobNotFound: Rule(_job_not_found, _SUBMITTED),
    e.JobReappeared: Rule(_job_reappeared, _SUBMITTED),
    e.UsageReported: Rule(_usage_reported, of_attempt=False),  # a later attempt may have begun
    e.StepFinished: Rule(_finished, _SUBMITTED),
    e.StepTimedOut: Rule(_timed_out, _SUBMITTED),
    e.StepRestarted: Rule(_restarted, (DONE,)),
    e.HardwareFailed: Rule(_hardware_failed, _SUBMITTED),
    e.StepFailed: Rule(_failed, _NOT_DONE),
    e.StepCancelled: Rule(_cancelled, _NOT_DONE),
    e.OutputDoubted: Rule(_doubted, (DONE,)),
    e.StepDryRun: Rule(_dry_run, (READY,)),
    e.StepReset: Rule(_reset, (*_WAITING, DONE)),
    e.StepSkipped: Rule(_skipped),
    e.StepHeld: Rule(_held),
    e.StepReleased: Rule(_released),
}

#: The rule of each event about a step.
STEP_RULES: dict[type[e.Event], Rule] = {
    kind: rule._replace(of_attempt=rule.of_attempt and "token" in kind.__struct_fields__)
    for kind, rule in _RULES.items()
}
