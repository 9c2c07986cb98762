"""Runs a tick, which is one pass over one study.

A tick queries the schedulers, reads the inbox, decides, appends events, submits steps, writes ``status.csv`` and
exits. It never sleeps and never waits for a job. Any number of ticks may run at once. Each append names the seq on
which its decision is based. So only one of these ticks advances the study, and the others write nothing.

`maestro_es.core.decide` has the rules, and `maestro_es.poller.performers` has the effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from maestro_es.core import events as e
from maestro_es.core.attempt_token import element_of
from maestro_es.core.decide import complete, decide, submissions
from maestro_es.core.decide import look_back as decide_again
from maestro_es.core.events import NewEvent
from maestro_es.core.model import ENVIRONMENT, NO_SCHEDULER, State, StudyStatus
from maestro_es.core.observations import Observations, Report, ReportKind
from maestro_es.core.reconcile import jobs_to_end
from maestro_es.errors import ConcurrentAppend, NothingStarts, SchedulerError, Unreachable
from maestro_es.poller.inputs import inputs_of
from maestro_es.poller.last_boot import look_back
from maestro_es.poller.maestro_requests import take_requests
from maestro_es.poller.observe import Observer
from maestro_es.poller.performers import LIVE, Performer, show_status
from maestro_es.poller.usage import ask, record_of_ended
from maestro_es.study import last_tick
from maestro_es.study.session import Session
from maestro_es.study.sharing import umask_of

if TYPE_CHECKING:
    from maestro_es.core.arrays import Arrays
    from maestro_es.poller.prefetch import QueueSnapshot

#: How many times a tick decides again if other processes append at the same time.
_TRIES = 5

#: A function that submits the steps whose submission was requested.
Submit = Callable[[Session, Sequence[int], Performer], None]


def tick(
    study: Session,
    *,
    show: bool = True,
    ahead: int = 0,
    submit: Submit | None = None,
    snapshot: QueueSnapshot | None = None,
) -> StudyStatus:
    """Advance a study by one pass.

    The options are for drivers that make many passes. Without `show`, a later pass writes ``status.csv``. `ahead` is
    how many more steps are requested than there are free slots. `submit` replaces the function that submits steps. A
    driver that ticks many studies passes one shared `snapshot` of the queue.

    Unreachable if the file system did not answer, or if a scheduler did not answer or did not end a job. In this case
    nothing was concluded about the jobs concerned, but everything else was done. NothingStarts if everything answered,
    but no step can start. Other messages for users are in the study's `remarks`.
    """
    unreachable = advance(study, LIVE, show=show, ahead=ahead, submit=submit, snapshot=snapshot)
    if unreachable:
        kind = NothingStarts if unreachable.keys() == {ENVIRONMENT} else Unreachable
        messages = (message if name in NO_SCHEDULER else f"{name}: {message}" for name, message in unreachable.items())
        raise kind("; ".join(messages))
    return study.status


def advance(
    study: Session,
    performer: Performer,
    *,
    show: bool = True,
    ahead: int = 0,
    submit: Submit | None = None,
    snapshot: QueueSnapshot | None = None,
) -> dict[str, str]:
    """Make a pass with its effects. Returns the schedulers that did not answer, and their messages.

    The performer `Preview` changes nothing on disk. Then the log of the study is a copy in memory, which gets the
    events.
    """
    if study.runtime.host.trouble:
        raise Unreachable(study.runtime.host.trouble)
    study.dir.check_owner()
    study.log.refresh()
    with umask_of(study.graph):
        performer.make_state_dir(study)
        last_tick.check(study.dir, study.log)
        performer.repair_copies(study)
        study.last_error = None
        unreachable = _passes(study, performer, ahead, submit, snapshot)
        _show(study, performer, put_off=not show)
        performer.note_tick(study)
        if study.graph.study.settings.notify:
            performer.notify(study)
    return unreachable


def _show(study: Session, performer: Performer, *, put_off: bool) -> None:
    """Write ``status.csv`` if it is older than the log, unless this is put off. Note the last event, and who ticks."""
    head, noted, runtime = study.log.head, last_tick.read(study.dir), study.runtime
    shown = last_tick.is_shown(study.dir, noted, head)
    if not (shown or put_off or last_tick.puts_off(study.dir, study.graph.study, runtime.now())):
        show_status(study, performer)
        shown = True
    host, driver = runtime.host, runtime.driver
    now = last_tick.Note(head.seq, head.digest, shown, host.name, driver.name, host.job, host.cpus)
    if noted != now:
        performer.note(study, now)


def _passes(
    study: Session, performer: Performer, ahead: int, submit: Submit | None, snapshot: QueueSnapshot | None
) -> dict[str, str]:
    """Make a pass, and repeat it if other processes append. Returns the schedulers that did not answer.

    A scheduler that has not answered one query is not queried again.
    """
    unreachable: dict[str, str] = {}
    for remaining in reversed(range(_TRIES)):
        try:
            study.locate()
            study.remarks += take_requests(study, performer)
            done = _pass(study, performer, ahead, submit, snapshot)
            unreachable.update(done.unreachable)
            if done.has_orphans:  # they were killed, and are normally gone by now
                unreachable.update(_pass(study, performer, ahead, submit, local=True).unreachable)
            break
        except ConcurrentAppend:
            if not remaining:
                raise
            study.log.refresh()
            from maestro_es.poller.prefetch import no_answer  # noqa: PLC0415 - it is rarely needed

            snapshot = no_answer(study.last_error) if study.last_error else snapshot
    return unreachable


class _Pass(NamedTuple):
    """The result of a pass: the schedulers that did not answer, and whether processes ran without their runner."""

    unreachable: Mapping[str, str] = MappingProxyType({})
    has_orphans: bool = False


def _pass(
    study: Session,
    performer: Performer,
    ahead: int,
    submit: Submit | None,
    snapshot: QueueSnapshot | None = None,
    *,
    local: bool = False,
) -> _Pass:
    """Make one pass, over all or only the `local` steps."""
    if study.status is not StudyStatus.RUNNING:
        _look_back(study)
        record_of_ended(study, performer)
        return _Pass()
    inputs = inputs_of(study, performer, ahead)
    may_use = snapshot and snapshot.at(study.log.head.seq)
    where = (study.graph, study.dir, study.adapters)
    seen = Observer(*where, inputs, performer.fence, may_use, local=local).observe()
    study.last_error = study.last_error or seen.last_error
    before = study.log.head.seq
    new_events = _decide(study, seen.observations)
    _remove_reconciled(study, performer, seen.reports)
    _remove_links(study, performer, new_events)
    not_ended = _end_jobs(study, performer, seen.observations)
    _submit(study, submissions(new_events), performer, submit, seen.observations)
    _complete(study, performer)
    ask(study, before)
    _remark_on_job(study)
    return _Pass({**seen.unreachable, **not_ended}, seen.has_orphans)


def _remark_on_job(study: Session) -> None:
    """Add a remark that local steps start only inside jobs, if only this keeps the study from continuing."""
    job, graph = study.graph.study.environment.job, study.graph
    brief = study.runtime.brief
    can_start = not brief and (not job or study.runtime.host.job)
    if can_start or graph.in_flight() or not graph.ready(scheduled=False, limit=1):
        return
    from maestro_es.poller.submit import job_remark  # noqa: PLC0415 - few studies need it

    line = job_remark(study.dir.root, job, brief=brief)
    if line not in study.remarks:
        study.remarks.append(line)


def _look_back(study: Session) -> None:
    """Mark the doubted steps of a study that has ended, if this host has booted since."""
    past = look_back(study.graph, study.dir, study.runtime.host)
    if past:
        host = study.runtime.host
        seen = Observations(
            now=study.runtime.now(), host=host.name, boot_id=host.boot_id, token_suffix="", size=host.size,
            machine=host.machine, booted_at=host.booted_at, last_boot=past,
        )  # fmt: skip
        with study.log.transaction():
            decide_again(study.graph, seen, lambda new_events: _record(study, new_events))


def _record(study: Session, new_events: Iterable[NewEvent]) -> list[NewEvent]:
    """Record events inside a transaction, and add remarks for users.

    Returns only the events that the tick acts on, because a list of all new events might not fit into memory.
    """
    kept: list[NewEvent] = []
    study.log.record(_keeping(new_events, kept))
    names = [study.graph.step(number or 0).name for number, event in kept if isinstance(event, e.OutputDoubted)]
    if names:
        root, more = study.dir.root, f" and {len(names) - 1} more" if len(names) > 1 else ""
        study.remarks.append(
            f"{root}: {study.runtime.host.name} went down so shortly after the end of {names[0]}{more} that output may"
            f" be incomplete: check it; 'maestro-es retry {root} --doubted' reruns these steps and their dependents"
        )
    return kept


def _decide(study: Session, seen: Observations) -> list[NewEvent]:
    kept: list[NewEvent] = []
    before = study.log.head.seq
    with study.log.transaction():
        study.record(_take_outcomes(study))
        decide(study.graph, seen, lambda new_events: kept.extend(_record(study, new_events)), lambda: _arrays(study))
    study.pending.clear()
    study.usages.clear()
    if study.log.head.seq != before:
        study.runtime.on_effect("append")
    return kept


#: The events to which a tick reacts after they are recorded.
_ACTED_ON = (e.AttemptAbandoned, e.JobSubmitted, e.OutputDoubted, e.SubmissionRequested)


def _keeping(new_events: Iterable[NewEvent], kept: list[NewEvent]) -> Iterator[NewEvent]:
    """Pass events on, and keep those to which a tick reacts."""
    for new_event in new_events:
        if isinstance(new_event[1], _ACTED_ON):
            kept.append(new_event)
        yield new_event


def _take_outcomes(study: Session) -> list[NewEvent]:
    """Return the events for outcomes that an earlier pass has left pending."""
    if not study.pending:
        return []
    from maestro_es.poller.submit import take_outcomes  # noqa: PLC0415 - most ticks submit nothing

    return take_outcomes(study)


def _arrays(study: Session) -> Arrays | None:
    """Return the rules for job arrays of this study; None if it has none."""
    from maestro_es.poller.arrays import arrays_of  # noqa: PLC0415 - most ticks submit nothing

    return arrays_of(study)


def _submit(
    study: Session, steps: Sequence[int], performer: Performer, submit: Submit | None, seen: Observations
) -> None:
    """Submit these steps, with the driver's own function if it has one. A dry run only writes all scripts."""
    if study.graph.study.settings.dry_run:
        from maestro_es.poller.submit import write_all_scripts  # noqa: PLC0415 - few studies need it

        write_all_scripts(study, performer)
    elif submit:
        submit(study, steps, performer)
    elif steps or study.pending:
        from maestro_es.poller.submit import submit_in_rounds  # noqa: PLC0415 - most ticks submit nothing

        submit_in_rounds(study, steps, performer, seen)


def _remove_reconciled(study: Session, performer: Performer, reports: Sequence[Report]) -> None:
    """Remove the reports whose events are committed. These are reports of ended attempts, and of recorded starts."""
    if not reports:
        return
    states = {step.token: step.state for step in study.graph.in_flight()}
    done = [
        report
        for report in reports
        if report.token not in states or (report.kind is ReportKind.STARTED and states[report.token] is State.RUNNING)
    ]
    performer.remove_reports(study.dir.inbox, done)
    study.runtime.on_effect("remove")
    if any(element_of(report.token) for report in done):
        performer.forget_arrays(study)


def _remove_links(study: Session, performer: Performer, new_events: Sequence[NewEvent]) -> None:
    """Remove the links through which attempts in doubt were submitted, because a killed tick may have left them.

    The link of a job array stays as long as the map of the array, because another tick may be about to submit the
    array.
    """
    for _, event in new_events:
        if isinstance(event, e.AttemptAbandoned) or (isinstance(event, e.JobSubmitted) and event.adopted):
            performer.remove_runner(study.dir.runner_of(event.token))


def _end_jobs(study: Session, performer: Performer, seen: Observations) -> dict[str, str]:
    """Cancel jobs. Returns the schedulers that did not accept this, and their messages. The next tick tries again."""
    unreachable: dict[str, str] = {}
    steps = jobs_to_end(study.graph, seen)
    for scheduled, adapter in ((False, study.adapters.local), (True, study.adapters.scheduler)):
        mine = [step for step in steps if step.scheduled is scheduled]
        if mine and not (scheduled and seen.scheduler_down):
            try:
                performer.cancel(adapter, mine)
            except SchedulerError as error:
                if scheduled and isinstance(error, Unreachable):
                    study.last_error = study.last_error or error
                unreachable[adapter.name] = str(error)
            study.runtime.on_effect("end")
    return unreachable


def _complete(study: Session, performer: Performer) -> None:
    """Record the end of a study whose last steps failed at submission, and clean up after a study that has ended."""
    with study.log.transaction():
        study.log.record(complete(study.graph))
    if study.status is not StudyStatus.RUNNING:
        performer.forget_arrays(study)
        if study.graph.study.settings.use_tmp:
            performer.remove_scripts(study.graph.study.study_id)
