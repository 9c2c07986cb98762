"""The rules of a tick. They take the state and the observations, and return events.

`decide` runs the rules one after the other. The function `record` applies the events of a rule to the graph before the
next rule reads the graph. This module has no effects. The tick appends the events, and then submits the requested
steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from maestro_es.core import events as e
from maestro_es.core.attempt_token import (
    attempt_of,
    element_suffix,
    is_of_study,
    make_token,
    placed_suffix,
    placement_of,
    step_of,
)
from maestro_es.core.cascade import Part, ended_badly, fail_descendants, fail_the_rest
from maestro_es.core.doubt import doubt_outputs
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.hosts import boot_before
from maestro_es.core.model import (
    ENVIRONMENT,
    FAILED_STATES,
    IN_FLIGHT,
    Phase,
    State,
    StepRecord,
    StudyRecord,
    StudyStatus,
    SubmissionKind,
)
from maestro_es.core.observations import Observations
from maestro_es.core.packing import inside, local_steps
from maestro_es.core.reconcile import reconcile_attempts
from maestro_es.core.step_keys import Allocation
from maestro_es.core.throttle import ROUND_STEPS, Slots, count_slots
from maestro_es.core.usage import Usage

if TYPE_CHECKING:
    from maestro_es.core.arrays import Arrays

#: `_CRON_SECONDS` is the time between two ticks that cron starts. Missed ticks are recorded if no tick runs for more
#: than `_PERIODS` of these intervals.
_CRON_SECONDS, _PERIODS = 60, 3


def decide(
    graph: Graph,
    seen: Observations,
    record: Callable[[Iterable[NewEvent]], object],
    arrays: Callable[[], Arrays | None] = lambda: None,
) -> None:
    """Run the rules of one tick. `record` takes events in order and applies them to the graph.

    `record` may apply each event before it takes the next one. So the events of a million steps need not fit in
    memory. `arrays` returns the rules for job arrays, or None. If there are rules, many steps with equal keys are
    submitted together.
    """
    before = _boot_before(graph.study, seen)
    record(note_changes(graph, seen))
    reconciled = reconcile_attempts(graph, seen)
    record(reconciled)
    record(late_usages(graph, seen.usages))
    _end_steps(graph, seen, before, reconciled, record)
    record(complete(graph))
    record(start_ready(graph, seen, arrays))


def look_back(graph: Graph, seen: Observations, record: Callable[[list[NewEvent]], object]) -> None:
    """Record a reboot of this host after the end of the study, and the outputs that the reboot puts in doubt."""
    before = _boot_before(graph.study, seen)
    if before:
        reboot = e.RebootDetected(host=seen.host, before=before, after=seen.boot_id)
        record([(None, reboot), *doubt_outputs(graph, seen, before, ())])


def _boot_before(study_record: StudyRecord, seen: Observations) -> str:
    """Return the previous boot id if this host has rebooted and the log does not say so yet; otherwise nothing."""
    return "" if seen.namesake else boot_before(study_record, seen.boot)


def late_usages(graph: Graph, usages: Mapping[str, Usage]) -> list[NewEvent]:
    """Record the usage of attempts whose end is already recorded. The usage of other attempts is ignored."""
    new_events: list[NewEvent] = []
    for token, usage in usages.items():
        number = step_of(token)
        if not is_of_study(token, graph.study.study_id) or number not in range(1, graph.study.steps + 1):
            continue
        step = graph.step(number)
        is_current = step.token == token
        if attempt_of(token) <= step.attempt and not (is_current and (step.phase in IN_FLIGHT or step.usage)):
            new_events.append((number, e.UsageReported(token=token, usage=usage)))
    return new_events


def submissions(new_events: Iterable[NewEvent]) -> list[int]:
    """Return the steps for which a submission was requested."""
    return [step for step, event in new_events if isinstance(event, e.SubmissionRequested) and step]


# -- events outside -------------------------------------------------------------------------------------------------


def note_changes(graph: Graph, seen: Observations) -> list[NewEvent]:
    """Record what has changed around the study.

    The possible changes are a reboot of this host, missed ticks, schedulers that stop answering or answer again, and
    reports of earlier attempts.
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
    """Record missed ticks if no tick has run for several periods, for example because the host was down."""
    if seen.last_tick is None:
        return []
    since = max(seen.last_tick, graph.study.ticked_from)
    seconds = (seen.now - since) // 1_000_000
    if seconds <= _PERIODS * max(_CRON_SECONDS, graph.study.settings.sleep_seconds):
        return []
    return [(None, e.TicksMissed(since=since, seconds=seconds))]


# -- steps that will not run ----------------------------------------------------------------------------------------


def _end_steps(
    graph: Graph,
    seen: Observations,
    before: str,
    reconciled: list[NewEvent],
    record: Callable[[Iterable[NewEvent]], object],
) -> None:
    """End the steps that a user has cancelled, and the dependents of steps that ended without success.

    One transaction ends a limited number of steps. The next ticks end the rest.
    """
    part = Part()
    is_resumed = graph.study.cascading
    if graph.study.cancelling:  # all blocked steps are cancelled, so no descendants are left to fail
        record(part.take(_cancel(graph.waiting(), seen)))
        record(doubt_outputs(graph, seen, before, reconciled))
    else:
        cancelled: list[int] = []
        record(part.take(_noting(_cancel(graph.cancelling(), seen), cancelled)))
        record(doubt_outputs(graph, seen, before, reconciled))
        record(part.take(fail_descendants(graph, seen.now, [*ended_badly(reconciled), *cancelled])))
        if is_resumed:
            record(part.take(fail_the_rest(graph, seen.now)))
    record(part.mark(graph.study))


def _cancel(cancelled: Iterable[StepRecord], seen: Observations) -> Iterator[NewEvent]:
    """Record the end of cancelled steps that have no job.

    If a step has a job, the scheduler must cancel the job first.
    """
    event = e.StepCancelled(at=seen.now, message="cancelled before it ran")
    return ((step.number, event) for step in cancelled if step.phase in (Phase.BLOCKED, Phase.READY))


def _noting(new_events: Iterable[NewEvent], numbers: list[int]) -> Iterator[NewEvent]:
    """Pass events on, and add the numbers of their steps to a list."""
    for new_event in new_events:
        numbers.append(new_event[0] or 0)
        yield new_event


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


def start_ready(
    graph: Graph, seen: Observations, arrays: Callable[[], Arrays | None] = lambda: None
) -> list[NewEvent]:
    """Request the submission of as many ready steps as the throttle and the host's slots allow.

    If the study was started inside a job, its local steps start only inside jobs, because this host may not allow
    them. If the tick runs in a job that ends with the tick, no local step starts. Jobs are requested in rounds: a tick
    that has submitted a full round may request another one.
    """
    study_record = graph.study
    if (
        study_record.paused
        or study_record.cancelling
        or study_record.settings.dry_run
        or ENVIRONMENT in seen.unreachable
        or seen.leaving
    ):
        return []
    if seen.allocation:
        return [*_start_inside(graph, seen, seen.allocation)]
    local, scheduled = count_slots(graph, seen.size.cpus, seen.now, seen.submitted)
    if scheduled.available is not None and not seen.scheduler_down and any(graph.ready(scheduled=True, limit=1)):
        scheduled = _in_turn(graph, seen, scheduled)
    new_events: list[NewEvent] = []
    most = study_record.open_steps
    jobs = 0 if seen.scheduler_down else min(scheduled.requests(most), ROUND_STEPS)
    elsewhere = seen.brief or (study_record.environment.job and not seen.job)
    if not elsewhere and any(graph.ready(scheduled=False, limit=1)):
        starting = _local_steps(graph, seen, local, most)
        new_events.extend((step.number, _request(study_record.study_id, step, seen.token_suffix)) for step in starting)
    ready = [*graph.ready(scheduled=True, limit=jobs)] if jobs else []
    if ready and not any(placement_of(step.token) for step in graph.in_flight()):
        new_events.extend(_request_jobs(graph, seen, ready, arrays))
    return new_events


def _local_steps(graph: Graph, seen: Observations, local: Slots, most: int) -> list[StepRecord]:
    """Return the local steps that start. If other studies run on this host, they share its slots with this one."""
    room, free = seen.size.with_slots(graph.study.settings.local_slots), local.requests(most)
    if free + seen.ahead <= 0:
        return []
    others, withheld = seen.others(), 0
    if others:
        from maestro_es.core.fair_share import local_share  # noqa: PLC0415 - most studies are alone

        share = local_share(graph, seen.size, others, seen.now)
        withheld, free = max(room.cpus - share, 0), min(free, max(share - local.in_use, 0))
    return local_steps(graph, room, free, seen.ahead, withheld)


def _in_turn(graph: Graph, seen: Observations, scheduled: Slots) -> Slots:
    """Let other studies go first that wait for room in the same queue and have fewer jobs there."""
    others = seen.others()
    if not others or scheduled.available is None:
        return scheduled
    from maestro_es.core.fair_share import jobs_in_turn  # noqa: PLC0415 - most studies are alone

    return scheduled._replace(available=jobs_in_turn(graph, scheduled.available, others, seen.now))


def _start_inside(graph: Graph, seen: Observations, allocation: Allocation) -> Iterator[NewEvent]:
    """Request the steps that fit in the allocation of the driver. While any of them runs, other ticks start no job."""
    study_id = graph.study.study_id
    for step, placement in [*inside(graph, allocation, seen.ahead)]:
        suffix = placed_suffix(seen.token_suffix, placement) if placement else seen.token_suffix
        yield step.number, _request(study_id, step, suffix)


def _request_jobs(
    graph: Graph, seen: Observations, ready: Iterable[StepRecord], arrays: Callable[[], Arrays | None]
) -> Iterator[NewEvent]:
    """Request the submission of these steps, up to the limit of one round.

    Many steps with equal keys are submitted together.
    """
    from maestro_es.core.arrays import one_round  # noqa: PLC0415 - most ticks submit nothing

    study_id, suffix = graph.study.study_id, seen.token_suffix
    for steps in one_round(
        graph.study, [step for step in ready if not (seen.later_round and step.rejections)], arrays
    ):
        for index, step in enumerate(steps):
            of_step = element_suffix(suffix, steps[0].number, index) if len(steps) > 1 else suffix
            yield step.number, _request(study_id, step, of_step)


def _request(study_id: str, step: StepRecord, suffix: str) -> e.SubmissionRequested:
    attempt = step.attempt + 1
    kind = SubmissionKind.RESUBMIT if attempt > 1 and step.kind is SubmissionKind.FIRST else step.kind
    return e.SubmissionRequested(attempt=attempt, token=make_token(study_id, step.number, attempt, suffix), kind=kind)
