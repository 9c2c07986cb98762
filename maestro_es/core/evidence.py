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
from maestro_es.core.model import JobState, Micros


class ClaimState(enum.Enum):
    """What the claim of an attempt says."""

    NOT_READ = "not read"
    NONE = "none"
    JOB = "job"
    ABANDONED = "abandoned"


class Claim(msgspec.Struct, frozen=True):
    """The claim of an attempt and, for a job, its owner: the job's id, its host and its process instance."""

    state: ClaimState = ClaimState.NOT_READ
    job_id: str = ""
    host: str = ""
    instance: str = ""


class ReportKind(enum.Enum):
    """What a runner may report."""

    STARTED = "started"
    EXIT = "exit"  # the step ended by itself
    STOPPED = "stopped"  # the step ended after the runner was told to terminate
    TIMEOUT = "timeout"  # the runner ended the step because its walltime was over
    REFUSED = "refused"  # another start holds the claim
    UNCLAIMED = "unclaimed"  # the claim could not be made, so nothing was run
    DROPPED = "dropped"  # nobody said "go", so nothing was run


class Report(msgspec.Struct, frozen=True):
    """One report of a runner: `at` is when the file was made, `file` its name in the inbox."""

    token: str
    kind: ReportKind
    code: int | None
    at: Micros
    file: str


class NoAnswer(enum.Enum):
    """Why there is no answer from a scheduler."""

    NOT_ASKED = "not asked"
    UNREACHABLE = "unreachable"


#: A scheduler's answer about one job, or why there is none.
Answer = JobState | NoAnswer


class AttemptObservation(msgspec.Struct, frozen=True):
    """All that was seen of one attempt in one tick.

    `raw_state` is the state in the scheduler's own words, for the log; `delay` is what it says holds the waiting job
    up; `job_id`, `host` and `instance` are of a job found by its token; `ended_at` is when the scheduler says that it
    ended. `within_grace`: it is too early to give up an attempt of which there is no trace; the facts of its scheduler
    say how long to wait (`JOB_GRACE_SECONDS` for jobs), and `poller.observe` compares. `start_recorded`: its start was
    known before the queue was asked, so that what the queue says of an end is said of that start.
    """

    claim: Claim = Claim()
    reports: tuple[Report, ...] = ()
    queue: Answer = NoAnswer.NOT_ASKED
    accounting: Answer = NoAnswer.NOT_ASKED
    raw_state: str = ""
    exit_code: int | None = None
    job_id: str = ""
    host: str = ""
    instance: str = ""
    delay: str = ""
    ended_at: Micros | None = None
    within_grace: bool = False
    start_recorded: bool = False

    def report(self, kind: ReportKind) -> Report | None:
        """Return the first report of that kind."""
        return next((report for report in self.reports if report.kind is kind), None)

    @property
    def end(self) -> Report | None:
        """The report that says how the step ended."""
        if not self.reports:  # so it is with nearly all jobs of nearly all ticks
            return None
        return self.report(ReportKind.EXIT) or self.report(ReportKind.TIMEOUT) or self.report(ReportKind.STOPPED)

    @property
    def interrupted(self) -> bool:
        """Whether the step was told to end, or killed, by its runner's word: a scheduler may say why."""
        end = self.end
        return end is not None and (end.kind is ReportKind.STOPPED or (end.code or 0) > _SIGNALLED)

    @property
    def has_started(self) -> bool:
        """Whether the step has begun, by the claim or by the runner's own word."""
        return self.claim.state is ClaimState.JOB or self.report(ReportKind.STARTED) is not None

    @property
    def has_job(self) -> bool:
        """Whether anything shows that the attempt became a job, so that a doubtful one may be adopted."""
        return self.claim.state is ClaimState.JOB or bool(self.reports) or bool(self.job_id)


class Conclusion(enum.Enum):
    """What the evidence adds up to."""

    WAIT = "nothing to conclude"
    RUNNING = "it runs, or has begun since the scheduler was asked"
    FINISHED = "it ended with exit code 0"
    FAILED = "it ended with another exit code"
    TIMED_OUT = "its walltime was over"
    CANCELLED = "it was cancelled"
    STOPPED = "it was told to end from outside"
    OUT_OF_MEMORY = "it took more memory than it may"
    HARDWARE_FAILED = "its node failed, or it was preempted"
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
    Conclusion.HARDWARE_FAILED, Conclusion.LOST,
)  # fmt: skip

#: What a scheduler's word means once the runner can't or won't speak.
_FINAL = {
    JobState.FINISHED: Conclusion.FINISHED,
    JobState.FAILED: Conclusion.FAILED,
    JobState.TIMED_OUT: Conclusion.TIMED_OUT,
    JobState.CANCELLED: Conclusion.CANCELLED,
    JobState.CANCELLED_ON_NODE: Conclusion.CANCELLED,
    JobState.OUT_OF_MEMORY: Conclusion.OUT_OF_MEMORY,
    JobState.HARDWARE_FAILED: Conclusion.HARDWARE_FAILED,
    JobState.PREEMPTED: Conclusion.HARDWARE_FAILED,
}

#: The scheduler's words that explain a non-zero exit better than the exit code does.
_EXPLAINS = (
    JobState.TIMED_OUT, JobState.CANCELLED, JobState.CANCELLED_ON_NODE, JobState.OUT_OF_MEMORY,
    JobState.HARDWARE_FAILED, JobState.PREEMPTED,
)  # fmt: skip

#: Ends of a job that was given a node: if the runner never came to its claim, the node could not launch it.
_AT_LAUNCH = (JobState.FAILED, JobState.CANCELLED_ON_NODE)

#: Answers, or none, after which more is to come.
_NOT_OVER = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN, NoAnswer.UNREACHABLE)

#: Exit codes above this one mean "killed by a signal", which the scheduler may still explain.
_SIGNALLED = 128


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
        return Conclusion.HARDWARE_FAILED
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
    said = [Evidence(source="report", detail=report.file) for report in observed.reports]
    if observed.claim.state is not ClaimState.NOT_READ:
        owner = f" {observed.claim.job_id} on {observed.claim.host}" if observed.claim.job_id else ""
        said.append(Evidence(source="claim", detail=observed.claim.state.value + owner))
    for source, answer in (("queue", observed.queue), ("accounting", observed.accounting)):
        if answer is not NoAnswer.NOT_ASKED:
            said.append(Evidence(source=source, detail=observed.raw_state or answer.value))
    return tuple(said)
