"""Finds out what attempts have used, after their ends were recorded.

A tick never waits for this. The runner of a local step, and the process that started the runner, know the usage soon
after the end. For jobs, a tick that has recorded an end queries the accounting, with one command. The ticks of the
next minutes also query it, because the accounting may be late. In two cases the usage is known at once
(`maestro_es.poller.observe`): if only the accounting explains the end of a job, or if the scheduler's list shows what
ended jobs have used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maestro_es.adapters.base import RecallsUsage
from maestro_es.core import events as e
from maestro_es.core.attempt_token import is_imported, placement_of
from maestro_es.core.decide import late_usages
from maestro_es.core.model import Micros, is_local
from maestro_es.errors import SchedulerError
from maestro_es.poller.performers import Performer
from maestro_es.study.reports import read_reports
from maestro_es.study.session import Session

#: How long after an event about a step the accounting may still be queried, in microseconds.
_WINDOW: Micros = 180 * 1_000_000

#: How many of the last events are searched for ends, in addition to the events of this tick, and how many attempts one
#: query can have.
_EVENTS, _MOST = 2_000, 1_000

#: The events that end an attempt which may have run.
_ENDS = (e.StepFinished, e.StepFailed, e.StepTimedOut, e.HardwareFailed, e.StepCancelled)

_WITHOUT_USAGE = f"""
    SELECT step, json_extract(data, '$.token') AS token FROM event
    WHERE seq > ? AND type IN ({", ".join(f"'{kind.__name__}'" for kind in _ENDS)}) AND token != ''
        AND json_extract(data, '$.usage') IS NULL
    EXCEPT SELECT step, json_extract(data, '$.token') FROM event WHERE seq > ? AND type = 'UsageReported'
    ORDER BY step DESC LIMIT ?
"""  # noqa: S608 - the names are ours


def may_come(study: Session) -> bool:
    """Return whether the usage of the last attempts of an ended study may still become known."""
    return study.runtime.now() - study.graph.study.written_at < _WINDOW


def record_of_ended(study: Session, performer: Performer) -> None:
    """Record the usage that the runners and the accounting of an ended study report."""
    if not may_come(study):
        return
    reports = [report for report in read_reports(study.dir.inbox) if report.usage]
    usages = {**study.usages, **{report.token: report.usage for report in reports if report.usage}}
    study.usages = {}
    if usages:
        study.request(lambda graph: late_usages(graph, usages))
    performer.remove_reports(study.dir.inbox, reports)
    ask(study, study.log.head.seq)


def ask(study: Session, before: int) -> None:
    """Query the accounting for what ended jobs have used, and record the answer.

    `before` is the last event before this pass.

    The tick has already done its work, so a missing answer does not delay it.
    """
    if is_local(study.graph.study.adapter) or not may_come(study):
        return
    adapter = study.adapters.scheduler
    if not isinstance(adapter, RecallsUsage):
        return
    begin = min(before, study.log.head.seq - _EVENTS)
    from maestro_es.study.environment_file import scheduler_facts  # noqa: PLC0415 - only for a scheduler with accounting

    rows = study.log.query(_WITHOUT_USAGE, (begin, begin, _MOST))
    jobs, since = _jobs(study, ((int(str(step)), str(token)) for step, token in rows))
    if not jobs:
        return
    try:
        usages = adapter.query_usage(jobs, since, scheduler_facts(study.log))
    except SchedulerError:
        return  # a later tick queries again, or the usage stays unknown
    if usages:
        study.request(lambda graph: late_usages(graph, usages))


def _jobs(study: Session, ended: Iterable[tuple[int, str]]) -> tuple[Mapping[str, str], Micros]:
    """Return the ids of the jobs of ended attempts by token, and a time before they were submitted.

    Attempts inside an allocation are left out, because the accounting does not have their tokens.
    """
    jobs: dict[str, str] = {}
    since = study.runtime.now()
    for number, token in ended:
        if not study.graph.step(number).scheduled or is_imported(token) or placement_of(token):
            continue
        for recorded in study.log.events_of(number):
            if isinstance(recorded.event, e.JobSubmitted) and recorded.event.token == token:
                jobs[token] = recorded.event.job_id
                since = min(since, recorded.recorded_at)
    return jobs, since
