"""Finds out what attempts have used whose end is recorded already.

A tick never waits for this. A runner of a local step, and the process that has started it, know it soon after the end.
A scheduler with accounting is asked, with one command, by a tick that has recorded the end of a job, and by those of
the next minutes, because the accounting may be behind. The end of a job that only the accounting explains, and the
list of a scheduler that shows what ended jobs have used, bring it at once (`maestro_es.poller.observe`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maestro_es.adapters.base import RecallsUsage
from maestro_es.adapters.local import take_usages
from maestro_es.core import events as e
from maestro_es.core.attempt_token import is_imported
from maestro_es.core.decide import late_usages
from maestro_es.core.model import Micros, is_local
from maestro_es.core.usage import Usage
from maestro_es.errors import SchedulerError
from maestro_es.poller.performers import Performer
from maestro_es.study.reports import read_reports
from maestro_es.study.session import Session

#: How long after an event about a step the accounting may still be asked, in microseconds.
_WINDOW: Micros = 180 * 1_000_000

#: How many of the last events are searched for ends, besides those of this tick, and how many attempts one query has.
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
    """Return whether it may still become known what the last attempts of a study that has ended have used."""
    return study.runtime.now() - study.graph.study.written_at < _WINDOW


def known_usages(study: Session) -> Mapping[str, Usage]:
    """Return what the local steps have used that this process has started and that have ended since the last pass."""
    study.usages.update(take_usages())
    return study.usages


def record_of_ended(study: Session, performer: Performer) -> None:
    """Record what runners of a study that has ended report, and what its accounting says."""
    if not may_come(study):
        return
    reports = [report for report in read_reports(study.dir.inbox) if report.usage]
    usages = {**known_usages(study), **{report.token: report.usage for report in reports if report.usage}}
    study.usages = {}
    if usages:
        study.request(lambda graph: late_usages(graph, usages))
    performer.remove_reports(study.dir.inbox, reports)
    ask(study, study.log.head.seq)


def ask(study: Session, before: int) -> None:
    """Ask the accounting what ended jobs have used, and record it. `before` is the last event before this pass.

    The tick has done its work already, and is not delayed if the answer is missing.
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
        return  # it is asked again, or never known
    if usages:
        study.request(lambda graph: late_usages(graph, usages))


def _jobs(study: Session, ended: Iterable[tuple[int, str]]) -> tuple[Mapping[str, str], Micros]:
    """Return the ids of the jobs of ended attempts by token, and a time before they were submitted."""
    jobs: dict[str, str] = {}
    since = study.runtime.now()
    for number, token in ended:
        if not study.graph.step(number).scheduled or is_imported(token):
            continue
        for recorded in study.log.events_of(number):
            if isinstance(recorded.event, e.JobSubmitted) and recorded.event.token == token:
                jobs[token] = recorded.event.job_id
                since = min(since, recorded.recorded_at)
    return jobs, since
