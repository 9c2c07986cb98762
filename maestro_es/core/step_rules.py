"""What each event about a step does to the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import IN_FLIGHT, RELEASED, Phase, Refusal, State, StepRecord, SubmissionKind
from maestro_es.core.transitions import can_go_on, connect, expect, move, refusal, release, retract


def _connection_added(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.ConnectionAdded) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY)
    if event.parent in graph.parents(record.number):
        raise refusal(record, recorded, f"which waits for step {event.parent} already")
    connect(graph, record, recorded, event.parent)
    move(graph, record, record.state, Phase.BLOCKED if record.unmet else Phase.READY)


def _connection_removed(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.ConnectionRemoved) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY)
    if event.parent not in graph.parents(record.number):
        raise refusal(record, recorded, f"which does not wait for step {event.parent}")
    graph.disconnect(event.parent, record.number)
    record.unmet -= graph.step(event.parent).state not in RELEASED
    move(graph, record, record.state, Phase.BLOCKED if record.unmet else Phase.READY)


#: How a step may have ended while our log could not tell.
_UNSEEN_ENDS = (State.FINISHED, State.FAILED, State.TIMEDOUT, State.CANCELLED)


def _imported(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepImported) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY)
    if record.attempt or record.restarts:
        raise refusal(record, recorded, "which was tried before")
    if event.state not in (*_UNSEEN_ENDS, State.INITIALIZED):
        raise refusal(record, recorded, f"as {event.state.name} is no end")
    record.submitted_at = event.submitted_at
    record.started_at = event.started_at
    record.restarts = event.restarts
    record.message = event.message
    if event.state in _UNSEEN_ENDS:
        record.job_id = event.job_id
        record.ended_at = event.ended_at
        move(graph, record, event.state, Phase.DONE)
    elif event.restarts:
        record.kind = SubmissionKind.RESTART
        move(graph, record, State.TIMEDOUT, record.phase)
    if event.state is State.FINISHED:
        release(graph, record)


def _recovered(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepRecovered) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY, *IN_FLIGHT)
    if event.attempt < record.attempt:
        raise refusal(record, recorded, f"which has had attempt {record.attempt}")
    if event.state not in (*_UNSEEN_ENDS, State.INITIALIZED):
        raise refusal(record, recorded, f"as {event.state.name} is no end")
    record.attempt = event.attempt
    record.restarts = event.restarts
    record.message = event.message
    record.job_id = event.job_id
    record.job_host = record.job_instance = ""
    if event.state in _UNSEEN_ENDS:
        record.started_at = event.started_at or record.started_at
        record.ended_at = event.ended_at
        move(graph, record, event.state, Phase.DONE)
    else:
        record.kind = SubmissionKind.RESTART if event.restarts else SubmissionKind.FIRST
        state = State.TIMEDOUT if event.restarts else State.INITIALIZED
        move(graph, record, state, Phase.BLOCKED if record.unmet else Phase.READY)
    if event.state is State.FINISHED:
        release(graph, record)


def _requested(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.SubmissionRequested) -> None:
    if record.phase is not Phase.READY or event.attempt != record.attempt + 1:
        raise refusal(record, recorded, f"which is {record.phase.name.lower()} after attempt {record.attempt}")
    record.attempt = event.attempt
    record.token = event.token
    record.kind = event.kind
    record.requested_at = recorded.recorded_at
    record.missed_at = None
    record.delays = 0
    record.job_id = record.job_host = record.job_instance = record.message = ""
    goes_on = event.kind is SubmissionKind.RESTART and record.state is not State.INITIALIZED
    state = record.state if goes_on else State.PENDING
    move(graph, record, state, Phase.REQUESTED)


def _submitted(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.JobSubmitted) -> None:
    expect(record, recorded, Phase.REQUESTED)
    record.job_id = event.job_id
    record.job_host = event.host
    record.job_instance = event.instance
    record.rejections = 0
    record.message = ""
    if record.submitted_at is None:
        record.submitted_at = record.requested_at
    if record.scheduled and not event.adopted:
        graph.study.refusal = None
    move(graph, record, record.state, Phase.SUBMITTED)


def _noted(_graph: Graph, _record: StepRecord, _recorded: e.Recorded, _event: e.ScriptSetAside) -> None:
    """Change nothing: what happened is in the log for those who ask."""


def _rejected(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.SubmissionRejected) -> None:
    expect(record, recorded, Phase.REQUESTED)
    record.rejections += 1
    record.message = event.message
    graph.study.refusal = None
    _wait_again(graph, record)


def _uncertain(_graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.SubmissionUncertain) -> None:
    expect(record, recorded, Phase.REQUESTED)
    record.message = event.message


def _abandoned(graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.AttemptAbandoned) -> None:
    expect(record, recorded, Phase.REQUESTED, Phase.SUBMITTED)
    record.abandoned += 1
    _wait_again(graph, record)


def _withdrawn(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.SubmissionWithdrawn) -> None:
    expect(record, recorded, Phase.REQUESTED)
    if event.message:
        times = graph.study.refusal.times + 1 if graph.study.refusal else 1
        graph.study.refusal = Refusal(event.message, recorded.recorded_at, record.number, times)
        graph.study.refused = record.number
        graph.study.queue_limit = sum(
            other.scheduled and other.phase is Phase.SUBMITTED for other in graph.in_flight()
        )
    _wait_again(graph, record)


def _wait_again(graph: Graph, record: StepRecord) -> None:
    """Let a step without a job wait to be submitted: it is not PENDING, and shows no job."""
    record.job_id = record.job_host = record.job_instance = ""
    has_job = record.state in (State.PENDING, State.RUNNING)
    move(graph, record, State.INITIALIZED if has_job else record.state, Phase.READY)


def _delayed(_graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.JobDelayed) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.delays += 1
    record.message = event.reason


def _state_unknown(_graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.JobStateUnknown) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.delays += 1
    record.message = event.raw_state


def _started(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.JobStarted) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    if record.started_at is None:
        record.started_at = event.at
    record.job_host = event.host or record.job_host
    record.message = ""
    move(graph, record, State.RUNNING, Phase.SUBMITTED)


def _job_not_found(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.JobNotFound) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.missed_at = recorded.recorded_at


def _job_reappeared(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.JobReappeared) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.missed_at = None


def _finished(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepFinished) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.exit_code = event.exit_code
    record.message = ""
    record.ended_at = event.at
    move(graph, record, State.FINISHED, Phase.DONE)
    release(graph, record)


def _timed_out(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepTimedOut) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.ended_at = event.at
    record.message = event.final
    move(graph, record, State.TIMEDOUT, Phase.DONE)


def _restarted(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepRestarted) -> None:
    expect(record, recorded, Phase.DONE)
    if record.state is not State.TIMEDOUT or event.number != record.restarts + 1 or record.unmet:
        raise refusal(record, recorded, f"which is {record.state.name} after {record.restarts} restarts")
    record.restarts = event.number
    record.kind = SubmissionKind.RESTART
    record.ended_at = None
    move(graph, record, State.TIMEDOUT, Phase.READY)


def _hardware_failed(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.HardwareFailed) -> None:
    expect(record, recorded, Phase.SUBMITTED)
    record.hardware_failures = event.number
    record.message = event.reason
    if not record.scheduled and can_go_on(graph, record):
        record.kind = SubmissionKind.RESTART
    elif record.kind is not SubmissionKind.RESTART:
        record.kind = SubmissionKind.RESUBMIT
    move(graph, record, State.HWFAILURE, Phase.READY)


def _failed(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepFailed) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY, Phase.REQUESTED, Phase.SUBMITTED)
    record.cause = event.cause
    record.message = event.message
    record.exit_code = event.exit_code
    record.ended_at = event.at
    record.blocker = event.blocker
    move(graph, record, State.FAILED, Phase.DONE)


def _cancelled(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepCancelled) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY, Phase.REQUESTED, Phase.SUBMITTED)
    record.message = event.message
    record.ended_at = event.at
    record.blocker = event.blocker
    move(graph, record, State.CANCELLED, Phase.DONE)


def _dry_run(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepDryRun) -> None:
    expect(record, recorded, Phase.READY)
    record.ended_at = event.at
    move(graph, record, State.DRYRUN, Phase.DONE)
    release(graph, record)


def _doubted(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.OutputDoubted) -> None:
    expect(record, recorded, Phase.DONE)
    if record.state is not State.FINISHED or record.skipped or record.doubted:
        why = "which is in doubt already" if record.doubted else f"which is {record.state.name}"
        raise refusal(record, recorded, why)
    record.doubted = True


def _reset(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepReset) -> None:
    expect(record, recorded, Phase.BLOCKED, Phase.READY, Phase.DONE)
    if record.state in RELEASED:
        retract(graph, record, recorded)
    if not event.from_scratch and can_go_on(graph, record):
        record.kind = SubmissionKind.RESTART
    else:
        record.kind = SubmissionKind.RETRY if record.attempt else SubmissionKind.FIRST
    record.restarts = record.hardware_failures = record.rejections = record.abandoned = 0
    record.submitted_at = record.started_at = record.ended_at = None
    record.job_id = record.job_host = record.job_instance = ""
    _forget_end(record)
    record.cancelling = False
    record.keep_script = event.keep_script
    move(graph, record, State.INITIALIZED, Phase.BLOCKED if record.unmet else Phase.READY)


def _skipped(graph: Graph, record: StepRecord, recorded: e.Recorded, event: e.StepSkipped) -> None:
    if record.phase in IN_FLIGHT or record.state in RELEASED:
        raise refusal(record, recorded, f"which is {record.state.name}")
    _forget_end(record)
    record.skipped = True
    record.message = f"skipped by {event.by}" + (f": {event.reason}" if event.reason else "")
    record.ended_at = recorded.recorded_at
    move(graph, record, State.FINISHED, Phase.DONE)
    release(graph, record)


def _forget_end(record: StepRecord) -> None:
    record.exit_code = record.cause = record.blocker = None
    record.skipped = record.doubted = False
    record.message = ""


def _held(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.StepHeld) -> None:
    if record.held or record.phase is Phase.DONE:
        raise refusal(record, recorded, "which is held already" if record.held else "which is done")
    record.held = True


def _released(_graph: Graph, record: StepRecord, recorded: e.Recorded, _event: e.StepReleased) -> None:
    if not record.held:
        raise refusal(record, recorded, "which is not held")
    record.held = False


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
