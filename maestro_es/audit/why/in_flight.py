"""Why a step that was submitted has not ended yet."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_es.audit.attempts import last_request
from maestro_es.audit.why.context import Explanation, View, again, cancel_of
from maestro_es.core import events as e
from maestro_es.core.model import UNWATCHED, State, StepRecord


def requested(view: View, record: StepRecord) -> Explanation:
    """Return why a submission that is on record has no outcome yet."""
    events = view.events_of(record.number)
    before = again(view, events)
    after = f"; {before.message}" if before.message else ""
    since = record.requested_at or 0
    words = f"was requested at {view.show(since)} (attempt {record.attempt}), but no job is known yet"
    until = view.show(since + view.grace(record))
    no_answer = _no_answer(view, record)
    patience = no_answer.message or f"; ticks look for one until {until}, then they give up the attempt"
    cancelling = _cancelling(view, record)
    begin = last_request(events)
    unanswered = _latest(events[begin:], e.SubmissionUncertain)
    said = f": {record.message}" if unanswered else ""
    return Explanation(
        words + said + patience + cancelling.message + after,
        (*before.evidence, events[begin], *unanswered, *no_answer.evidence, *cancelling.evidence),
    )


def submitted(view: View, record: StepRecord) -> Explanation:
    """Return where the job of a step is, and since when."""
    events = view.events_of(record.number)
    begin = 1 + last_request(events)
    before = again(view, events[:begin])
    job = _latest(events[begin:], e.JobSubmitted)
    say = _runs if record.state is State.RUNNING else _waits
    where = say(view, record, events[begin:])
    numbered = f" (attempt {record.attempt})" if record.attempt > 1 else ""
    after = f"; {before.message}" if before.message else ""
    parts = (
        _state_unknown(view, record, events[begin:]),
        _missed(view, record, events),
        _no_answer(view, record),
        _elsewhere(view, record),
        _cancelling(view, record),
    )
    return Explanation(
        where.message + numbered + after + "".join(part.message for part in parts),
        (*before.evidence, *job, *where.evidence, *(proof for part in parts for proof in part.evidence)),
    )


def _runs(view: View, record: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    started = _latest(events, e.JobStarted)
    since = next((r.event.at for r in started if isinstance(r.event, e.JobStarted)), record.started_at or 0)
    on = f" on {record.job_host}" if record.job_host else ""
    return Explanation(f"has been running since {view.show(since)} as job {record.job_id}{on}", started)


def _waits(view: View, record: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    [job] = _latest(events, e.JobSubmitted)
    since = view.show(job.recorded_at)
    if not record.scheduled:
        return Explanation(
            f"was started at {since} as job {record.job_id}, and has not reported yet that it is running"
        )
    delayed = _latest(events, e.JobDelayed)
    adapter = adapter_of(view, record)
    because = f"; {adapter} gives this reason: {record.message}" if delayed else ""
    return Explanation(
        f"has been waiting in the queue of {adapter} since {since} as job {record.job_id}{because}", delayed
    )


def _state_unknown(view: View, record: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    found = _latest(events, e.JobStateUnknown)
    said = "".join(
        f"; at {view.show(r.recorded_at)} {adapter_of(view, record)} reported the state {r.event.raw_state}, which "
        "maestro-es does not know, so it only watches the job"
        for r in found
        if isinstance(r.event, e.JobStateUnknown)
    )
    return Explanation(said, found)


def _missed(view: View, record: StepRecord, events: Sequence[e.Recorded]) -> Explanation:
    if record.missed_at is None:
        return Explanation("")
    until = record.missed_at + view.grace(record)
    words = (
        f"; its job has been missing since {view.show(record.missed_at)}, and ticks look for it until "
        f"{view.show(until)}"
    )
    return Explanation(words, _latest(events, e.JobNotFound))


def _elsewhere(view: View, record: StepRecord) -> Explanation:
    """Return what to do about a local step of which ticks do not see how it stands."""
    runs = True if record.scheduled else view.runs(record)
    study, host, ticker = view.place
    if runs is None:
        here = record.job_host == host
        there = f"in the container of {host} where it was started" if here else f"on {record.job_host}"
        if view.namesake(record):
            there = f"on the other host that is called {host}"
        others = ticker not in {"", record.job_host}
        come = f", but the last tick ran on {ticker}: run 'maestro-es tick {study}' there" if others else ""
        lost = f"use 'maestro-es retry {study} {record.name} --lost'"
        return Explanation(
            f"; only a tick {there} can see whether it is still running{come}; "
            f"if that host or container is gone for good, {lost}"
        )
    if not runs and ticker not in {"", host}:
        words = f"; its process has ended, but the last tick ran on {ticker}, which can't see that"
        return Explanation(f"{words}: run 'maestro-es tick {study}' here")
    return Explanation("")


def _no_answer(view: View, record: StepRecord) -> Explanation:
    """Return since when nothing is known, if that is so."""
    unreachable = view.graph.study.unreachable
    if record.scheduled and UNWATCHED in unreachable:
        return Explanation(f"; {unreachable[UNWATCHED]}", unreachable_since(view, UNWATCHED))
    for name in (adapter_of(view, record), "files"):
        if name in unreachable:
            failed = unreachable_since(view, name)
            since = "".join(f" since {view.show(recorded.recorded_at)}" for recorded in failed)
            what = "the file system" if name == "files" else name
            words = f"; {what} has not answered{since}, so its present state is unknown: {unreachable[name]}"
            return Explanation(words, failed)
    return Explanation("")


def unreachable_since(view: View, name: str) -> tuple[e.Recorded, ...]:
    """Return when an adapter stopped answering."""
    return view.last(e.PollFailed, lambda event: isinstance(event, e.PollFailed) and event.adapter == name)


def _cancelling(view: View, record: StepRecord) -> Explanation:
    if not (record.cancelling or view.graph.study.cancelling):
        return Explanation("")
    request = cancel_of(view, record.number)
    return Explanation(
        f"; it is being cancelled{view.attribution(request)}, but no tick has seen its end yet", request
    )


def adapter_of(view: View, record: StepRecord) -> str:
    """Return the name of the adapter that runs a step."""
    return str(view.graph.study.adapter.get("type", "local")) if record.scheduled else "local"


def _latest(events: Sequence[e.Recorded], kind: type[e.Event]) -> tuple[e.Recorded, ...]:
    """Return the newest event of a type, if there is one."""
    found = [recorded for recorded in events if isinstance(recorded.event, kind)]
    return tuple(found[-1:])
