"""Describes each event in a short sentence, for users.

`maestro_es.core.events` documents the meaning of each event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from maestro_es.audit.times import show_span
from maestro_es.audit.usage import usage_text
from maestro_es.core import events as e
from maestro_es.core.model import ENVIRONMENT, NO_SCHEDULER, UNWATCHED, Cause, State

#: How many steps a sentence names. The others are only counted.
NAMED = 5


def describe(event: e.AnyEvent, name_of: Callable[[int], str]) -> str:  # noqa: C901, PLR0912, PLR0915 - one case for each event
    """Return a sentence about an event. `name_of` returns the name of the step with a number."""
    match event:  # the most frequent events come first, as the cases are tried in order
        case e.StepAdded():
            return f"was added{_waits(event, name_of)}"
        case e.SubmissionRequested():
            return f"attempt {event.attempt} ({event.kind._value_}) will be submitted"
        case e.JobSubmitted():
            how = "was found and adopted" if event.adopted else "was submitted"
            edited = ", with the edited script" if event.edited else ""
            refused = f" without {' '.join(event.left_out)}, which the scheduler had refused" if event.left_out else ""
            return f"job {event.job_id} {how}{refused}{edited}"
        case e.JobStarted():
            return f"started{_on(event.host)}"
        case e.StepFinished():
            return "finished"
        case e.InvocationStarted():
            return f"{event.command} (process {event.pid} on {event.host}, version {event.version})"
        case e.StudyCreated():
            return f"study {event.name or event.study_id} was created in {event.root}"
        case e.EnvironmentRecorded():
            recorded = event.environment
            of = f"{recorded.digest[:8]}, with {len(recorded.variables)} variables"
            return f"steps start in environment {of}{_reason(event.reason)}"
        case e.StepTemplateAdded():
            return f"step {event.name} was declared"
        case e.ConnectionAdded():
            return f"also waits for {name_of(event.parent)}"
        case e.ConnectionRemoved():
            return f"no longer waits for {name_of(event.parent)}"
        case e.SettingsChanged():
            return f"{event.what} was changed from {event.before} to {event.after}{_reason(event.reason)}"
        case e.StudyPaused():
            return f"paused; no new steps are submitted{_reason(event.reason)}"
        case e.StudyResumed():
            return f"resumed; steps are submitted again{_reason(event.reason)}"
        case e.CancelRequested():
            what = "the whole study" if event.steps is None else _listed_steps(event.steps, name_of)
            return f"cancel requested for {what}{_reason(event.reason)}"
        case e.StudyCompleted():
            return f"the study has ended: {event.status.name}"
        case e.StudyReopened():
            return f"the study was reopened{_reason(event.reason)}"
        case e.StudyRelocated():
            return f"the study was moved from {event.before} to {event.after}"
        case e.RebootDetected():
            return f"{event.host} was rebooted"
        case e.TicksMissed():
            return f"no tick ran for {show_span(event.seconds)}"
        case e.LogRecovered():
            return f"the log was lost after this point, and was rebuilt{_reason(event.reason)}"
        case e.PollFailed() if event.adapter in NO_SCHEDULER:
            return event.message
        case e.PollRecovered() if event.adapter == ENVIRONMENT:
            return "the environment of the steps can be read again"
        case e.PollRecovered() if event.adapter == UNWATCHED:
            return "the jobs are watched again"
        case e.EventsCorrected():
            numbers = listed(str(item.seq) for item in event.corrections)
            return f"events that could not be decoded were corrected: {numbers}{_reason(event.reason)}"
        case e.PollFailed():
            return f"{event.adapter} does not answer: {event.message}"
        case e.NotificationRequested():
            again = f" (try {event.number})" if event.number > 1 else ""
            return f"a notification will be sent: {event.about.value}{again}"
        case e.NotificationEnded():
            failed = f"the notification may not have arrived: {event.problem}"
            return failed if event.problem else "the notification was sent"
        case e.CascadeStarted():
            return "some steps will not run, and they are too many for one tick: the next ticks end the others"
        case e.CascadeCompleted():
            return "all steps that will not run have ended"
        case e.PollRecovered():
            return f"{event.adapter} answers again"
        case e.StepImported():
            if event.state is State.INITIALIZED:
                return f"taken over from Maestro: {event.message or 'will run'}"
            return f"taken over from Maestro: {event.state.name}{_because(event.message)}"
        case e.StepRecovered():
            if event.state is State.INITIALIZED:
                return f"was recovered: {event.message or 'will run'}"
            return f"was recovered: {event.state.name}{_because(event.message)}"
        case e.JobNotFound():
            return "the job was not found; ticks look for it"
        case e.JobReappeared():
            return "the job was found again"
        case e.ScriptSetAside():
            return f"{event.script} was edited: the edit was kept as {event.kept_as}, and the script was written again"
        case e.SubmissionRejected():
            return f"the submission was refused: {event.message}"
        case e.SubmissionUncertain():
            return f"it is unknown whether the job was submitted: {event.message}"
        case e.AttemptAbandoned():
            return f"the attempt was given up; it can no longer start{_evidence(event.evidence)}"
        case e.SubmissionWithdrawn():
            why = f", because the scheduler's queue is full: {event.message}" if event.message else " before it began"
            return f"the submission was withdrawn{why}"
        case e.JobDelayed():
            return f"the job is pending: {event.reason}"
        case e.JobUnsupervised():
            return f"the scheduler no longer watches the job, but its processes may still be running: {event.reason}"
        case e.JobStateUnknown():
            return f"the scheduler reports an unknown state: {event.raw_state}"
        case e.StepTimedOut():
            return f"ran out of time{_because(event.final)}"
        case e.StepRestarted():
            return f"will be restarted (restart {_of_limit(event.number, event.limit)})"
        case e.HardwareFailed():
            count = _of_limit(event.number, event.limit)
            return f"hardware failure: {event.reason} ({count})"
        case e.StepFailed():
            return _failed(event)
        case e.StepCancelled():
            return _quote("cancelled", event.message)
        case e.OutputDoubted():
            return f"its output may be incomplete: {event.host} went down shortly after its end"
        case e.StepDryRun():
            return "its scripts were written, but nothing was run"
        case e.StepReset():
            how = ", from scratch" if event.from_scratch else ""
            kept = ", with the edited script" if event.keep_script else ""
            return f"will be rerun{how}{kept}{_reason(event.reason)}"
        case e.StepSkipped():
            return f"was marked as finished, skipped by {event.by}{_reason(event.reason)}"
        case e.StepHeld():
            return f"was held; it will not be submitted{_reason(event.reason)}"
        case e.StepReleased():
            return f"was released; it can be submitted{_reason(event.reason)}"
        case e.UsageReported():
            return f"used {usage_text(event.usage)}"
        case e.ReportIgnored():
            return f"a report of another attempt was ignored: {event.report}"
        case _:
            return assert_never(event)


def assert_never(event: NoReturn) -> NoReturn:
    """Let mypy check that every type of event has a case. Python 3.10 has no `typing.assert_never`."""
    raise AssertionError(event)


def _waits(event: e.StepAdded, name_of: Callable[[int], str]) -> str:
    if not event.parents and not event.funnels:
        return ""
    funnels = [f"all of {template}" for template in event.funnels]
    return f", waits for {_listed_steps(event.parents, name_of, funnels)}"


def _listed_steps(numbers: Sequence[int], name_of: Callable[[int], str], more: Sequence[str] = ()) -> str:
    """Return the names of steps and more names, as `listed` does. Only the names that are shown are looked up."""
    return listed([*map(name_of, numbers[:NAMED]), *map(str, numbers[NAMED:]), *more])


def listed(names: Iterable[str], count: int = 0) -> str:
    """Return names separated by commas. Of many names, return the first ones and the number of the others.

    `count` is the number of all names, if not all are given.
    """
    all_names = list(names)
    rest = (count or len(all_names)) - NAMED
    return ", ".join(all_names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _reason(reason: str) -> str:
    """Return the reason that a user gave, as the end of a sentence (empty: there is none)."""
    return f" (reason: {reason})" if reason else ""


def _failed(event: e.StepFailed) -> str:
    """Return a description of a failure. The cause is left out if the message contains it."""
    if event.cause is Cause.UPSTREAM:
        return f"was not run ({event.cause.value}): {event.message}"
    if event.cause is Cause.EXIT_CODE and event.message.startswith(event.cause.value):
        return f"failed with {event.message}"
    return f"failed ({event.cause.value}): {event.message}"


def _quote(word: str, message: str) -> str:
    """Return a word and a message, without repeating a word with which the message begins."""
    return message if message.startswith(word) else f"{word}{_because(message)}"


def _on(host: str) -> str:
    return f" on {host}" if host else ""


def _of_limit(number: int, limit: int) -> str:
    return f"{number} of {limit}" if limit else f"{number}, no limit"


def _evidence(evidence: Iterable[e.Evidence]) -> str:
    items = ", ".join(f"{item.source}: {item.detail}" for item in evidence)
    return f" ({items})" if items else ""
