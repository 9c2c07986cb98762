"""What each event about a step does to the state.

Whether an event may be written at all is decided before, by the rules of a tick (`maestro_es.core.decide`) and of
requests (`maestro_es.core.requests`). An event that can't follow the present state is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import IN_FLIGHT, RELEASED, Phase, Refusal, State, StepRecord, SubmissionKind
from maestro_es.core.transitions import can_go_on, connect, expect, move, refusal, release, retract


def _connection_added(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.ConnectionAdded) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY)
    if event.parent in graph.parents(step.number):
        raise refusal(step, recorded, f"which waits for step {event.parent} already")
    connect(graph, step, recorded, event.parent)
    move(graph, step, step.state, Phase.BLOCKED if step.unmet else Phase.READY)


def _connection_removed(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.ConnectionRemoved) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY)
    if event.parent not in graph.parents(step.number):
        raise refusal(step, recorded, f"which does not wait for step {event.parent}")
    graph.disconnect(event.parent, step.number)
    step.unmet -= graph.step(event.parent).state not in RELEASED
    move(graph, step, step.state, Phase.BLOCKED if step.unmet else Phase.READY)


#: How a step may have ended while our log could not tell.
_UNSEEN_ENDS = (State.FINISHED, State.FAILED, State.TIMEDOUT, State.CANCELLED)


def _imported(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepImported) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY)
    if step.attempt or step.restarts:
        raise refusal(step, recorded, "which was tried before")
    if event.state not in (*_UNSEEN_ENDS, State.INITIALIZED):
        raise refusal(step, recorded, f"as {event.state.name} is no end")
    step.submitted_at = event.submitted_at
    step.started_at = event.started_at
    step.restarts = event.restarts
    step.message = event.message
    if event.state in _UNSEEN_ENDS:
        step.job_id = event.job_id
        step.ended_at = event.ended_at
        move(graph, step, event.state, Phase.DONE)
    elif event.restarts:
        step.kind = SubmissionKind.RESTART
        move(graph, step, State.TIMEDOUT, step.phase)
    if event.state is State.FINISHED:
        release(graph, step)


def _recovered(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepRecovered) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY, *IN_FLIGHT)
    if event.attempt < step.attempt:
        raise refusal(step, recorded, f"which has had attempt {step.attempt}")
    if event.state not in (*_UNSEEN_ENDS, State.INITIALIZED):
        raise refusal(step, recorded, f"as {event.state.name} is no end")
    step.attempt = event.attempt
    step.restarts = event.restarts
    step.message = event.message
    step.job_id = event.job_id
    step.job_host = step.job_instance = ""
    if event.state in _UNSEEN_ENDS:
        step.started_at = event.started_at or step.started_at
        step.ended_at = event.ended_at
        move(graph, step, event.state, Phase.DONE)
    else:
        step.kind = SubmissionKind.RESTART if event.restarts else SubmissionKind.FIRST
        state = State.TIMEDOUT if event.restarts else State.INITIALIZED
        move(graph, step, state, Phase.BLOCKED if step.unmet else Phase.READY)
    if event.state is State.FINISHED:
        release(graph, step)


def _requested(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.SubmissionRequested) -> None:
    if step.phase is not Phase.READY or event.attempt != step.attempt + 1:
        raise refusal(step, recorded, f"which is {step.phase.name.lower()} after attempt {step.attempt}")
    step.attempt = event.attempt
    step.token = event.token
    step.kind = event.kind
    step.requested_at = recorded.recorded_at
    step.missed_at = None
    step.delays = 0
    step.job_id = step.job_host = step.job_instance = step.message = ""
    goes_on = event.kind is SubmissionKind.RESTART and step.state is not State.INITIALIZED
    state = step.state if goes_on else State.PENDING
    move(graph, step, state, Phase.REQUESTED)


def _submitted(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.JobSubmitted) -> None:
    expect(step, recorded, Phase.REQUESTED)
    step.job_id = event.job_id
    step.job_host = event.host
    step.job_instance = event.instance
    step.rejections = 0
    step.message = ""
    if step.submitted_at is None:
        step.submitted_at = step.requested_at
    if step.scheduled and not event.adopted:
        graph.study.refusal = None
    move(graph, step, step.state, Phase.SUBMITTED)


def _noted(_graph: Graph, _step: StepRecord, _recorded: e.Recorded, _event: e.ScriptSetAside) -> None:
    """Change nothing: the event only informs readers of the log."""


def _rejected(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.SubmissionRejected) -> None:
    expect(step, recorded, Phase.REQUESTED)
    step.rejections += 1
    step.message = event.message
    graph.study.refusal = None
    _wait_again(graph, step)


def _uncertain(_graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.SubmissionUncertain) -> None:
    expect(step, recorded, Phase.REQUESTED)
    step.message = event.message


def _abandoned(graph: Graph, step: StepRecord, recorded: e.Recorded, _event: e.AttemptAbandoned) -> None:
    expect(step, recorded, Phase.REQUESTED, Phase.SUBMITTED)
    step.abandoned += 1
    _wait_again(graph, step)


def _withdrawn(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.SubmissionWithdrawn) -> None:
    expect(step, recorded, Phase.REQUESTED)
    if event.message:
        times = graph.study.refusal.times + 1 if graph.study.refusal else 1
        graph.study.refusal = Refusal(event.message, recorded.recorded_at, step.number, times)
        graph.study.refused = step.number
        graph.study.queue_limit = sum(
            other.scheduled and other.phase is Phase.SUBMITTED for other in graph.in_flight()
        )
    _wait_again(graph, step)


def _wait_again(graph: Graph, step: StepRecord) -> None:
    """Make a step without a job ready to be submitted. It is not PENDING, and shows no job."""
    step.job_id = step.job_host = step.job_instance = ""
    has_job = step.state in (State.PENDING, State.RUNNING)
    move(graph, step, State.INITIALIZED if has_job else step.state, Phase.READY)


def _delayed(_graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.JobDelayed) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.delays += 1
    step.message = event.reason


def _state_unknown(_graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.JobStateUnknown) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.delays += 1
    step.message = event.raw_state


def _started(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.JobStarted) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    if step.started_at is None:
        step.started_at = event.at
    step.job_host = event.host or step.job_host
    step.message = ""
    move(graph, step, State.RUNNING, Phase.SUBMITTED)


def _job_not_found(_graph: Graph, step: StepRecord, recorded: e.Recorded, _event: e.JobNotFound) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.missed_at = recorded.recorded_at


def _job_reappeared(_graph: Graph, step: StepRecord, recorded: e.Recorded, _event: e.JobReappeared) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.missed_at = None


def _finished(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepFinished) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.exit_code = event.exit_code
    step.message = ""
    step.ended_at = event.at
    move(graph, step, State.FINISHED, Phase.DONE)
    release(graph, step)


def _timed_out(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepTimedOut) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.ended_at = event.at
    step.message = event.final
    move(graph, step, State.TIMEDOUT, Phase.DONE)


def _restarted(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepRestarted) -> None:
    expect(step, recorded, Phase.DONE)
    if step.state is not State.TIMEDOUT or event.number != step.restarts + 1 or step.unmet:
        raise refusal(step, recorded, f"which is {step.state.name} after {step.restarts} restarts")
    step.restarts = event.number
    step.kind = SubmissionKind.RESTART
    step.ended_at = None
    move(graph, step, State.TIMEDOUT, Phase.READY)


def _hardware_failed(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.HardwareFailed) -> None:
    expect(step, recorded, Phase.SUBMITTED)
    step.hardware_failures = event.number
    step.message = event.reason
    if not step.scheduled and can_go_on(graph, step):
        step.kind = SubmissionKind.RESTART
    elif step.kind is not SubmissionKind.RESTART:
        step.kind = SubmissionKind.RESUBMIT
    move(graph, step, State.HWFAILURE, Phase.READY)


def _failed(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepFailed) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY, Phase.REQUESTED, Phase.SUBMITTED)
    step.cause = event.cause
    step.message = event.message
    step.exit_code = event.exit_code
    step.ended_at = event.at
    step.blocker = event.blocker
    move(graph, step, State.FAILED, Phase.DONE)


def _cancelled(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepCancelled) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY, Phase.REQUESTED, Phase.SUBMITTED)
    step.message = event.message
    step.ended_at = event.at
    step.blocker = event.blocker
    move(graph, step, State.CANCELLED, Phase.DONE)


def _dry_run(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepDryRun) -> None:
    expect(step, recorded, Phase.READY)
    step.ended_at = event.at
    move(graph, step, State.DRYRUN, Phase.DONE)
    release(graph, step)


def _doubted(_graph: Graph, step: StepRecord, recorded: e.Recorded, _event: e.OutputDoubted) -> None:
    expect(step, recorded, Phase.DONE)
    if step.state is not State.FINISHED or step.skipped or step.doubted:
        why = "which is in doubt already" if step.doubted else f"which is {step.state.name}"
        raise refusal(step, recorded, why)
    step.doubted = True


def _reset(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepReset) -> None:
    expect(step, recorded, Phase.BLOCKED, Phase.READY, Phase.DONE)
    if step.state in RELEASED:
        retract(graph, step, recorded)
    if not event.from_scratch and can_go_on(graph, step):
        step.kind = SubmissionKind.RESTART
    else:
        step.kind = SubmissionKind.RETRY if step.attempt else SubmissionKind.FIRST
    step.restarts = step.hardware_failures = step.rejections = step.abandoned = 0
    step.submitted_at = step.started_at = step.ended_at = None
    step.job_id = step.job_host = step.job_instance = ""
    _forget_end(step)
    step.cancelling = False
    step.keep_script = event.keep_script
    move(graph, step, State.INITIALIZED, Phase.BLOCKED if step.unmet else Phase.READY)


def _skipped(graph: Graph, step: StepRecord, recorded: e.Recorded, event: e.StepSkipped) -> None:
    if step.phase in IN_FLIGHT or step.state in RELEASED:
        raise refusal(step, recorded, f"which is {step.state.name}")
    _forget_end(step)
    step.skipped = True
    step.message = f"skipped by {event.by}" + (f": {event.reason}" if event.reason else "")
    step.ended_at = recorded.recorded_at
    move(graph, step, State.FINISHED, Phase.DONE)
    release(graph, step)


def _forget_end(step: StepRecord) -> None:
    step.exit_code = step.cause = step.blocker = None
    step.skipped = step.doubted = False
    step.message = ""


def _held(_graph: Graph, step: StepRecord, recorded: e.Recorded, _event: e.StepHeld) -> None:
    if step.held or step.phase is Phase.DONE:
        raise refusal(step, recorded, "which is already held" if step.held else "which is done")
    step.held = True


def _released(_graph: Graph, step: StepRecord, recorded: e.Recorded, _event: e.StepReleased) -> None:
    if not step.held:
        raise refusal(step, recorded, "which is not held")
    step.held = False


#: The rule of each event about a step.
STEP_RULES: dict[type[e.Event], Callable[[Graph, StepRecord, e.Recorded, Any], None]] = {
    e.ConnectionAdded: _connection_added,
    e.ConnectionRemoved: _connection_removed,
    e.StepImported: _imported,
    e.StepRecovered: _recovered,
    e.SubmissionRequested: _requested,
    e.JobSubmitted: _submitted,
    e.ScriptSetAside: _noted,
    e.SubmissionRejected: _rejected,
    e.SubmissionUncertain: _uncertain,
    e.AttemptAbandoned: _abandoned,
    e.SubmissionWithdrawn: _withdrawn,
    e.JobDelayed: _delayed,
    e.JobStateUnknown: _state_unknown,
    e.JobStarted: _started,
    e.JobNotFound: _job_not_found,
    e.JobReappeared: _job_reappeared,
    e.StepFinished: _finished,
    e.StepTimedOut: _timed_out,
    e.StepRestarted: _restarted,
    e.HardwareFailed: _hardware_failed,
    e.StepFailed: _failed,
    e.StepCancelled: _cancelled,
    e.OutputDoubted: _doubted,
    e.StepDryRun: _dry_run,
    e.StepReset: _reset,
    e.StepSkipped: _skipped,
    e.StepHeld: _held,
    e.StepReleased: _released,
}
