"""Decides what happens to a step of a Maestro study. The facts are its row in ``status.csv`` and the job's state.

A finished step never runs again. If a step may have a job whose id is unknown, the import is refused, because another
submission could run the step twice.

`maestro_es.creation.import_maestro` collects the facts.
"""

from __future__ import annotations

from dataclasses import dataclass

from maestro_es.adapters.base import JobInfo
from maestro_es.core.attempt_token import imported_token
from maestro_es.core.events import AnyEvent, Evidence, JobSubmitted, StepImported, SubmissionRequested
from maestro_es.core.model import JobState, State, StepRecord, SubmissionKind
from maestro_es.errors import StudyError
from maestro_es.study_file.maestro_dir import Ended
from maestro_es.study_file.maestro_status import Row

#: Maestro's final states. TIMEDOUT is final only if the step has no restart script.
_ENDS = (State.FINISHED, State.FAILED, State.CANCELLED)

#: Maestro's states of a step that has not run. A dry run has run nothing.
_UNTOUCHED = (State.INITIALIZED, State.DRYRUN)


@dataclass(frozen=True)
class StepFacts:
    """The facts about a step in addition to its row.

    `restartable` says whether it has a restart script, and `begun` whether its workspace exists. `ended` is its end in
    the conductor's log. `seen` is the scheduler's answer about the job in the row, if it was queried.
    """

    restartable: bool = False
    begun: bool = False
    ended: Ended | None = None
    seen: JobInfo | None = None


@dataclass(frozen=True)
class ImportDecision:
    """The decision about a step: its `events` (none for a new step), and its new state and the reason in words."""

    step: StepRecord
    row: Row
    becomes: str
    why: str = ""
    events: tuple[AnyEvent, ...] = ()


def in_flight(row: Row, facts: StepFacts) -> bool:
    """Return whether a step has a job in flight, according to Maestro's record."""
    return bool(row.job_id) and not _has_ended(row, facts) and row.state not in _UNTOUCHED


def _has_ended(row: Row, facts: StepFacts) -> bool:
    return row.state in _ENDS or (row.state is State.TIMEDOUT and not facts.restartable)


def decide_import(step: StepRecord, row: Row, facts: StepFacts, study_id: str) -> ImportDecision:
    """Decide what happens to one step. StudyError if it may have a job that can't be found."""
    table = Evidence(source="imported", detail=f"status.csv: {row.state.name}{_job(row)}")
    if _has_ended(row, facts):
        return ImportDecision(step, row, row.state.name, events=(_ended(row, table),))
    if facts.ended:
        state, at = facts.ended
        log_detail = "by the conductor's log, after its last status table"
        also = Evidence(source="imported", detail=f"the conductor's log: {state.name}")
        event = StepImported(state=state, ended_at=at, message=log_detail, evidence=(table, also))
        return ImportDecision(step, row, state.name, log_detail, (event,))
    if in_flight(row, facts) and step.scheduled:
        return _ask(step, row, facts.seen, study_id, table)
    if facts.begun and row.state is not State.DRYRUN:
        if step.scheduled:
            raise StudyError(
                f"{step.name}: Maestro's conductor died while it submitted this step, and it is unknown whether there "
                f"is a job; look for a job of that name in the queue, and if there is none, remove the directory "
                f"{step.workspace} and import again"
            )
        return _again(step, row, "it had started, and nothing shows that it has ended", table)
    if row.state not in _UNTOUCHED:
        return _again(step, row, "a step on the conductor's host can't be adopted", table)
    return ImportDecision(step, row, "to run")


def _ended(row: Row, table: Evidence) -> StepImported:
    return StepImported(
        state=row.state,
        job_id=row.job_id,
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        restarts=row.restarts,
        evidence=(table,),
    )


def _again(step: StepRecord, row: Row, why: str, table: Evidence) -> ImportDecision:
    event = StepImported(
        state=State.INITIALIZED, restarts=row.restarts, message=f"to run again, {why}", evidence=(table,)
    )
    return ImportDecision(step, row, "to run again", why, (event,))


def _ask(step: StepRecord, row: Row, seen: JobInfo | None, study_id: str, table: Evidence) -> ImportDecision:
    """Adopt the job of a step if the scheduler lists it. Otherwise run the step again."""
    if seen is None:
        raise StudyError(f"{step.name}: the scheduler was not asked about job {row.job_id}; try again")
    if seen.state is JobState.GONE:
        return _again(step, row, f"the scheduler no longer lists job {row.job_id}", table)
    token = imported_token(study_id, step.number)
    kind = SubmissionKind.RESTART if row.restarts else SubmissionKind.FIRST
    evidence = (table, Evidence(source="queue", detail=seen.raw_state or seen.state.value))
    events = (
        StepImported(
            state=State.INITIALIZED,
            submitted_at=row.submitted_at,
            started_at=row.started_at,
            restarts=row.restarts,
            message=f"its job {row.job_id} is adopted",
            evidence=(table,),
        ),
        SubmissionRequested(attempt=1, token=token, kind=kind),
        JobSubmitted(token=token, job_id=row.job_id, adopted=True, evidence=evidence),
    )
    return ImportDecision(step, row, "adopted", f"job {row.job_id}: {seen.raw_state or seen.state.value}", events)


def _job(row: Row) -> str:
    return f", job {row.job_id}" if row.job_id else ""
