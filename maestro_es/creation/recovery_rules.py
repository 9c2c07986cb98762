"""Decides, from the traces of a step's attempts, what happened after the step's last event in the export.

The decisions are events. A step that has finished does not run again. A job in flight is adopted. If an attempt has
started and its end is unknown, the step is held, and a user must decide.

`maestro_es.creation.recovery_scan` collects the traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maestro_es.adapters.base import JobInfo
from maestro_es.core import file_names
from maestro_es.core.events import AnyEvent, Evidence, JobSubmitted, StepHeld, StepRecovered, SubmissionRequested
from maestro_es.core.model import FAILED_STATES, IN_FLIGHT, JobState, Phase, State, StepRecord, SubmissionKind
from maestro_es.core.observations import Claim, ClaimState, Report, ReportKind
from maestro_es.study_file.maestro_status import Row

_LIVE = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)
_ENDS = (ReportKind.EXIT, ReportKind.TIMEOUT, ReportKind.STOPPED, ReportKind.DROPPED)


@dataclass(frozen=True)
class Trace:
    """One attempt of a step with its evidence: its claim, its reports, and the answer of its scheduler."""

    token: str
    number: int
    claim: Claim
    reports: tuple[Report, ...] = ()
    seen: JobInfo | None = None

    @property
    def is_live(self) -> bool:
        """Whether its job waits or runs."""
        return self.seen is not None and self.seen.state in _LIVE

    @property
    def can_be_reconciled(self) -> bool:
        """Whether a tick that adopts the attempt can find out how the attempt ended, or that it can't start."""
        if any(report.kind in _ENDS for report in self.reports):
            return True
        return self.seen is not None and self.seen.state is not JobState.GONE

    @property
    def can_not_start(self) -> bool:
        """Whether a tick has abandoned it."""
        return self.claim.state is ClaimState.ABANDONED

    @property
    def job_id(self) -> str:
        """The id of its job (empty: unknown)."""
        return self.claim.job_id or (self.seen.job_id if self.seen else "")

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The evidence of the attempt, in the form for events."""
        sources = [Evidence(source="report", detail=report.file) for report in self.reports]
        if self.claim.state is not ClaimState.NOT_READ:
            owner = f" {self.claim.job_id} on {self.claim.host}" if self.claim.job_id else ""
            sources.append(Evidence(source="claim", detail=self.claim.state.value + owner))
        if self.seen:
            sources.append(Evidence(source="queue", detail=self.seen.raw_state or self.seen.state.value))
        return tuple(sources)


@dataclass(frozen=True)
class Traces:
    """All evidence of a step: its attempts, and its row in a ``status.csv`` that is newer than the export.

    `followed` is the name of a dependent step that was tried. If there is one, this step must have finished. `host` is
    this host, which can't see processes of other hosts.
    """

    attempts: tuple[Trace, ...] = ()
    row: Row | None = None
    followed: str = ""
    host: str = ""


@dataclass(frozen=True)
class Recovery:
    """The decision about a step: its `events`, and its new state and the evidence in words.

    `adopted` is the token of its job, if any.
    """

    step: StepRecord
    becomes: str
    how: str
    events: tuple[AnyEvent, ...] = ()
    adopted: str = ""


def recover_step(step: StepRecord, traces: Traces) -> Recovery:
    """Decide about one step that was not done at the time of the export, or was run again later."""
    number = max([step.attempt, *(trace.number for trace in traces.attempts)])
    alive = [trace for trace in traces.attempts if not (trace.can_not_start or _is_over(step, trace))]
    latest = max(alive, key=lambda trace: (trace.is_live, trace.number), default=None)
    if traces.followed and not (latest and latest.is_live):
        return _followed(step, traces, number, latest)
    if latest and latest.can_be_reconciled:
        return _adopted(step, latest)
    by_table = _by_table(step, traces.row, number, latest)
    if by_table:
        return by_table
    if latest and latest.claim.state is ClaimState.JOB:
        if not step.scheduled and latest.claim.host != traces.host:
            return _adopted(step, latest, f", on {latest.claim.host}: only that host can tell whether it is running")
        return held(step, number, latest)
    if latest and latest.number > step.attempt:
        return held(step, number, latest)  # there is a report without a claim
    if number > step.attempt:
        return _to_run(step, number, "its last attempt was given up before it started")
    return Recovery(step, _as_recorded(step), "as the export has it: nothing newer was found")


def _is_over(step: StepRecord, trace: Trace) -> bool:
    """Return whether the export already says that an attempt is over."""
    if trace.token == step.token:
        return step.phase not in IN_FLIGHT
    return trace.number < step.attempt


def _as_recorded(step: StepRecord) -> str:
    return "in flight" if step.phase in IN_FLIGHT else step.state.name if step.phase is Phase.DONE else "to run"


def _by_table(step: StepRecord, row: Row | None, number: int, latest: Trace | None) -> Recovery | None:
    """Decide by the status table, which a tick wrote after it had recorded the same state.

    None if the table does not suffice.
    """
    if row is None or (latest and row.job_id != latest.job_id):
        return None  # the table shows an earlier attempt
    source = Evidence(
        source=file_names.STATUS_CSV, detail=f"{row.state.name}{f', job {row.job_id}' if row.job_id else ''}"
    )
    how = f"status.csv says {row.state.name}"
    if row.state in (State.FINISHED, State.CANCELLED) or (row.state in FAILED_STATES and row.ended_at):
        if row.state is State.FAILED and step.phase is Phase.BLOCKED and not latest:
            return None  # the step failed because of another step, and will fail again
        return _ended(step, row.state, number, latest, how, source, row)
    if row.state in (State.TIMEDOUT, State.HWFAILURE) and latest:
        return _to_run(step, number, f"{how}, and that the step continues", restarts=row.restarts, evidence=(source,))
    return None


def _ended(
    step: StepRecord,
    state: State,
    number: int,
    latest: Trace | None,
    how: str,
    source: Evidence,
    row: Row | None = None,
) -> Recovery:
    event = StepRecovered(
        state=State.FAILED if state is State.HWFAILURE else state,
        attempt=number,
        job_id=latest.job_id if latest else (row.job_id if row else step.job_id),
        started_at=row.started_at if row else None,
        ended_at=row.ended_at if row else None,
        restarts=row.restarts if row else step.restarts,
        message="" if state is State.FINISHED else how,
        evidence=((source, *latest.evidence) if latest else (source,)),
    )
    return Recovery(step, state.name, how, (event,))


def _to_run(
    step: StepRecord, number: int, how: str, *, restarts: int | None = None, evidence: tuple[Evidence, ...] = ()
) -> Recovery:
    count = step.restarts if restarts is None else restarts
    event = StepRecovered(state=State.INITIALIZED, attempt=number, restarts=count, message=how, evidence=evidence)
    return Recovery(step, "to run", how, (event,))


def _adopted(step: StepRecord, trace: Trace, more: str = "") -> Recovery:
    """Adopt an attempt, so that the next tick reconciles it like any other."""
    how = ", ".join(f"{source.source} says {source.detail}" for source in trace.evidence) + more
    if trace.token == step.token and step.phase is Phase.SUBMITTED:
        return Recovery(step, "in flight", how, adopted=trace.token)
    requested = step.phase is Phase.REQUESTED and trace.token == step.token
    if not requested and trace.number <= step.attempt:
        return held(step, step.attempt, trace)  # another attempt has the same number
    events: list[AnyEvent] = []
    if not requested:
        kind = SubmissionKind.RESTART if step.restarts else SubmissionKind.RESUBMIT
        if step.phase is not Phase.READY or step.attempt != trace.number - 1:
            before = trace.number - 1
            events.append(StepRecovered(state=State.INITIALIZED, attempt=before, restarts=step.restarts, message=how))
        kind = kind if trace.number > 1 or step.restarts else SubmissionKind.FIRST
        events.append(SubmissionRequested(attempt=trace.number, token=trace.token, kind=kind))
    claim, seen = trace.claim, trace.seen
    submitted = JobSubmitted(
        token=trace.token,
        job_id=trace.job_id,
        adopted=True,
        host=claim.host or (seen.host if seen else ""),
        instance=claim.instance or (seen.instance if seen else ""),
        evidence=trace.evidence,
    )
    return Recovery(step, "adopted", how, (*events, submitted), trace.token)


def held(step: StepRecord, number: int, latest: Trace) -> Recovery:
    """Hold a step for a user to decide, because it is unknown how its latest attempt ended."""
    where = f" as job {latest.job_id} on {latest.claim.host}" if latest.claim.job_id else ""
    how = f"attempt {latest.number} began{where}, and it is unknown how it ended"
    recovered = StepRecovered(
        state=State.INITIALIZED, attempt=number, job_id=latest.job_id, message=how, evidence=latest.evidence
    )
    return _hold(step, how, recovered)


def _hold(step: StepRecord, how: str, recovered: StepRecovered) -> Recovery:
    hold: tuple[AnyEvent, ...] = () if step.held else (StepHeld(reason=f"recovered: {how}"),)
    return Recovery(step, "held", how, (recovered, *hold))


def _followed(step: StepRecord, traces: Traces, number: int, latest: Trace | None) -> Recovery:
    """Decide about a step if a dependent step was tried.

    The step must have finished. If it was never tried, it is held.
    """
    if number or (traces.row and traces.row.state is State.FINISHED):
        claim = Evidence(source="claim", detail=f"{traces.followed} was tried, and waits for this step")
        return _ended(
            step, State.FINISHED, number, latest, f"{traces.followed}, which waits for this step, was tried", claim
        )
    how = (
        f"{traces.followed}, which waited for this step, was tried, but this step was not: it was skipped, or the "
        "edge was removed"
    )
    return _hold(step, how, StepRecovered(state=State.INITIALIZED, attempt=0, message=how))


def newer(step: StepRecord, attempts: Sequence[Trace]) -> bool:
    """Return whether a step was tried after the time of the export."""
    return any(trace.number > step.attempt for trace in attempts)
