"""Explains why a step in flight has not ended yet.

`maestro_es.core.grace` decides how long ticks look for a missing job.
"""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.adapters.local import job_of
from maestro_es.audit.attempts import last_request, unsupervised
from maestro_es.audit.why.context import Explanation, View, again, cancel_of
from maestro_es.core import events as e
from maestro_es.core.grace import JOB_GRACE_SECONDS
from maestro_es.core.model import UNWATCHED, State, StepRecord


def requested(view: View, step: StepRecord) -> Explanation:
    """Return why a recorded submission has no outcome yet."""
    events = view.events_of(step.number)
    before = again(view, events)
    after = f"; {before.message}" if before.message else ""
    since = step.requested_at or 0
    message = f"was requested at {view.show(since)} (attempt {step.attempt}), but no job is known yet"
    until = view.show(since + view.grace(step))
    no_answer = _no_answer(view, step)
    patience = no_answer.message or f"; ticks look for one until {until}, then they give up the attempt"
    cancelling = _cancelling(view, step)
    begin = last_request(events)
    unanswered = _latest(events[begin:], e.SubmissionUncertain)
    detail = f": {step.message}" if unanswered else ""
    return Explanation(
        message + detail + patience + cancelling.message + after,
        (*before.evidence, events[begin], *unanswered, *no_answer.evidence, *cancelling.evidence),
    )


def submitted(view: View, step: StepRecord) -> Explanation:
    """Return whether the job of a step is waiting or running, since when, and which problems are known."""
    events = view.events_of(step.number)
    begin = 1 + last_request(events)
    before = again(view, events[:begin])
    job = _latest(events[begin:], e.JobSubmitted)
    say = _runs if step.state is State.RUNNING else _waits
    where = say(view, step, events[begin:])
    numbered = f" (attempt {step.attempt})" if step.attempt > 1 else ""
    after = f"; {before.message}" if before.message else ""
    parts = (
        _state_unknown(view, step, events[begin:]),
        _unsupervised(view, step, events),
        _missed(view, step, events),
        _no_answer(view, step),
        _elsewhere(view, step),
        _cancelling(view, step),
    )
    return Explanation(
        where.message + numbered + after + "".join(part.message for part in parts),
        (*before.evidence, *job, *where.evidence, *(proof for part in parts for proof in part.evidence)),
    )


def _runs(view: View, step: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    started = _latest(events, e.JobStarted)
    since = next((r.event.at for r in started if isinstance(r.event, e.JobStarted)), step.started_at or 0)
    on = f" on {step.job_host}" if step.job_host else ""
    return Explanation(f"has been running since {view.show(since)} as job {step.job_id}{on}", started)


def _waits(view: View, step: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    [job] = _latest(events, e.JobSubmitted)
    since = view.show(job.recorded_at)
    if not step.scheduled:
        return Explanation(f"was started at {since} as job {step.job_id}, and has not reported yet that it is running")
    delayed = _latest(events, e.JobDelayed)
    adapter = adapter_of(view, step)
    because = f"; {adapter} gives this reason: {step.message}" if delayed else ""
    return Explanation(
        f"has been waiting in the queue of {adapter} since {since} as job {step.job_id}{because}", delayed
    )


def _state_unknown(view: View, step: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    unknown = _latest(events, e.JobStateUnknown)
    detail = "".join(
        f"; at {view.show(r.recorded_at)} {adapter_of(view, step)} reported the state {r.event.raw_state}, which "
        "maestro-es does not know, so it only watches the job"
        for r in unknown
        if isinstance(r.event, e.JobStateUnknown)
    )
    return Explanation(detail, unknown)


def _unsupervised(view: View, step: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    """Say that the scheduler no longer watches a job, how long ticks wait for it, and what to do."""
    proof = unsupervised(events)
    study, _, _ = view.location
    return Explanation(
        "".join(
            f"; {adapter_of(view, step)} no longer watches it ({r.event.reason}), but it may still be running"
            f"{f' on {r.event.host}' if r.event.host else ''}, so ticks wait for its report"
            f"{f' until {view.show(r.event.until)}' if r.event.until else ''}; if it is gone for good, "
            f"use 'maestro-es retry {study} {step.name} --lost'"
            for r in proof
            if isinstance(r.event, e.JobUnsupervised)
        ),
        proof,
    )


def _missed(view: View, step: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    if step.missed_at is None:
        return Explanation("")
    job = job_of(step.job_instance)
    until = step.missed_at + (view.grace(step) if step.scheduled else round(JOB_GRACE_SECONDS * 1_000_000))
    if job and not step.scheduled:
        message = (
            f"; its process has been missing since {view.show(step.missed_at)}, and the scheduler does not say "
            f"whether its job {job} has ended; ticks ask until {view.show(until)}, and then the attempt counts as lost"
        )
        return Explanation(message, _latest(events, e.JobNotFound))
    message = (
        f"; its job has been missing since {view.show(step.missed_at)}, and ticks look for it until {view.show(until)}"
    )
    return Explanation(message, _latest(events, e.JobNotFound))


def _elsewhere(view: View, step: StepRecord) -> Explanation:
    """Return the remedy for a local step that ticks can't see."""
    runs = True if step.scheduled else view.runs(step)
    study, host, ticker = view.location
    if runs is None:
        ours = step.job_host == host
        there = f"in the container of {host} where it was started" if ours else f"on {step.job_host}"
        if view.namesake(step):
            there = f"on the other host that is called {host}"
        job = job_of(step.job_instance)
        with_job = f"; when a tick learns that the job {job} has ended, the step will run again" if job else ""
        others = ticker not in {"", step.job_host}
        come = f", but the last tick ran on {ticker}: run 'maestro-es tick {study}' there" if others else ""
        lost = f"use 'maestro-es retry {study} {step.name} --lost'"
        return Explanation(
            f"{with_job}; only a tick {there} can see whether it is still running{come}; "
            f"if that host or container is gone for good, {lost}"
        )
    if not runs and ticker not in {"", host}:
        message = f"; its process has ended, but the last tick ran on {ticker}, which can't see that"
        return Explanation(f"{message}: run 'maestro-es tick {study}' here")
    return Explanation("")


def _no_answer(view: View, step: StepRecord) -> Explanation:
    """If the scheduler or the file system does not answer, return since when."""
    unreachable = view.graph.study.unreachable
    if step.scheduled and UNWATCHED in unreachable:
        return Explanation(f"; {unreachable[UNWATCHED]}", unreachable_since(view, UNWATCHED))
    for name in (adapter_of(view, step), "files"):
        if name in unreachable:
            failed = unreachable_since(view, name)
            since = "".join(f" since {view.show(recorded.recorded_at)}" for recorded in failed)
            what = "the file system" if name == "files" else name
            message = f"; {what} has not answered{since}, so its present state is unknown: {unreachable[name]}"
            return Explanation(message, failed)
    return Explanation("")


def unreachable_since(view: View, name: str) -> tuple[e.Recorded, ...]:
    """Return the event that recorded that an adapter does not answer, if any."""
    return view.last(e.PollFailed, lambda event: isinstance(event, e.PollFailed) and event.adapter == name)


def _cancelling(view: View, step: StepRecord) -> Explanation:
    if not (step.cancelling or view.graph.study.cancelling):
        return Explanation("")
    request = cancel_of(view, step.number)
    return Explanation(
        f"; it is being cancelled{view.attribution(request)}, but no tick has seen its end yet", request
    )


def adapter_of(view: View, step: StepRecord) -> str:
    """Return the name of the adapter that runs a step."""
    return str(view.graph.study.adapter.get("type", "local")) if step.scheduled else "local"


def _latest(events: Sequence[e.Recorded], kind: type[e.Event]) -> tuple[e.Recorded, ...]:
    """Return the newest event of a type, if there is one."""
    matches = [recorded for recorded in events if isinstance(recorded.event, kind)]
    return tuple(matches[-1:])
