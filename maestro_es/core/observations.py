"""The types of a tick's observations, and the rules that need nothing but observations.

`maestro_es.poller.observe` collects the observations. `maestro_es.core.verdict` draws conclusions from them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec import structs

from maestro_es.core.attempt_token import Placement, step_of
from maestro_es.core.graph import Graph
from maestro_es.core.model import Boot, JobState, Micros, StepRecord
from maestro_es.core.step_keys import Allocation, Need
from maestro_es.core.usage import Usage

#: An exit code above this number means that a signal killed the step. The scheduler may explain why.
_SIGNALLED = 128


class ClaimState(enum.Enum):
    """The state of the claim of an attempt."""

    NOT_READ = "not read"
    NONE = "none"
    JOB = "job"
    ABANDONED = "abandoned"


class Claim(msgspec.Struct, frozen=True):
    """The claim of an attempt. If a job owns the claim, the fields have its id, its host and its process instance.

    `began_at` is the start of that job by the clock of the scheduler, if the scheduler tells it to its jobs.
    """

    state: ClaimState = ClaimState.NOT_READ
    job_id: str = ""
    host: str = ""
    instance: str = ""
    began_at: Micros | None = None


class ReportKind(enum.Enum):
    """What a runner may report."""

    STARTED = "started"
    EXIT = "exit"  # the step ended by itself
    STOPPED = "stopped"  # the step ended after the runner got a termination signal
    TIMEOUT = "timeout"  # the runner ended the step because its walltime was over
    REFUSED = "refused"  # another process owns the claim
    UNCLAIMED = "unclaimed"  # the claim could not be created, so nothing was run
    DROPPED = "dropped"  # the tick ended before it wrote "go", so nothing was run
    LOST = "lost"  # inside an allocation: the runner was killed, and the agent has ended the processes of its step
    USED = "used"  # what the step used, reported after its end
    UNINDEXED = "unindexed"  # a job did not find out which element of its array it is, so nothing was run


class Report(msgspec.Struct, frozen=True):
    """One report of a runner, which is a file: `file` is its name, and `at` its time. A USED report has a `usage`."""

    token: str
    kind: ReportKind
    code: int | None
    at: Micros
    file: str
    usage: Usage | None = None


class NoAnswer(enum.Enum):
    """The reason why a scheduler has given no answer."""

    NOT_ASKED = "not asked"
    UNREACHABLE = "unreachable"


#: A scheduler's answer about one job, or why there is none.
Answer = JobState | NoAnswer


class AttemptObservation(msgspec.Struct, frozen=True):
    """Everything that one tick has seen of one attempt.

    `raw_state` is the scheduler's name for the state, for the log. `delay` is the scheduler's reason why the job is
    pending. `job_id`, `host` and `instance` belong to a job that was found by its token. If the job has ended,
    `began_at` and `ended_at` are the times of its last start and of its end, as the scheduler reports them.
    `within_grace` is true while the grace time of a missing attempt lasts (`grace.within_grace`). `start_recorded` is
    true if the start was recorded before the queue was queried. Then an end in the queue can't belong to an earlier
    start. `may_run` is true if the scheduler no longer watches the job, but its processes may still be running.
    `may_run_until` is the latest time of their end, if known. `is_fragile` is true if the output of the step goes
    through the scheduler. Such a step may fail because the scheduler has crashed. `usage` is what the attempt used, if
    the attempt has ended and this is known.
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
    began_at: Micros | None = None
    ended_at: Micros | None = None
    within_grace: bool = False
    start_recorded: bool = False
    may_run: bool = False
    may_run_until: Micros | None = None
    is_fragile: bool = False
    usage: Usage | None = None

    def report(self, kind: ReportKind) -> Report | None:
        """Return the first report of that kind."""
        return next((report for report in self.reports if report.kind is kind), None)

    @property
    def end(self) -> Report | None:
        """The report that says how the step ended."""
        if not self.reports:  # this saves time, because most attempts have no report
            return None
        return self.report(ReportKind.EXIT) or self.report(ReportKind.TIMEOUT) or self.report(ReportKind.STOPPED)

    @property
    def interrupted(self) -> bool:
        """Whether the runner reports a termination signal or a kill. Then the scheduler may know the reason."""
        end = self.end
        if end is None:
            return False
        return end.kind is ReportKind.STOPPED or (end.code or 0) > (0 if self.is_fragile else _SIGNALLED)

    @property
    def was_started_again(self) -> bool:
        """Whether the job was started once more after it had run the step. The queue shows the later start."""
        first = self.claim.began_at
        return first is not None and self.began_at is not None and self.began_at > first

    @property
    def is_gone(self) -> bool:
        """Whether the job or the process is gone. Some of its processes may still be running."""
        return self.queue in (JobState.GONE, JobState.GONE_WITH_JOB)

    @property
    def is_unexplained(self) -> bool:
        """Whether the job is gone and the runner's report does not explain its end. Then the accounting is queried."""
        return self.queue is JobState.GONE and (not self.end or self.interrupted)

    @property
    def has_started(self) -> bool:
        """Whether the step has started, according to the claim or to a report of the runner."""
        return self.claim.state is ClaimState.JOB or self.report(ReportKind.STARTED) is not None

    @property
    def has_job(self) -> bool:
        """Whether there is any sign of a job. If so, a tick may adopt the job of an attempt in doubt."""
        return self.claim.state is ClaimState.JOB or bool(self.reports) or bool(self.job_id)


class LastBoot(msgspec.Struct, frozen=True):
    """The last boot of this host. `alive_at` is when the host was last certainly up before that boot, if known.

    `window` is the longest time, in microseconds, for which written data may be in memory only.
    """

    alive_at: Micros | None = None
    window: Micros = 0


class OtherStudy(msgspec.Struct, frozen=True):
    """Another study of this user, as a tick sees it. All numbers of CPUs refer to the host of the tick.

    Its local steps use `running` CPUs now. It asks for `asks` CPUs in all, and may use at most `slots`. Its next step
    needs `step` CPUs (0: none can start). `jobs` of its steps are in flight. If it `waits`, there was no room for more
    of them in `queue`, the queue of its scheduler. If it is `hidden`, it is on another mount, so neither study can see
    what the other one asks for. For a tick inside an allocation, the numbers refer to all of its nodes, and `taken`
    holds the parts of the nodes that the steps use.
    """

    study_id: str
    running: int = 0
    asks: int = 0
    step: int = 0
    slots: int = 0
    jobs: int = 0
    waits: bool = False
    queue: tuple[str, ...] = ()
    hidden: bool = False
    taken: tuple[tuple[Placement, Need], ...] = ()


class Observations(msgspec.Struct, frozen=True):
    """All observations of one tick. `attempts` maps tokens to observations.

    `answered` names the adapters that have answered.

    If `scheduler_down`, the scheduler does not answer, so nothing is submitted to it.

    `token_suffix` distinguishes the tokens of this tick from all others. `size` is what the host has for steps, as in
    `Host`. `ahead` is how many more local steps than slots are requested, because the driver starts one as soon as
    another one ends. `last_tick` is the time of the previous tick, if known. `job` is the job in which the tick runs,
    if any. `machine` and `booted_at` describe the host, as in `InvocationStarted`. `last_boot` is set if this host has
    booted since the last write to the log, or since an attempt in flight began. If `namesake`, a step in flight may be
    running on another host with the same name. If `later_round`, the tick has already submitted steps, and requests
    more. `submitted` holds the tokens of requests that count as submitted, because a preview assumes this. If
    `leaving`, the job around the tick is about to end, and the driver has ended its local steps. If `brief`, that job
    ends with the tick, so no local step starts.

    `usages` maps tokens of ended attempts to what they used. `others` returns the other studies that share this host,
    or a queue. It is called only if steps may start.
    """

    now: Micros
    host: str
    boot_id: str
    token_suffix: str
    size: Need
    ahead: int = 0
    attempts: Mapping[str, AttemptObservation] = msgspec.field(default_factory=dict)
    stale_reports: tuple[tuple[str, str], ...] = ()
    unreachable: Mapping[str, str] = msgspec.field(default_factory=dict)
    scheduler_down: bool = False
    answered: frozenset[str] = frozenset()
    last_tick: Micros | None = None
    machine: str = ""
    booted_at: Micros = 0
    last_boot: LastBoot | None = None
    job: str = ""
    namesake: bool = False
    later_round: bool = False
    submitted: Collection[str] = ()
    leaving: bool = False
    brief: bool = False
    usages: Mapping[str, Usage] = msgspec.field(default_factory=dict)
    allocation: Allocation | None = None
    others: Callable[[], Sequence[OtherStudy]] = tuple

    @property
    def boot(self) -> Boot:
        """The boot of our host."""
        return Boot(self.host, self.boot_id, self.machine, self.booted_at)


def reports_by_token(reports: Iterable[Report]) -> dict[str, list[Report]]:
    """Return the reports of each attempt."""
    by_token: dict[str, list[Report]] = {}
    for report in reports:
        by_token.setdefault(report.token, []).append(report)
    return by_token


def stale_reports(graph: Graph, reports: Iterable[Report], current: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the token and the file name of each report whose token is not its step's current one."""
    stale = []
    for report in reports:
        if report.token in current or report.kind is ReportKind.USED:
            continue
        try:
            if graph.step(step_of(report.token)).token == report.token:
                continue  # recorded, but the tick died before it removed the report
        except KeyError:
            pass
        stale.append((report.token, report.file))
    return tuple(stale)


def of_runner(observed: AttemptObservation, *, is_new: bool) -> AttemptObservation:
    """Correct the state of a runner inside an allocation. The queue shows only the agent of the runner.

    The runner may have ended before its agent. A runner that is not `is_new` and has no claim has not begun.
    """
    not_begun = observed.claim.state is ClaimState.NONE and not is_new
    if observed.queue is JobState.RUNNING and (observed.end or observed.report(ReportKind.LOST) or not_begun):
        return structs.replace(observed, queue=JobState.GONE)
    return observed


def without_forced_end(observed: AttemptObservation) -> AttemptObservation:
    """Ignore the report of a forced end for now, if it is unknown whether processes of the step remain."""
    if observed.queue is not NoAnswer.UNREACHABLE:
        return observed
    forced = (ReportKind.TIMEOUT, ReportKind.STOPPED)
    return structs.replace(observed, reports=tuple(each for each in observed.reports if each.kind not in forced))


def end_of(step: StepRecord, ended_at: Micros | None, now: Micros) -> Micros | None:
    """Return when a job ended, according to its scheduler; None if a wrong clock makes this time impossible."""
    since = (step.started_at or step.requested_at or 0) // 1_000_000 * 1_000_000  # the scheduler reports whole seconds
    return max(ended_at, step.started_at or 0) if ended_at is not None and since <= ended_at <= now else None
