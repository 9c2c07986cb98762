"""The verdict on an attempt: a truth table over four kinds of evidence.

The kinds of evidence, from the most direct to the least direct:

- the **claim**: a link that is created before the step starts, so that each token starts at most once
- the **reports** that the runner puts into the inbox
- the **queue**: the present state of the job, or of the process of a local step
- the **accounting**: the scheduler's record of the job

"Not asked", "asked but not answered" and "gone" are three different answers. A job that is not in the queue has not
necessarily finished. The exit code of a submit command is not evidence. A state that maestro-es does not know is not a
failure.

`maestro_es.core.grace` decides how long ticks look for a missing attempt. `maestro_es.core.reconcile` decides the
consequence of a verdict for the step, such as the state HWFAILURE or another attempt.
"""

from __future__ import annotations

import enum

import msgspec

from maestro_es.core.events import Evidence
from maestro_es.core.model import JobState, Micros
from maestro_es.core.observations import AttemptObservation, ClaimState, NoAnswer, Report, ReportKind
from maestro_es.core.usage import Usage


class Conclusion(enum.Enum):
    """The conclusion from the evidence.

    `core.reconcile._HWFAILURE` lists the conclusions that make a step HWFAILURE.
    """

    WAIT = "nothing to conclude"
    RUNNING = "it is running, or has started since the scheduler was queried"
    FINISHED = "it ended with exit code 0"
    FAILED = "it ended with another exit code"
    TIMED_OUT = "it exceeded its walltime"
    CANCELLED = "it was cancelled"
    STOPPED = "a signal from outside ended it"
    OUT_OF_MEMORY = "it used more memory than allowed"
    NODE_FAILED = "its node failed, or it was preempted"
    LOST = "it started and is gone, without a report"
    PUT_BACK = "the job around it has ended, and it ended with that job"
    CLAIM = "there is no trace of it: take its claim, so that it can never start"
    ABANDONED = "a tick has taken its claim: it can never start"
    END_REMAINS = "its runner has ended, but processes of the step are still running: end them"


class Verdict(msgspec.Struct, frozen=True):
    """A conclusion and its evidence. `usage` is what the attempt used, if that is known already."""

    conclusion: Conclusion
    exit_code: int | None = None
    at: Micros | None = None
    raw_state: str = ""
    evidence: tuple[Evidence, ...] = ()
    usage: Usage | None = None


#: After one of these conclusions, a tick abandons an attempt that has no report. The attempt must then never run.
GIVES_UP = (
    Conclusion.FAILED, Conclusion.TIMED_OUT, Conclusion.CANCELLED, Conclusion.OUT_OF_MEMORY,
    Conclusion.NODE_FAILED, Conclusion.LOST,
)  # fmt: skip

#: The conclusion from each final state that a scheduler reports, if the runner has not reported an end.
_FINAL = {
    JobState.FINISHED: Conclusion.FINISHED,
    JobState.FAILED: Conclusion.FAILED,
    JobState.FAILED_AGAIN: Conclusion.WAIT,  # the claim decides
    JobState.TIMED_OUT: Conclusion.TIMED_OUT,
    JobState.CANCELLED: Conclusion.CANCELLED,
    JobState.CANCELLED_ON_NODE: Conclusion.CANCELLED,
    JobState.OUT_OF_MEMORY: Conclusion.OUT_OF_MEMORY,
    JobState.NODE_FAILED: Conclusion.NODE_FAILED,
    JobState.PREEMPTED: Conclusion.NODE_FAILED,
    JobState.REFUSED: Conclusion.FAILED,
    JobState.UNSUPERVISED: Conclusion.NODE_FAILED,
}

#: States that explain a non-zero exit better than the exit code does.
_EXPLAINS = (
    JobState.TIMED_OUT, JobState.CANCELLED, JobState.CANCELLED_ON_NODE, JobState.OUT_OF_MEMORY,
    JobState.NODE_FAILED, JobState.PREEMPTED, JobState.UNSUPERVISED,
)  # fmt: skip

#: Final states of a job that had a node. If there is no claim, the node could not launch the job.
_AT_LAUNCH = (JobState.FAILED, JobState.FAILED_AGAIN, JobState.CANCELLED_ON_NODE)

#: Answers that are not final: the job may still end in any way.
_NOT_OVER = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN, NoAnswer.UNREACHABLE)


#: The accounting shows these states for a job that has not ended. If the controller has lost a job, it shows them for
#: ever.
LISTED = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)


def judge(observed: AttemptObservation) -> Verdict:
    """Return the verdict on an attempt."""
    conclusion = _conclude(observed)
    end = observed.end
    exit_code = end.code if end and end.code is not None else observed.exit_code
    return Verdict(
        conclusion=conclusion,
        exit_code=exit_code,
        at=end.at if end else observed.ended_at,
        raw_state=observed.raw_state,
        evidence=_evidence(observed),
        usage=observed.usage,
    )


def _conclude(observed: AttemptObservation) -> Conclusion:
    if observed.claim.state is ClaimState.ABANDONED or _dropped(observed):
        return Conclusion.ABANDONED
    if observed.queue is JobState.ORPHANED and not observed.report(ReportKind.EXIT):
        return Conclusion.END_REMAINS
    if observed.end:
        return _by_report(observed, observed.end)
    if observed.queue is JobState.RUNNING:
        return Conclusion.RUNNING
    if observed.queue in _NOT_OVER:
        return Conclusion.WAIT
    if observed.queue is JobState.GONE_WITH_JOB:
        return Conclusion.PUT_BACK
    conclusion = _without_report(observed)
    if conclusion in GIVES_UP and observed.has_started and not observed.start_recorded:
        return Conclusion.RUNNING  # this may be the end of an earlier run, before a requeue
    return conclusion


def _dropped(observed: AttemptObservation) -> bool:
    """Return whether the runner that owns the claim reported that it did not start the step."""
    return observed.claim.state is ClaimState.JOB and observed.report(ReportKind.DROPPED) is not None


def _by_report(observed: AttemptObservation, end: Report) -> Conclusion:
    """Conclude from the runner's report. The scheduler may explain why a step was killed.

    If a step was killed, some of its processes may still be running. Only the end of the runner proves that all have
    ended. A step that got a termination signal, saved its work and exited with 0 has not finished if its walltime was
    over.
    """
    if end.kind is ReportKind.TIMEOUT:
        return Conclusion.WAIT if observed.queue is JobState.RUNNING else Conclusion.TIMED_OUT
    if end.code == 0 and not observed.interrupted:
        return Conclusion.FINISHED
    if observed.queue is JobState.GONE_WITH_JOB and observed.interrupted:
        return Conclusion.PUT_BACK
    word = _final_word(observed)
    if word in _EXPLAINS:
        return _FINAL[word]
    if observed.interrupted and _more_to_come(observed):
        return Conclusion.WAIT
    if observed.interrupted and observed.report(ReportKind.REFUSED):
        return Conclusion.STOPPED  # the scheduler requeued the job, which ended its first run
    if end.code == 0:
        return Conclusion.FINISHED
    return Conclusion.STOPPED if end.kind is ReportKind.STOPPED else Conclusion.FAILED


def _more_to_come(observed: AttemptObservation) -> bool:
    """Return whether the scheduler may still report how the job ended, within the grace time of the accounting."""
    if observed.queue in _NOT_OVER or observed.accounting is NoAnswer.UNREACHABLE:
        return True
    return observed.within_grace and observed.accounting in _NOT_OVER


def _without_report(observed: AttemptObservation) -> Conclusion:
    """Conclude without a report. The evidence is the scheduler's final state or, if there is none, the claim."""
    word = _final_word(observed)
    started = observed.has_started
    refused = word in (JobState.FINISHED, JobState.FAILED) and observed.report(ReportKind.REFUSED)
    if refused or (word is JobState.FAILED_AGAIN and started):
        return Conclusion.LOST if started else Conclusion.WAIT
    if word is JobState.UNSUPERVISED and started and observed.may_run:
        return Conclusion.RUNNING
    if word is JobState.UNSUPERVISED and not started:
        return Conclusion.CLAIM if observed.claim.state is ClaimState.NONE else Conclusion.WAIT
    if word in _AT_LAUNCH and observed.claim.state is ClaimState.NONE and not started:
        return Conclusion.NODE_FAILED
    if word is not None:
        return _FINAL[word]
    if JobState.GONE not in (observed.queue, observed.accounting) or observed.accounting is NoAnswer.UNREACHABLE:
        return Conclusion.WAIT
    if observed.within_grace or observed.claim.state is ClaimState.NOT_READ:
        return Conclusion.WAIT
    return Conclusion.LOST if started else Conclusion.CLAIM


def _final_word(observed: AttemptObservation) -> JobState | None:
    """Return the final state of the job in the queue or the accounting (None: neither shows one).

    A controller that has lost its newest state may start a running job again. The scheduler then ends both starts, and
    shows how the second one ended. The step has not failed, and no one has cancelled it.
    """
    for answer in (observed.queue, observed.accounting):
        if isinstance(answer, JobState) and answer in _FINAL:
            return JobState.NODE_FAILED if answer in _AT_LAUNCH and observed.was_started_again else answer
    return None


def _evidence(observed: AttemptObservation) -> tuple[Evidence, ...]:
    """Return the evidence for the log: each source and its answer."""
    evidence = [Evidence(source="report", detail=report.file) for report in observed.reports]
    if observed.claim.state is not ClaimState.NOT_READ:
        owner = f" {observed.claim.job_id} on {observed.claim.host}" if observed.claim.job_id else ""
        evidence.append(Evidence(source="claim", detail=observed.claim.state.value + owner))
    for source, answer in (("queue", observed.queue), ("accounting", observed.accounting)):
        if answer is not NoAnswer.NOT_ASKED:
            evidence.append(Evidence(source=source, detail=observed.raw_state or answer.value))
    return tuple(evidence)
