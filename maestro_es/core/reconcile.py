"""The rules about attempts in flight. They turn verdicts into events, and choose the jobs that must be ended.

Other modules decide the rest. `maestro_es.core.verdict` decides what the observations of one attempt prove.
`maestro_es.core.resubmission_limits` decides how many times a step is submitted again. `maestro_es.core.grace` decides
how long ticks look for a missing attempt. This module only returns events; `maestro_es.core.reducer` applies them to
the state.
"""

from __future__ import annotations

from maestro_es.core import events as e
from maestro_es.core import resubmission_limits
from maestro_es.core.attempt_token import is_imported, placement_of, without_start
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import Cause, JobState, Micros, Phase, State, StepRecord
from maestro_es.core.observations import AttemptObservation, Observations, ReportKind
from maestro_es.core.verdict import Conclusion, Verdict, judge

#: The largest number of reasons for a delay that the log records for one job.
_DELAYS = 8

#: If a step is stopped in a job and this does not count, the log remembers the job. It remembers this many jobs of a
#: step, because drivers in several jobs may take turns to start the step.
_JOBS = 8


def reconcile_attempts(graph: Graph, seen: Observations) -> list[NewEvent]:
    """Return the events that follow from the observations of the attempts in flight."""
    new_events: list[NewEvent] = []
    for step in graph.in_flight():
        observed = seen.attempts.get(step.token)
        if observed is not None:
            new_events.extend((step.number, event) for event in _reconcile(graph, seen, step, observed))
    return new_events


def _reconcile(graph: Graph, seen: Observations, step: StepRecord, observed: AttemptObservation) -> list[e.AnyEvent]:
    verdict = judge(observed)
    if verdict.conclusion is Conclusion.ABANDONED:
        return _abandon(graph, seen, step, observed, verdict)
    events: list[e.AnyEvent] = []
    if step.phase is Phase.REQUESTED:
        if not observed.has_job:
            return []
        events.append(_adopt(step, observed, verdict))
    events += _start(seen, step, observed, verdict)
    if step.scheduled and step.phase is Phase.REQUESTED and observed.is_unexplained:
        return events  # the next tick queries the accounting, because by then the log has the job
    return events + _conclude(graph, seen, step, verdict) or _watch(step, observed, verdict)


def _watch(step: StepRecord, observed: AttemptObservation, verdict: Verdict) -> list[e.AnyEvent]:
    """Record news of a job without a verdict: it is missing, it has reappeared, or its state has a new explanation."""
    missing = observed.queue is JobState.GONE
    if step.phase is not Phase.SUBMITTED:
        return []
    if missing is (step.missed_at is not None):
        return _delay(step, observed) or _unknown(step, observed) or _unsupervised(step, observed)
    if missing:
        return [e.JobNotFound(token=step.token, evidence=verdict.evidence)]
    return [e.JobReappeared(token=step.token)] if isinstance(observed.queue, JobState) else []


def _delay(step: StepRecord, observed: AttemptObservation) -> list[e.AnyEvent]:
    """Record why a job is pending. Each new reason is recorded, up to a limit."""
    waits = observed.queue is JobState.PENDING and step.state is not State.RUNNING
    if not waits or not observed.delay or observed.delay == step.message or step.delays >= _DELAYS:
        return []
    return [e.JobDelayed(token=step.token, reason=observed.delay)]


def _unknown(step: StepRecord, observed: AttemptObservation) -> list[e.AnyEvent]:
    """Record a job state that maestro-es does not know. Each new state is recorded, up to a limit."""
    raw_state = observed.raw_state
    if JobState.UNKNOWN not in (observed.queue, observed.accounting) or not raw_state:
        return []
    if raw_state == step.message or step.delays >= _DELAYS:
        return []
    return [e.JobStateUnknown(token=step.token, raw_state=raw_state)]


def _unsupervised(step: StepRecord, observed: AttemptObservation) -> list[e.AnyEvent]:
    """Record that the scheduler no longer watches a job whose processes may still be running.

    Each reason is recorded once.
    """
    reason = observed.raw_state
    if observed.queue is not JobState.UNSUPERVISED or not observed.may_run or reason == step.message:
        return []
    host = observed.claim.host
    return [e.JobUnsupervised(token=step.token, reason=reason, host=host, until=observed.may_run_until)]


def _start(seen: Observations, step: StepRecord, observed: AttemptObservation, verdict: Verdict) -> list[e.AnyEvent]:
    """Record that a job has started, if it is running or has ended since the last tick.

    Only the claim or a report of the runner proves a start, because a job that the queue lists as running may never
    reach its runner. Jobs that Maestro submitted have neither claim nor report, so for them the queue decides.
    """
    begun = observed.has_started or is_imported(step.token)
    over = verdict.conclusion is Conclusion.RUNNING or observed.end
    if step.state is State.RUNNING or not (begun and over):
        return []
    report = observed.report(ReportKind.STARTED) or observed.end
    at = report.at if report else seen.now
    return [e.JobStarted(token=step.token, at=at, evidence=verdict.evidence)]


def _adopt(step: StepRecord, observed: AttemptObservation, verdict: Verdict) -> e.JobSubmitted:
    source = observed if observed.job_id else observed.claim
    return e.JobSubmitted(
        token=step.token,
        job_id=source.job_id,
        adopted=True,
        host=source.host,
        instance=source.instance,
        evidence=verdict.evidence,
    )


def _abandon(
    graph: Graph, seen: Observations, step: StepRecord, observed: AttemptObservation, verdict: Verdict
) -> list[e.AnyEvent]:
    """Record that an attempt can never start. A step does not fail because agents in its job could not start it."""
    events: list[e.AnyEvent] = [e.AttemptAbandoned(token=step.token, evidence=verdict.evidence)]
    is_unclaimed = observed.report(ReportKind.UNCLAIMED) is not None
    message = resubmission_limits.after_abandoning(graph.study.settings, step, is_unclaimed=is_unclaimed)
    if message and (is_unclaimed or not placement_of(step.token)):
        events.append(e.StepFailed(at=seen.now, cause=Cause.LOST, message=message, evidence=verdict.evidence))
    return events


def _conclude(graph: Graph, seen: Observations, step: StepRecord, verdict: Verdict) -> list[e.AnyEvent]:
    """Return the events that follow from the verdict on a known job."""
    at, noticed = _end_of(seen, step, verdict)
    cancelling = _cancelling(graph, step)
    match verdict.conclusion:
        case Conclusion.WAIT | Conclusion.RUNNING | Conclusion.CLAIM | Conclusion.END_REMAINS | Conclusion.ABANDONED:
            return []
        case Conclusion.FINISHED:
            return [
                e.StepFinished(
                    token=step.token, at=at, evidence=verdict.evidence, noticed=noticed, usage=verdict.usage
                )
            ]
        case Conclusion.TIMED_OUT:
            return _time_out(graph, step, (at, noticed), verdict)
    if cancelling or verdict.conclusion is Conclusion.CANCELLED:
        message = "cancelled" if cancelling else "cancelled outside of maestro-es"
        return [
            e.StepCancelled(
                token=step.token,
                at=at,
                message=message,
                evidence=verdict.evidence,
                noticed=noticed,
                usage=verdict.usage,
            )
        ]
    if verdict.conclusion in _HWFAILURE:
        return _fail_hardware(graph, seen, step, (at, noticed), verdict)
    return [_failed(step, (at, noticed), verdict)]


def _end_of(seen: Observations, step: StepRecord, verdict: Verdict) -> tuple[Micros, bool]:
    """Return when an attempt ended, and whether this is only the latest possible time.

    The latest possible time is now, or the time of the boot if a reboot ended a local step. This time is used if
    neither the runner nor the scheduler reports one.
    """
    if verdict.at is not None:
        return verdict.at, False
    began = step.started_at or step.requested_at or 0
    boot = step.job_instance.partition("/")[0]
    lost = not step.scheduled and step.job_host == seen.host and boot not in ("", seen.boot_id)
    return (seen.booted_at if lost and began <= seen.booted_at <= seen.now else seen.now), True


#: Ends that are not a fault of the step, and their names in the log. Each of them gives the step the state HWFAILURE,
#: unless the step is being cancelled. (`retry --lost` also gives a step this state; see `rerun.give_up`.)
_HWFAILURE = {
    Conclusion.NODE_FAILED: "the node failed or the job was preempted",
    Conclusion.STOPPED: "ended by a signal from outside",
    Conclusion.LOST: "disappeared after its start: its process was killed or its host went down",
    Conclusion.PUT_BACK: "its job has ended",
}

#: Why an end does not count towards the limit: the step ended with its job, the step was stopped together with its
#: driver, or the step may have got the signal by which the scheduler ends the job.
_UNCOUNTED = "{}; this does not count towards the limit"
_ENDED_WITH_JOB = "{}, and the step ended with it"
_STOPPED_WITH_DRIVER = "it was stopped because its driver in the job {} had to stop"
_STOPPED_IN_JOB = "a signal from outside stopped it in the job {}, which may be about to end"


def _failed(step: StepRecord, end: tuple[Micros, bool], verdict: Verdict) -> e.StepFailed:
    if verdict.conclusion is Conclusion.OUT_OF_MEMORY:
        cause, message = Cause.OUT_OF_MEMORY, "used more memory than allowed"
    elif verdict.exit_code is None:
        cause, message = Cause.SCHEDULER, verdict.raw_state or "the scheduler reports a failure"
    else:
        cause, message = Cause.EXIT_CODE, f"exit code {verdict.exit_code}"
    return e.StepFailed(
        token=step.token,
        at=end[0],
        cause=cause,
        message=message,
        exit_code=verdict.exit_code,
        evidence=verdict.evidence,
        noticed=end[1],
        usage=verdict.usage,
    )


def _time_out(graph: Graph, step: StepRecord, end: tuple[Micros, bool], verdict: Verdict) -> list[e.AnyEvent]:
    """Restart a timed-out step with its restart script, if the limit allows it (0: no limit).

    Otherwise end the step.
    """
    final = ""
    if _cancelling(graph, step):
        final = "cancelled"
    elif not graph.template(step.template).run.get("restart"):
        final = "it has no restart script"
    else:
        final = resubmission_limits.after_timeout(step)
    at, noticed = end
    timed_out = e.StepTimedOut(
        token=step.token, at=at, final=final, evidence=verdict.evidence, noticed=noticed, usage=verdict.usage
    )
    if final:
        return [timed_out]
    return [timed_out, e.StepRestarted(number=step.restarts + 1, limit=step.restart_limit)]


def _fail_hardware(
    graph: Graph, seen: Observations, step: StepRecord, end: tuple[Micros, bool], verdict: Verdict
) -> list[e.AnyEvent]:
    """Record a hardware failure. If the limit allows it, the step is then resubmitted.

    Some ends in a job do not count towards the limit; see `_uncounted`.
    """
    at, noticed = end
    settings = graph.study.settings
    job = _job_around(step)
    is_told = verdict.conclusion is Conclusion.STOPPED and (job or not step.scheduled)  # no scheduler knows more
    reason = (not is_told and verdict.raw_state) or _HWFAILURE[verdict.conclusion]
    uncounted = _uncounted(seen, step, verdict.conclusion, job)
    if uncounted:
        shown = without_start(job or seen.job)
        reason = _UNCOUNTED.format(uncounted.format(reason if uncounted == _ENDED_WITH_JOB else shown))
    failure = e.HardwareFailed(
        token=step.token,
        at=at,
        number=step.hardware_failures + (not uncounted),
        limit=settings.hardware_limit,
        reason=reason,
        evidence=verdict.evidence,
        noticed=noticed,
        usage=verdict.usage,
        stopped_in=" ".join([*step.stopped_in.split(), job][-_JOBS:]) if uncounted == _STOPPED_IN_JOB else "",
    )
    message = "" if uncounted else resubmission_limits.after_hardware_failure(settings, step, reason)
    if message:
        cause = Cause.LOST if verdict.conclusion is Conclusion.LOST else Cause.HARDWARE
        evidence = verdict.evidence
        return [failure, e.StepFailed(at=at, cause=cause, message=message, evidence=evidence, noticed=noticed)]
    return [failure]


def _job_around(step: StepRecord) -> str:
    """Return the job in which a step runs, with the number of the job's start (empty: none, or a job of its own)."""
    placement = placement_of(step.token)
    return placement.job if placement else step.job_instance.partition("@")[2]


def _uncounted(seen: Observations, step: StepRecord, conclusion: Conclusion, job: str) -> str:
    """Return the form of the reason if the end of a step in a `job` does not count towards its limit (empty: it does).

    The scheduler may signal all processes of a job before the driver knows that the job ends. So a signal from outside
    does not count. But a step that stops itself would then be repeated for ever. So only one such end of a step in
    each job does not count, unless the driver has to stop too.
    """
    if conclusion is Conclusion.PUT_BACK:
        return _ENDED_WITH_JOB
    is_stopped = conclusion is Conclusion.STOPPED and (job or not step.scheduled)
    if seen.leaving and (is_stopped or (conclusion is Conclusion.LOST and not step.scheduled)):
        return _STOPPED_WITH_DRIVER
    return _STOPPED_IN_JOB if is_stopped and job not in ("", *step.stopped_in.split()) else ""


#: The state that each conclusion about an attempt gives to its step.
_STATES = {
    Conclusion.RUNNING: State.RUNNING,
    Conclusion.FINISHED: State.FINISHED,
    Conclusion.FAILED: State.FAILED,
    Conclusion.OUT_OF_MEMORY: State.FAILED,
    Conclusion.TIMED_OUT: State.TIMEDOUT,
    Conclusion.CANCELLED: State.CANCELLED,
    **dict.fromkeys(_HWFAILURE, State.HWFAILURE),
}


def state_after(step: StepRecord, conclusion: Conclusion) -> State:
    """Return the state of a step after a conclusion about its attempt."""
    return _STATES.get(conclusion, step.state)


# -- jobs that must be ended ------------------------------------------------------------------------------------------


def jobs_to_end(graph: Graph, seen: Observations) -> list[StepRecord]:
    """Return the steps whose jobs must be ended. These steps are cancelled, or their runners left processes behind."""
    return [
        step
        for step in graph.in_flight()
        if step.phase is Phase.SUBMITTED
        and (_cancelling(graph, step) or _conclusion(seen, step) is Conclusion.END_REMAINS)
    ]


def _conclusion(seen: Observations, step: StepRecord) -> Conclusion:
    observed = seen.attempts.get(step.token)
    return judge(observed).conclusion if observed else Conclusion.WAIT


def _cancelling(graph: Graph, step: StepRecord) -> bool:
    return graph.study.cancelling or step.cancelling
