"""The rules of a tick: state and observations in, events out.

`decide` runs the rules one after the other; `record` folds what a rule returns into the graph before the next rule
asks it. Nothing here touches the world: the tick appends the events, then submits what they request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from maestro_es.core import events as e
from maestro_es.core.evidence import Conclusion, ReportKind, Sighting, Verdict, judge
from maestro_es.core.graph import Graph
from maestro_es.core.model import (
    FAILED_STATES,
    IMPORTED,
    Cause,
    JobState,
    Micros,
    Phase,
    State,
    StepRecord,
    StudyStatus,
    SubmissionKind,
)
from maestro_es.core.room import rooms

#: How many jobs are requested in one tick while the outcome of a submission is not known: the scheduler may be in
#: trouble, and what it is not called for any more must be taken back.
_CAREFUL = 16

#: How many reasons to wait are noted of one job.
_DELAYS = 8

#: An event and the number of the step that it is about.
Draft = tuple[int | None, e.AnyEvent]


@dataclass(frozen=True)
class Observations:
    """What one tick saw. `sightings` is by token; `answered` names the adapters that were asked and answered.

    `silent`: the scheduler does not answer, so nothing is submitted to it.

    `salt` makes this tick's tokens its own; `cores` is what the host has. A driver that submits local steps the moment
    others end asks for `ahead` requests more than there are slots.
    """

    now: Micros
    host: str
    boot_id: str
    salt: str
    cores: int
    ahead: int = 0
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    strays: tuple[tuple[str, str], ...] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    answered: frozenset[str] = frozenset()


def decide(graph: Graph, seen: Observations, record: Callable[[list[Draft]], None]) -> None:
    """Run the rules of one tick. `record` takes events in order and folds them into the graph."""
    fallen: list[int] = []
    for rule in (note_changes, settle_attempts, end_cancelled):
        drafts = rule(graph, seen)
        fallen += ended_badly(drafts)
        record(drafts)
    record(fail_descendants(graph, seen.now, fallen))
    record(complete(graph))
    record(start_ready(graph, seen))


def jobs_to_end(graph: Graph, seen: Observations) -> list[StepRecord]:
    """Return the steps whose job must be ended: cancelled ones, and those whose runner left something behind."""
    return [
        record
        for record in graph.in_flight()
        if record.phase is Phase.SUBMITTED
        and (_cancelling(graph, record) or _conclusion(seen, record) is Conclusion.END_REMAINS)
    ]


def submissions(drafts: Iterable[Draft]) -> list[int]:
    """Return the steps for which a submission was requested."""
    return [step for step, event in drafts if isinstance(event, e.SubmissionRequested) and step]


def _conclusion(seen: Observations, record: StepRecord) -> Conclusion:
    sighting = seen.sightings.get(record.token)
    return judge(sighting).conclusion if sighting else Conclusion.WAIT


def _cancelling(graph: Graph, record: StepRecord) -> bool:
    return graph.study.cancelling or record.cancelling


# -- what happened outside ------------------------------------------------------------------------------------------


def note_changes(graph: Graph, seen: Observations) -> list[Draft]:
    """Record a reboot of this host, schedulers that fell silent or answer again, and reports that nobody waits for."""
    study = graph.study
    drafts: list[Draft] = []
    known = study.unseen_boot or study.boot_id
    if study.host == seen.host and known != seen.boot_id:
        drafts.append((None, e.RebootDetected(host=seen.host, before=known, after=seen.boot_id)))
    for adapter, message in seen.unreachable.items():
        if adapter not in study.unreachable:
            drafts.append((None, e.PollFailed(adapter=adapter, message=message)))
    drafts.extend((None, e.PollRecovered(adapter=name)) for name in study.unreachable if name in seen.answered)
    drafts.extend((None, e.ReportIgnored(token=token, report=report)) for token, report in seen.strays)
    return drafts


# -- attempts -------------------------------------------------------------------------------------------------------


def settle_attempts(graph: Graph, seen: Observations) -> list[Draft]:
    """Conclude what can be concluded about the attempts in flight."""
    drafts: list[Draft] = []
    for record in graph.in_flight():
        sighting = seen.sightings.get(record.token)
        if sighting is not None:
            drafts.extend((record.number, event) for event in _settle(graph, seen, record, sighting))
    return drafts


def _settle(graph: Graph, seen: Observations, record: StepRecord, sighting: Sighting) -> list[e.AnyEvent]:
    verdict = judge(sighting)
    if verdict.conclusion is Conclusion.ABANDONED:
        return _abandon(graph, seen, record, verdict)
    events: list[e.AnyEvent] = []
    if record.phase is Phase.REQUESTED:
        if not sighting.has_job:
            return []
        events.append(_adopt(record, sighting, verdict))
    events += _start(seen, record, sighting, verdict)
    return events + _conclude(graph, seen, record, verdict) or _watch(record, sighting, verdict)


def _watch(record: StepRecord, sighting: Sighting, verdict: Verdict) -> list[e.AnyEvent]:
    """Note when a job that nothing can be concluded about is missed for the first time, and when it is back."""
    missing = sighting.queue is JobState.GONE
    if record.phase is not Phase.SUBMITTED:
        return []
    if missing is (record.missed_at is not None):
        return _delay(record, sighting)
    if missing:
        return [e.JobMissed(token=record.token, evidence=verdict.evidence)]
    return [e.JobFound(token=record.token)] if isinstance(sighting.queue, JobState) else []


def _delay(record: StepRecord, sighting: Sighting) -> list[e.AnyEvent]:
    """Note what holds a waiting job up when it is first said, and when it is something else; not for ever."""
    waits = sighting.queue is JobState.PENDING and record.state is not State.RUNNING
    if not waits or not sighting.delay or sighting.delay == record.message or record.delays >= _DELAYS:
        return []
    return [e.JobDelayed(token=record.token, reason=sighting.delay)]


def _start(seen: Observations, record: StepRecord, sighting: Sighting, verdict: Verdict) -> list[e.AnyEvent]:
    """Note that a job has started, when it is seen to run, and also when it has ended since the last tick.

    What counts is the claim or the runner's own report: what the queue calls running may never come to the runner.
    Jobs that Maestro submitted have neither.
    """
    report = sighting.report(ReportKind.STARTED)
    begun = sighting.has_started or record.token.endswith(IMPORTED)
    runs = begun and verdict.conclusion is Conclusion.RUNNING
    if record.state is State.RUNNING or not (runs or (report and sighting.end)):
        return []
    at = report.at if report else seen.now
    return [e.JobStarted(token=record.token, at=at, evidence=verdict.evidence)]


def _adopt(record: StepRecord, sighting: Sighting, verdict: Verdict) -> e.JobSubmitted:
    found = sighting if sighting.job_id else sighting.claim
    return e.JobSubmitted(
        token=record.token,
        job_id=found.job_id,
        adopted=True,
        host=found.host,
        instance=found.instance,
        evidence=verdict.evidence,
    )


def _abandon(graph: Graph, seen: Observations, record: StepRecord, verdict: Verdict) -> list[e.AnyEvent]:
    limit = graph.study.settings.abandon_limit
    events: list[e.AnyEvent] = [e.AttemptAbandoned(token=record.token, evidence=verdict.evidence)]
    if limit and record.abandoned >= limit:
        message = f"{record.abandoned + 1} submissions left no trace of a job"
        events.append(e.StepFailed(at=seen.now, cause=Cause.LOST, message=message, evidence=verdict.evidence))
    return events


def _conclude(graph: Graph, seen: Observations, record: StepRecord, verdict: Verdict) -> list[e.AnyEvent]:
    """Turn a verdict on a known job into events."""
    at = verdict.at or seen.now
    cancelling = _cancelling(graph, record)
    match verdict.conclusion:
        case Conclusion.WAIT | Conclusion.RUNNING | Conclusion.CLAIM | Conclusion.END_REMAINS | Conclusion.ABANDONED:
            return []
        case Conclusion.FINISHED:
            return [e.StepFinished(token=record.token, at=at, evidence=verdict.evidence)]
        case Conclusion.TIMED_OUT:
            return _time_out(graph, record, at, verdict)
    if cancelling or verdict.conclusion is Conclusion.CANCELLED:
        message = "cancelled" if cancelling else "cancelled outside of maestro-es"
        return [e.StepCancelled(token=record.token, at=at, message=message, evidence=verdict.evidence)]
    if verdict.conclusion in _HARDWARE:
        return _fail_hardware(graph, record, at, verdict)
    return [_failed(record, at, verdict)]


#: Ends that are no fault of the step, and their names in the log.
_HARDWARE = {
    Conclusion.HARDWARE_FAILED: "the node failed or the job was preempted",
    Conclusion.STOPPED: "terminated from outside",
    Conclusion.LOST: "started, and gone without a word: its process was killed or its host went down",
}


def _failed(record: StepRecord, at: Micros, verdict: Verdict) -> e.StepFailed:
    if verdict.conclusion is Conclusion.OUT_OF_MEMORY:
        cause, message = Cause.OUT_OF_MEMORY, "took more memory than it may"
    elif verdict.exit_code is None:
        cause, message = Cause.SCHEDULER, verdict.says or "the scheduler says that it failed"
    else:
        cause, message = Cause.EXIT_CODE, f"exit code {verdict.exit_code}"
    return e.StepFailed(
        token=record.token,
        at=at,
        cause=cause,
        message=message,
        exit_code=verdict.exit_code,
        evidence=verdict.evidence,
    )


def _time_out(graph: Graph, record: StepRecord, at: Micros, verdict: Verdict) -> list[e.AnyEvent]:
    """Let a timed-out step go on with its restart script within the limit (0: none); else that is its end."""
    final = ""
    if _cancelling(graph, record):
        final = "cancelled"
    elif not graph.template(record.template).run.get("restart"):
        final = "it has no restart script"
    elif record.restart_limit and record.restarts >= record.restart_limit:
        final = f"restart limit reached: {record.restarts} of {record.restart_limit}"
    timed_out = e.StepTimedOut(token=record.token, at=at, final=final, evidence=verdict.evidence)
    if final:
        return [timed_out]
    return [timed_out, e.StepRestarted(number=record.restarts + 1, limit=record.restart_limit)]


def _fail_hardware(graph: Graph, record: StepRecord, at: Micros, verdict: Verdict) -> list[e.AnyEvent]:
    """Make it good with another submission, within the limit."""
    limit = graph.study.settings.hardware_limit
    reason = verdict.says or _HARDWARE[verdict.conclusion]
    number = record.hardware_failures + 1
    failure = e.HardwareFailed(
        token=record.token, at=at, number=number, limit=limit, reason=reason, evidence=verdict.evidence
    )
    if limit and number > limit:
        cause = Cause.LOST if verdict.conclusion is Conclusion.LOST else Cause.HARDWARE
        message = f"{reason}; resubmitted {limit} times, which is the limit"
        return [failure, e.StepFailed(at=at, cause=cause, message=message, evidence=verdict.evidence)]
    return [failure]


# -- steps that will not run ----------------------------------------------------------------------------------------


def end_cancelled(graph: Graph, seen: Observations) -> list[Draft]:
    """Cancel the steps that a person wants to end and that have no job; jobs end by the scheduler's word."""
    wanted = graph.waiting() if graph.study.cancelling else graph.cancelling()
    return [
        (step.number, e.StepCancelled(at=seen.now, message="cancelled before it ran"))
        for step in wanted
        if step.phase in (Phase.BLOCKED, Phase.READY)
    ]


def ended_badly(drafts: Iterable[Draft]) -> list[int]:
    """Return the steps that these events end without success, so that what waits for them can't run."""
    return [step for step, event in drafts if step and _ends_badly(event)]


def waiting_in_vain(graph: Graph, drafts: Iterable[Draft]) -> list[int]:
    """Return the steps that have ended badly before and that these events make others wait for."""
    parents = {parent for _, event in drafts if isinstance(event, e.StepAdded) for parent in event.parents}
    parents |= {event.parent for _, event in drafts if isinstance(event, e.ConnectionAdded)}
    return [number for number in sorted(parents) if graph.step(number).state in (*FAILED_STATES, State.CANCELLED)]


def _ends_badly(event: e.AnyEvent) -> bool:
    if isinstance(event, e.StepTimedOut):
        return bool(event.final)
    if isinstance(event, (e.StepImported, e.StepRecovered)):
        return event.state is State.CANCELLED or event.state in FAILED_STATES
    return isinstance(event, (e.StepFailed, e.StepCancelled))


def fail_descendants(graph: Graph, now: Micros, fallen: Iterable[int]) -> list[Draft]:
    """Fail or cancel all that waits for a step that has ended badly; each names the step that it began with."""
    drafts: list[Draft] = []
    reached: set[int] = set()
    templates: set[str] = set()
    for origin in map(graph.step, fallen):
        border = [origin]
        while border:
            for child in _blocked_by(graph, border.pop(), reached, templates):
                drafts.append((child.number, _upstream(now, origin)))
                border.append(child)
    return drafts


def _blocked_by(graph: Graph, record: StepRecord, reached: set[int], templates: set[str]) -> list[StepRecord]:
    """Return the blocked steps that wait for this one and were not reached before."""
    numbers = graph.children(record.number)
    if record.template not in templates:
        templates.add(record.template)
        numbers = numbers + graph.funnel(record.template)
    fresh = dict.fromkeys(number for number in numbers if number not in reached)
    reached.update(fresh)
    return [child for child in map(graph.step, fresh) if child.phase is Phase.BLOCKED]


def _upstream(now: Micros, origin: StepRecord) -> e.AnyEvent:
    message = f"{origin.name} ended {origin.state.name}"
    if origin.state is State.CANCELLED:
        return e.StepCancelled(at=now, message=message, blocker=origin.number)
    return e.StepFailed(at=now, cause=Cause.UPSTREAM, message=message, blocker=origin.number)


def complete(graph: Graph) -> list[Draft]:
    """Complete the study once every step is done."""
    study = graph.study
    if study.open_steps or not study.steps or study.status is not StudyStatus.RUNNING:
        return []
    return [(None, e.StudyCompleted(status=final_status(study.states)))]


def final_status(states: Mapping[str, int]) -> StudyStatus:
    """Return the status of a study all of whose steps are done, from its counts of states."""
    if states.get(State.CANCELLED.name):
        return StudyStatus.CANCELLED
    if any(states.get(state.name) for state in FAILED_STATES):
        return StudyStatus.FAILURE
    return StudyStatus.FINISHED


# -- steps that may run ---------------------------------------------------------------------------------------------


def start_ready(graph: Graph, seen: Observations) -> list[Draft]:
    """Request a submission for ready steps, as many as the throttle and the host's slots allow."""
    study = graph.study
    if study.paused or study.cancelling or study.settings.dry_run:
        return []
    local, scheduled = rooms(graph, seen.cores)
    drafts: list[Draft] = []
    most = study.open_steps
    jobs = 0 if seen.silent else min(scheduled.free(most), _CAREFUL if _in_doubt(graph) else most)
    for kind, limit in ((False, local.free(most) + seen.ahead), (True, jobs)):
        ready = graph.ready(scheduled=kind, limit=limit) if limit else ()
        drafts.extend((record.number, _request(study.study_id, seen, record)) for record in ready)
    return drafts


def _in_doubt(graph: Graph) -> bool:
    """Whether nobody knows of some job whether the scheduler has it."""
    return any(record.scheduled and record.phase is Phase.REQUESTED for record in graph.in_flight())


def _request(study_id: str, seen: Observations, record: StepRecord) -> e.SubmissionRequested:
    attempt = record.attempt + 1
    kind = SubmissionKind.RESUBMIT if attempt > 1 and record.kind is SubmissionKind.FIRST else record.kind
    token = f"{study_id[:8]}-{record.number}-{attempt}-{seen.salt}"
    return e.SubmissionRequested(attempt=attempt, token=token, kind=kind)
