"""From what was seen of an attempt to a verdict: a truth table over four kinds of evidence.

The kinds, from the one that is nearest to the step to the one that is farthest:

- the **claim**: the link that the runner makes before anything else, so at most one start for each token;
- the **reports** that the runner drops in the inbox;
- the **queue**: what the scheduler says of the job now (for a local step: what the host says of its process);
- the **accounting**: what the scheduler remembers of it.

Not asked, asked and unknown, and gone are three different answers. Absent from the queue is not finished, an exit code
of the submit command is no evidence, and a word that nobody has heard of is not a failure.
"""

from __future__ import annotations

import enum

import msgspec

from maestro_es.core.events import Evidence
from maestro_es.core.model import JobState, Micros, Phase, StepRecord
from maestro_es.core.observations import AttemptObservation, ClaimState, NoAnswer, Report, ReportKind


class Conclusion(enum.Enum):
    """What the evidence adds up to. `core.reconcile._HWFAILURE` says which of these make a step HWFAILURE."""

    WAIT = "nothing to conclude"
    RUNNING = "it runs, or has begun since the scheduler was asked"
    FINISHED = "it ended with exit code 0"
    FAILED = "it ended with another exit code"
    TIMED_OUT = "its walltime was over"
    CANCELLED = "it was cancelled"
    STOPPED = "it was told to end from outside"
    OUT_OF_MEMORY = "it used more memory than allowed"
    NODE_FAILED = "its node failed, or it was preempted"
    LOST = "it started, is gone, and left no word"
    CLAIM = "no trace of it: make its claim, so that it can't start any more"
    ABANDONED = "its claim is ours: it can never start"
    END_REMAINS = "its runner is dead or done, what it started still runs"


class Verdict(msgspec.Struct, frozen=True):
    """A conclusion and what it rests on."""

    conclusion: Conclusion
    exit_code: int | None = None
    at: Micros | None = None
    raw_state: str = ""
    evidence: tuple[Evidence, ...] = ()


#: Ends without a word from the runner: the attempt is given up, so it must not run, now or later.
GIVES_UP = (
    Conclusion.FAILED, Conclusion.TIMED_OUT, Conclusion.CANCELLED, Conclusion.OUT_OF_MEMORY,
    Conclusion.NODE_FAILED, Conclusion.LOST,
)  # fmt: skip

#: What a scheduler's word means once the runner can't or won't speak.
_FINAL = {
    JobState.FINISHED: Conclusion.FINISHED,
    JobState.FAILED: Conclusion.FAILED,
    JobState.TIMED_OUT: Conclusion.TIMED_OUT,
    JobState.CANCELLED: Conclusion.CANCELLED,
    JobState.CANCELLED_ON_NODE: Conclusion.CANCELLED,
    JobState.OUT_OF_MEMORY: Conclusion.OUT_OF_MEMORY,
    JobState.NODE_FAILED: Conclusion.NODE_FAILED,
    JobState.PREEMPTED: Conclusion.NODE_FAILED,
}

#: The scheduler's words that explain a non-zero exit better than the exit code does.
_EXPLAINS = (
    JobState.TIMED_OUT, JobState.CANCELLED, JobState.CANCELLED_ON_NODE, JobState.OUT_OF_MEMORY,
    JobState.NODE_FAILED, JobState.PREEMPTED,
)  # fmt: skip

#: Ends of a job that was given a node: if the runner never came to its claim, the node could not launch it.
_AT_LAUNCH = (JobState.FAILED, JobState.CANCELLED_ON_NODE)

#: Answers, or none, after which more is to come.
_NOT_OVER = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN, NoAnswer.UNREACHABLE)


#: What accounts say of a job that has not ended. Of one that a controller has lost they say it for ever.
LISTED = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)

#: For how many graces such accounts are believed rather than the queue, which does not know the job.
LISTED_GRACES = 60


def within_grace(step: StepRecord, now: Micros, seconds: float, *, cancelling: bool) -> bool:
    """Whether it is too early to give up an attempt that has left no trace: not so many seconds have passed.

    A grace is `core.scheduler_facts.JOB_GRACE_SECONDS` for jobs. A step that is being cancelled is not waited for.
    """
    if not step.scheduled and step.phase is Phase.SUBMITTED:
        return False  # its process is gone, so no claim will come any more
    if step.phase is Phase.REQUESTED and cancelling:
        return False
    since = step.requested_at if step.phase is Phase.REQUESTED else step.missed_at
    if since is None:
        return True  # missed for the first time
    return 0 <= now - since < seconds * 1_000_000


def judge(observed: AttemptObservation) -> Verdict:
    """Return what the observation of an attempt adds up to."""
    conclusion = _conclude(observed)
    end = observed.end
    exit_code = end.code if end and end.code is not None else observed.exit_code
    return Verdict(
        conclusion=conclusion,
        exit_code=exit_code,
        at=end.at if end else observed.ended_at,
        raw_state=observed.raw_state,
        evidence=_evidence(observed),
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
    conclusion = _without_report(observed)
    if conclusion in GIVES_UP and observed.has_started and not observed.start_recorded:
        return Conclusion.RUNNING  # for all we know it started after the end that the scheduler speaks of
    return conclusion


def _dropped(observed: AttemptObservation) -> bool:
    """Whether the runner that holds the claim said that it does not start."""
    return observed.claim.state is ClaimState.JOB and observed.report(ReportKind.DROPPED) is not None


def _by_report(observed: AttemptObservation, end: Report) -> Conclusion:
    """Take the runner's own word first; the scheduler may explain why a step was killed.

    Of a step that was made to end something may be left, which can be told only once its runner is gone. One that
    saved its work and exited 0 when it was told to end has not finished if its job's time was over.
    """
    if end.kind is ReportKind.TIMEOUT:
        return Conclusion.WAIT if observed.queue is JobState.RUNNING else Conclusion.TIMED_OUT
    if end.code == 0 and not observed.interrupted:
        return Conclusion.FINISHED
    word = _final_word(observed)
    if word in _EXPLAINS:
        return _FINAL[word]
    if observed.interrupted and _more_to_come(observed):
        return Conclusion.WAIT
    if observed.interrupted and observed.report(ReportKind.REFUSED):
        return Conclusion.STOPPED  # it was started again, so it was killed to make room
    if end.code == 0:
        return Conclusion.FINISHED
    return Conclusion.STOPPED if end.kind is ReportKind.STOPPED else Conclusion.FAILED


def _more_to_come(observed: AttemptObservation) -> bool:
    """Whether the scheduler has yet to say how the job ended; accounts that list a job for ever are not believed."""
    if observed.queue in _NOT_OVER or observed.accounting is NoAnswer.UNREACHABLE:
        return True
    return observed.within_grace and observed.accounting in _NOT_OVER


def _without_report(observed: AttemptObservation) -> Conclusion:
    """Judge without a word from the runner: the scheduler's word, else the claim decides."""
    word = _final_word(observed)
    started = observed.has_started
    if word in (JobState.FINISHED, JobState.FAILED) and observed.report(ReportKind.REFUSED):
        return Conclusion.LOST if started else Conclusion.WAIT
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
    """Return what queue or accounting say of the end of the job."""
    for answer in (observed.queue, observed.accounting):
        if isinstance(answer, JobState) and answer in _FINAL:
            return answer
    return None


def _evidence(observed: AttemptObservation) -> tuple[Evidence, ...]:
    """Return who said what, for the log."""
    evidence = [Evidence(source="report", detail=report.file) for report in observed.reports]
    if observed.claim.state is not ClaimState.NOT_READ:
        owner = f" {observed.claim.job_id} on {observed.claim.host}" if observed.claim.job_id else ""
        evidence.append(Evidence(source="claim", detail=observed.claim.state.value + owner))
    for source, answer in (("queue", observed.queue), ("accounting", observed.accounting)):
        if answer is not NoAnswer.NOT_ASKED:
            evidence.append(Evidence(source=source, detail=observed.raw_state or answer.value))
    return tuple(evidence)
