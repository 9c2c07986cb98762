"""Computes the status of a study: a summary, and the steps that match a query.

`maestro_es.report.layouts` has the tables of steps. `maestro_es.study.status_csv` decides the contents of
``status.csv``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from maestro_es.audit.as_of import Past
from maestro_es.audit.times import iso
from maestro_es.audit.usage import usage_data
from maestro_es.core.graph import Graph
from maestro_es.core.model import BAD_ENDS, Cause, Micros, Phase, State, StepRecord, StudyStatus
from maestro_es.core.requests import match_by_row
from maestro_es.spool import Spool
from maestro_es.store.status_rows import StatusRow, explained_rows
from maestro_es.study import last_tick as last_tick_note
from maestro_es.study.invocation import Driver
from maestro_es.study.session import Session

#: The time in microseconds after which a running study without a tick is overdue. Cron runs a tick every minute.
OVERDUE = 180 * 1_000_000

#: If the settings of a study have a longer interval, the study is overdue after this number of intervals.
_PAUSES = 2


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a study. `states` counts steps by state, in Maestro's order. A `throttle` of 0 means no limit.

    `held` counts the steps that a user holds. If `held_up`, nothing can run until one of these steps is released.
    `doubted` counts the finished steps whose output may not be on disk. If `overdue`, the study is running, but no
    tick has run for some minutes. `last_tick_host` and `last_tick_driver` say where the last tick ran, and which
    driver ran it (empty: unknown). For each scheduler that does not answer, `unreachable` holds the error. `full` is
    the scheduler's message if its queue is full now. `seq` is the number of the last event that this state includes.
    Durations are computed up to the time `at`. For a past moment, nothing is known about ticks, because a tick without
    work records nothing.
    """

    path: str
    id: str
    name: str
    description: str
    status: str
    paused: bool
    cancelling: bool
    steps: int
    states: dict[str, int]
    in_flight: int
    held: int
    held_up: bool
    doubted: int
    throttle: int
    last_tick: Micros | None
    last_tick_host: str
    last_tick_driver: str
    overdue: bool | None
    unreachable: dict[str, str]
    full: str
    seq: int
    at: Micros


def summarise(study: Session, past: Past | None = None) -> Summary:
    """Return the summary of an open study, now or at a past moment."""
    graph = past.graph if past else study.graph
    study_record = graph.study
    last_tick = None if past else last_tick_of(study)
    host, driver = ("", "") if last_tick is None else _ticked_by(study)
    counted = (graph.in_flight(), graph.held(), graph.doubted())
    in_flight, held, doubted = (sum(1 for _ in steps) for steps in counted)
    return Summary(
        path=str(study.dir.root),
        id=study_record.study_id,
        name=study_record.name,
        description=study_record.description,
        status=study_record.status.name,
        paused=study_record.paused,
        cancelling=study_record.cancelling and study_record.status is StudyStatus.RUNNING,
        steps=study_record.steps,
        states=states_in_order(study_record.states),
        in_flight=in_flight,
        held=held,
        held_up=held > 0 and not in_flight and not any(_may_run(graph, scheduled) for scheduled in (False, True)),
        doubted=doubted,
        throttle=study_record.settings.submission_throttle,
        last_tick=last_tick,
        last_tick_host=host,
        last_tick_driver=driver,
        overdue=None if past else study_record.status is StudyStatus.RUNNING and _is_overdue(study, last_tick),
        unreachable=dict(study_record.unreachable),
        full=study_record.refusal.message if study_record.refusal else "",
        seq=past.seq if past else study.log.head.seq,
        at=past.at if past else study.runtime.now(),
    )


def states_in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts of steps by state in Maestro's order."""
    return {state.name: counts[state.name] for state in State if state.name in counts}


def counts(states: Mapping[str, int]) -> str:
    """Return counts of steps by state in words: ``3 RUNNING, 12 FINISHED``."""
    return ", ".join(f"{count} {state}" for state, count in states_in_order(states).items()) or "no steps"


def _may_run(graph: Graph, scheduled: bool) -> bool:  # noqa: FBT001 - named where it is called
    return any(True for _ in graph.ready(scheduled=scheduled, limit=1))


def last_tick_of(study: Session) -> Micros | None:
    """Return the time of the last tick of a study (None: there was none, or it is unknown)."""
    try:
        return study.dir.ticked_at()
    except OSError:
        return None


def _ticked_by(study: Session) -> tuple[str, str]:
    """Return the host and the driver of the last tick that noted them (empty: unknown)."""
    try:
        noted = last_tick_note.read(study.dir)
    except OSError:
        noted = None
    driver = Driver.__members__.get(noted.driver) if noted else None
    return noted.host if noted else "", driver.value if driver else ""


def _is_overdue(study: Session, last_tick: Micros | None) -> bool:
    limit = max(OVERDUE, _PAUSES * study.graph.study.settings.sleep_seconds * 1_000_000)
    since = max(last_tick or 0, study.log.head.recorded_at)  # so that a study which was just reopened is not overdue
    return study.runtime.now() - since > limit


def select_steps(
    graph: Graph,
    patterns: Sequence[str] = (),
    states: Collection[State] = (),
    params: Sequence[tuple[str, str]] = (),
) -> Iterator[StepRecord]:
    """Yield the steps that match a pattern, are in one of the states and have the parameters, in Maestro's order.

    Each parameter is a name and a glob for its value or label. An empty filter lets all steps through. RequestRefused
    if a pattern matches no step.
    """
    steps = match_by_row(graph, patterns) if patterns else graph.by_row()
    return (step for step in steps if (not states or step.state in states) and _has_params(step, params))


def listed_steps(study: Session, past: Past | None, *choice: Any) -> Spool[StepRecord]:  # noqa: ANN401 - of any kind
    """Return the steps that `select_steps` chooses, all of the same moment."""

    def read() -> Spool[StepRecord]:
        graph = past.graph if past else study.graph
        return Spool(select_steps(graph, *choice), StepRecord)

    return read() if past else study.log.at_once(read)


def _has_params(step: StepRecord, params: Sequence[tuple[str, str]]) -> bool:
    if not params:
        return True
    import fnmatch  # noqa: PLC0415 - seldom needed

    return all(
        any(
            param.key == name and (pattern in texts or any(fnmatch.fnmatchcase(text, pattern) for text in texts))
            for param in step.params
            for texts in [(str(param.value), param.label)]
        )
        for name, pattern in params
    )


def status_table(study: Session) -> Spool[StatusRow]:
    """Return the table of an open study. It is read straight from SQL: records would take four times as long."""

    def read() -> Spool[StatusRow]:
        with study.log.snapshot() as connection:
            return Spool(explained_rows(connection, reason), StatusRow)

    return study.log.at_once(read)


def reason(step: StepRecord) -> str:
    """Return in a few words why a step did not succeed or is not submitted yet (empty: no reason is known)."""
    if step.skipped or (step.held and step.phase in (Phase.BLOCKED, Phase.READY)):
        return step.message if step.skipped else "held"
    if step.doubted:
        return "the host went down just after the step ended, so the output may be incomplete"
    if step.cause is Cause.UPSTREAM:
        return f"upstream: {step.message}"
    if step.state in BAD_ENDS:
        return step.message
    if step.rejections and step.phase is Phase.READY:
        return f"submission refused: {step.message}"
    if step.message and step.phase is Phase.REQUESTED:
        return f"it is unknown whether the job was submitted: {step.message}"
    if step.delays and step.phase is Phase.SUBMITTED:
        return step.message
    return ""


def summary_data(summary: Summary) -> dict[str, Any]:
    """Return the fields of a summary for JSON. Times are ISO 8601 in UTC."""
    return {**msgspec.structs.asdict(summary), "last_tick": iso(summary.last_tick), "at": iso(summary.at)}


def step_data(step: StepRecord, now: Micros) -> dict[str, Any]:
    """Return a step for JSON. Durations are in seconds, and times are ISO 8601 in UTC. Each may be null."""
    end = step.ended_at or (now if step.state is State.RUNNING else None)
    return {
        "number": step.number,
        "name": step.name,
        "template": step.template,
        "params": {param.key: param.value for param in step.params},
        "state": step.state.name,
        "phase": step.phase.name,
        "why": reason(step),
        "job_id": step.job_id or None,
        "workspace": step.workspace,
        "attempt": step.attempt,
        "restarts": step.restarts,
        "hardware_failures": step.hardware_failures,
        "submitted_at": iso(step.submitted_at),
        "started_at": iso(step.started_at),
        "ended_at": iso(step.ended_at),
        "run_seconds": _seconds(step.started_at, end),
        "elapsed_seconds": _seconds(step.submitted_at, end),
        "exit_code": step.exit_code,
        "cause": step.cause and step.cause.value,
        "held": step.held,
        "skipped": step.skipped,
        "doubted": step.doubted,
        "usage": usage_data(step.usage, step.started_at, step.ended_at),
    }


def _seconds(start: Micros | None, end: Micros | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0) / 1e6
