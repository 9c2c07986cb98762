"""The rules of a tick: state and observations in, events out.

`decide` runs the rules one after the other. `record` applies the events of a rule to the graph before the next rule
reads it. This module has no effects: the tick appends the events, and then submits the steps that they request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from maestro_es.core import events as e
from maestro_es.core.attempt_token import make_token
from maestro_es.core.doubt import doubt_outputs
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.hosts import boot_before
from maestro_es.core.model import (
    BAD_ENDS,
    ENVIRONMENT,
    FAILED_STATES,
    Cause,
    Micros,
    Phase,
    State,
    StepRecord,
    StudyRecord,
    StudyStatus,
    SubmissionKind,
)
from maestro_es.core.observations import Observations
from maestro_es.core.reconcile import reconcile_attempts
from maestro_es.core.throttle import count_slots

#: The period of cron's ticks, and the number of periods without a tick after which missed ticks are recorded.
_CRON_SECONDS, _PERIODS = 60, 3

#: Of how many steps the children are asked for together.
_AT_ONCE = 100


def decide(graph: Graph, seen: Observations, record: Callable[[Iterable[NewEvent]], object]) -> None:
    """Run the rules of one tick. `record` takes events in order and applies them to the graph.

    It may do so while it draws them: of a study of a million steps, not all events need be in memory.
    """
    before = _boot_before(graph.study, seen)
    record(note_changes(graph, seen))
    reconciled = reconcile_attempts(graph, seen)
    record(reconciled)
    failed = ended_badly(reconciled)
    if graph.study.cancelling:  # then nothing that waits for any of these is left
        record(_end(graph.waiting(), seen))
    else:
        cancelled = list(_end(graph.cancelling(), seen))
        record(cancelled)
        failed += ended_badly(cancelled)
    record(doubt_outputs(graph, seen, before, reconciled))
    record(fail_descendants(graph, seen.now, failed))
    record(complete(graph))
    record(start_ready(graph, seen))


def look_back(graph: Graph, seen: Observations, record: Callable[[list[NewEvent]], object]) -> None:
    """For a study that has ended: record that this host has booted since, and which outputs are doubted."""
    before = _boot_before(graph.study, seen)
    if before:
        reboot = e.RebootDetected(host=seen.host, before=before, after=seen.boot_id)
        record([(None, reboot), *doubt_outputs(graph, seen, before, ())])


def _boot_before(study_record: StudyRecord, seen: Observations) -> str:
    """Return the boot id before a reboot of this host that is not recorded yet; empty if there is none."""
    return "" if seen.namesake else boot_before(study_record, seen.boot)


def submissions(new_events: Iterable[NewEvent]) -> list[int]:
    """Return the steps for which a submission was requested."""
    return [step for step, event in new_events if isinstance(event, e.SubmissionRequested) and step]


# -- what happened outside ------------------------------------------------------------------------------------------


def note_changes(graph: Graph, seen: Observations) -> list[NewEvent]:
    """Record what has changed around the study.

    These changes are a reboot of this host, missed ticks, schedulers that stop answering or answer again, and reports
    of earlier attempts.
    """
    study_record = graph.study
    new_events: list[NewEvent] = []
    before = _boot_before(study_record, seen)
    if before:
        new_events.append((None, e.RebootDetected(host=seen.host, before=before, after=seen.boot_id)))
    new_events.extend(_missed_ticks(graph, seen))
    for adapter, message in seen.unreachable.items():
        if adapter not in study_record.unreachable:
            new_events.append((None, e.PollFailed(adapter=adapter, message=message)))
    new_events.extend(
        (None, e.PollRecovered(adapter=name)) for name in study_record.unreachable if name in seen.answered
    )
    new_events.extend((None, e.ReportIgnored(token=token, report=report)) for token, report in seen.stale_reports)
    return new_events


def _missed_ticks(graph: Graph, seen: Observations) -> list[NewEvent]:
    """Record missed ticks, if no tick has run for several periods: a host was down, or a crontab is gone."""
    if seen.last_tick is None:
        return []
    since = max(seen.last_tick, graph.study.ticked_from)
    seconds = (seen.now - since) // 1_000_000
    if seconds <= _PERIODS * max(_CRON_SECONDS, graph.study.settings.sleep_seconds):
        return []
    return [(None, e.TicksMissed(since=since, seconds=seconds))]


# -- steps that will not run ----------------------------------------------------------------------------------------


def _end(cancelled: Iterable[StepRecord], seen: Observations) -> Iterator[NewEvent]:
    """Cancel the steps that a user has cancelled and that have no job. Jobs are cancelled by the scheduler."""
    event = e.StepCancelled(at=seen.now, message="cancelled before it ran")
    return ((step.number, event) for step in cancelled if step.phase in (Phase.BLOCKED, Phase.READY))


def ended_badly(new_events: Iterable[NewEvent]) -> list[int]:
    """Return the steps that these events end without success, so that the steps that depend on them can't run."""
    return [step for step, event in new_events if step and _ends_badly(event)]


def waiting_in_vain(graph: Graph, new_events: Iterable[NewEvent]) -> list[int]:
    """Return the steps that had already ended without success when these events made other steps depend on them."""
    parents = {parent for _, event in new_events if isinstance(event, e.StepAdded) for parent in event.parents}
    parents |= {event.parent for _, event in new_events if isinstance(event, e.ConnectionAdded)}
    return [number for number in sorted(parents) if graph.step(number).state in BAD_ENDS]


def _ends_badly(event: e.AnyEvent) -> bool:
    if isinstance(event, e.StepTimedOut):
        return bool(event.final)
    if isinstance(event, (e.StepImported, e.StepRecovered)):
        return event.state in BAD_ENDS
    return isinstance(event, (e.StepFailed, e.StepCancelled))


def fail_descendants(graph: Graph, now: Micros, failed: Iterable[int]) -> Iterator[NewEvent]:
    """Fail or cancel all steps that depend on a step that ended without success; each event names that step.

    The events may be recorded while they are drawn, or after that.
    """
    reached = bytearray(graph.study.steps + 1)
    templates: set[str] = set()
    for number in failed:
        origin = graph.step(number)
        event = _upstream(now, origin)
        for descendant in _blocked_after(graph, origin, reached, templates):
            yield descendant, event


def _blocked_after(graph: Graph, origin: StepRecord, reached: bytearray, templates: set[str]) -> Iterator[int]:
    """Yield the blocked steps that depend on a step, directly or not, and were not `reached` before.

    The funnels of each of the `templates` have been followed.
    """
    from array import array  # noqa: PLC0415 - most ticks fail nothing, and a list takes five times the memory

    parents, funnels = array("q", (origin.number,)), [origin.template]
    while parents or funnels:
        if funnels:
            template = funnels.pop()
            blocked = iter(()) if template in templates else graph.blocked_by_funnel(template)
            templates.add(template)
        else:
            blocked = graph.blocked_children(parents[-_AT_ONCE:])
            del parents[-_AT_ONCE:]
        for step in blocked:
            if not reached[step.number]:
                reached[step.number] = True
                parents.append(step.number)
                funnels += [] if step.template in templates else [step.template]
                yield step.number


def _upstream(now: Micros, origin: StepRecord) -> e.AnyEvent:
    message = f"{origin.name} is {origin.state.name}"
    if origin.state is State.CANCELLED:
        return e.StepCancelled(at=now, message=message, blocker=origin.number)
    return e.StepFailed(at=now, cause=Cause.UPSTREAM, message=message, blocker=origin.number)


def complete(graph: Graph) -> list[NewEvent]:
    """Complete the study if all its steps are done."""
    study_record = graph.study
    if study_record.open_steps or not study_record.steps or study_record.status is not StudyStatus.RUNNING:
        return []
    return [(None, e.StudyCompleted(status=final_status(study_record.states)))]


def final_status(states: Mapping[str, int]) -> StudyStatus:
    """Return the final status of a study, from the number of steps in each state."""
    if states.get(State.CANCELLED.name):
        return StudyStatus.CANCELLED
    if any(states.get(state.name) for state in FAILED_STATES):
        return StudyStatus.FAILURE
    return StudyStatus.FINISHED


# -- steps that may run ---------------------------------------------------------------------------------------------


def start_ready(graph: Graph, seen: Observations) -> list[NewEvent]:
    """Request a submission for ready steps, as many as the throttle and the host's slots allow.

    If the study was started inside a job, its local steps start only inside jobs: this host may not be meant for them.
    """
    study_record = graph.study
    if (
        study_record.paused
        or study_record.cancelling
        or study_record.settings.dry_run
        or ENVIRONMENT in seen.unreachable
    ):
        return []
    local, scheduled = count_slots(graph, seen.cores, seen.now)
    new_events: list[NewEvent] = []
    most = study_record.open_steps
    jobs = 0 if seen.scheduler_down else scheduled.requests(most)
    local_slots = 0 if study_record.environment.job and not seen.job else local.requests(most) + seen.ahead
    for kind, limit in ((False, local_slots), (True, jobs)):
        ready = graph.ready(scheduled=kind, limit=limit) if limit else ()
        new_events.extend((step.number, _request(study_record.study_id, seen, step)) for step in ready)
    return new_events


def _request(study_id: str, seen: Observations, step: StepRecord) -> e.SubmissionRequested:
    attempt = step.attempt + 1
    kind = SubmissionKind.RESUBMIT if attempt > 1 and step.kind is SubmissionKind.FIRST else step.kind
    token = make_token(study_id, step.number, attempt, seen.token_suffix)
    return e.SubmissionRequested(attempt=attempt, token=token, kind=kind)
