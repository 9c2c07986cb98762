"""A scheduler with everything that goes wrong, and a poller that looks at it the way a tick does."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from maestro_es.core import events as e
from maestro_es.core.cascade import ended_badly, fail_descendants
from maestro_es.core.decide import complete, decide, submissions
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import JobState, Phase, State, StepRecord
from maestro_es.core.observations import (
    Answer,
    AttemptObservation,
    Claim,
    ClaimState,
    NoAnswer,
    Observations,
    Report,
    ReportKind,
)
from maestro_es.core.reconcile import jobs_to_end
from maestro_es.core.reducer import apply
from maestro_es.core.step_keys import Need
from maestro_es.core.submission import Accepted, InDoubt, Outcome, QueueFull, Rejected, outcome_events
from maestro_es.core.verdict import GIVES_UP, Conclusion, judge

#: The time between two ticks, in microseconds.
TICK = 60_000_000

#: So long an attempt is looked for before its claim is made.
GRACE = 3 * TICK

#: What may become of a job; most end well.
FATES = ("finish",) * 4 + ("fail", "time out", "node", "vanish", "mute", "kill and requeue", "never start")


@dataclass
class Job:
    """What the scheduler knows of a job, what it will come to, and how long it still takes, in ticks."""

    token: str
    job_id: str
    fate: str
    ticks: int
    state: JobState = JobState.PENDING
    known: bool = True
    code: int | None = None


@dataclass
class Scheduler:
    """It loses calls and answers, requeues, forgets and falls silent; each as often as `trouble` says (0 to 1).

    `claims` are the links that runners and the poller make, by token: who comes first holds it. `starts` are the
    tokens of the commands that really began; `reports` is the inbox.
    """

    rng: random.Random
    trouble: float
    jobs: list[Job] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def happens(self, chance: float = 1.0) -> bool:
        return self.rng.random() < self.trouble * chance

    def submit(self, token: str) -> Outcome:
        if self.happens(0.1):
            return Rejected("busy", 1)
        if self.happens(0.2):
            self.claims.setdefault(token, "abandoned")
            return QueueFull("no room", certain=self.rng.random() < 0.8)
        if self.happens(0.2):
            return InDoubt("killed before it got through")
        first = self.take(token)
        if self.happens(0.1):
            self.take(token)  # the network has sent the call twice
        return InDoubt("killed before the answer") if self.happens(0.3) else Accepted(first)

    def take(self, token: str) -> str:
        fate = self.rng.choice(FATES) if self.happens() else "finish"
        self.jobs.append(Job(token, f"j{len(self.jobs)}", fate, self.rng.randrange(1, 4)))
        return self.jobs[-1].job_id

    def of(self, token: str) -> list[Job]:
        return [job for job in self.jobs if job.token == token]

    def alive(self) -> list[Job]:
        return [job for job in self.jobs if job.state is JobState.RUNNING]

    def end(self, token: str) -> None:
        for job in self.of(token):
            if job.state in (JobState.PENDING, JobState.RUNNING) and not self.happens(0.5):
                job.state = JobState.CANCELLED

    def advance(self) -> None:
        """Let a while pass."""
        for job in self.jobs:
            if job.state is JobState.PENDING:
                if self.rng.random() < 0.7:
                    self.start(job)
            elif job.state is JobState.RUNNING:
                job.ticks -= 1
                if job.ticks <= 0:
                    self.finish(job)
            elif self.rng.random() < 0.3:
                job.known = False  # schedulers forget what has ended

    def start(self, job: Job) -> None:
        if job.fate == "never start":
            job.state = JobState.NODE_FAILED
        elif job.token in self.claims:
            self.report(job, ReportKind.REFUSED, 75)
            job.state, job.code = JobState.FAILED, 75
        else:
            self.claims[job.token] = job.job_id
            self.starts.append(job.token)
            self.report(job, ReportKind.STARTED)
            job.state = JobState.RUNNING

    def finish(self, job: Job) -> None:
        match job.fate:
            case "finish":
                self.report(job, ReportKind.EXIT, 0)
                job.state, job.code = JobState.FINISHED, 0
            case "fail":
                self.report(job, ReportKind.EXIT, 1)
                job.state, job.code = JobState.FAILED, 1
            case "time out":
                self.report(job, ReportKind.STOPPED, 143)
                job.state = JobState.TIMED_OUT
            case "node":
                job.state = JobState.NODE_FAILED
            case "vanish":
                job.state, job.known = JobState.CANCELLED, False
            case "mute":
                job.state, job.code = JobState.FINISHED, 0  # its report got lost
            case _:
                job.state = JobState.PENDING  # put back in the queue under its id: it will be refused

    def report(self, job: Job, kind: ReportKind, code: int | None = None) -> None:
        name = f"{job.token}.{kind.value}" + ("" if code is None else f".{code}")
        self.reports.append(Report(job.token, kind, code, 1, name))

    def answer(self, token: str) -> tuple[Answer, Job | None]:
        """Say what is known of a token: of the job that holds its claim, if any."""
        jobs = [job for job in self.of(token) if job.known]
        jobs.sort(
            key=lambda job: (
                job.state not in (JobState.RUNNING, JobState.PENDING),
                job.job_id != self.claims.get(token),
            )
        )
        if not jobs:
            return JobState.GONE, None
        return (JobState.UNKNOWN if self.happens(0.1) else jobs[0].state), jobs[0]


class Poller:
    """Ticks over a graph in memory, each of which may die in the midst of it."""

    def __init__(self, shape: Sequence[NewEvent], scheduler: Scheduler) -> None:
        self.graph = MemoryGraph()
        self.events: list[e.Recorded] = []
        self.scheduler = scheduler
        self.rng = scheduler.rng
        self.time = 0
        self.record(list(shape))

    def record(self, new_events: list[NewEvent]) -> None:
        for step, event in new_events:
            recorded = e.Recorded(len(self.events) + 1, self.time, 1, step, event)
            apply(self.graph, recorded)
            self.events.append(recorded)

    def tick(self) -> None:
        self.time += TICK
        new_events: list[NewEvent] = []

        def record(more: Iterable[NewEvent]) -> None:
            drawn = list(more)
            new_events.extend(drawn)
            self.record(drawn)

        seen = self.look()
        decide(self.graph, seen, record)
        self.check_limits()
        if self.scheduler.happens(0.1):
            return  # killed here: nothing was submitted
        current = {step.token for step in self.graph.in_flight()}
        self.scheduler.reports = [report for report in self.scheduler.reports if report.token in current]
        for step in jobs_to_end(self.graph, seen):
            self.scheduler.end(step.token)
        for number in submissions(new_events):
            if self.scheduler.happens(0.05):
                return  # killed here: these are in doubt
            self.submit(number)
        self.record(complete(self.graph))

    def submit(self, number: int) -> None:
        token = self.graph.step(number).token
        outcome = self.scheduler.submit(token)
        events: list[NewEvent] = [
            (number, event) for event in outcome_events(self.graph, number, token, outcome, self.time)
        ]
        self.record(events)
        self.record(list(fail_descendants(self.graph, self.time, ended_badly(events))))

    def look(self) -> Observations:
        scheduler_down = self.scheduler.happens(0.2)
        attempts = {
            step.token: self.reconcile_doubt(step, self.sight(step, scheduler_down=scheduler_down))
            for step in self.graph.in_flight()
        }
        return Observations(
            now=self.time, host="h", boot_id="", token_suffix=f"s{self.time}", size=Need(4), attempts=attempts,
        )  # fmt: skip

    def sight(self, step: StepRecord, *, scheduler_down: bool) -> AttemptObservation:
        queue, job = (NoAnswer.UNREACHABLE, None) if scheduler_down else self.scheduler.answer(step.token)
        reports = tuple(report for report in self.scheduler.reports if report.token == step.token)
        within_grace = self.time - (step.requested_at or 0) < GRACE
        early = self.claim(step.token) if step.phase is Phase.REQUESTED else Claim()
        known = step.state is State.RUNNING or early.state is ClaimState.JOB
        unsaid = queue in (JobState.GONE, JobState.FAILED, JobState.FINISHED, JobState.RUNNING)
        return AttemptObservation(
            claim=self.claim(step.token) if unsaid else early,
            reports=reports,
            queue=queue,
            exit_code=job.code if job else None,
            job_id=job.job_id if job else "",
            within_grace=within_grace,
            start_recorded=known,
        )

    def claim(self, token: str) -> Claim:
        owner = self.scheduler.claims.get(token)
        if owner is None:
            return Claim(ClaimState.NONE)
        return Claim(ClaimState.ABANDONED) if owner == "abandoned" else Claim(ClaimState.JOB, owner, "node", "boot")

    def reconcile_doubt(self, step: StepRecord, observed: AttemptObservation) -> AttemptObservation:
        conclusion = judge(observed).conclusion
        if conclusion is not Conclusion.CLAIM and (observed.end or conclusion not in GIVES_UP):
            return observed
        self.scheduler.claims.setdefault(step.token, "abandoned")
        claim = self.claim(step.token)
        if conclusion is Conclusion.CLAIM or claim.state is ClaimState.JOB:
            return structs.replace(observed, claim=claim)
        return observed

    # -- what must hold at any time ---------------------------------------------------------------------------------

    def check_limits(self) -> None:
        """No more is in flight than throttle and slots allow."""
        study = self.graph.study
        throttle = study.settings.submission_throttle
        flying = list(self.graph.in_flight())
        scheduled = sum(step.scheduled for step in flying)
        local = len(flying) - scheduled
        assert local <= study.settings.local_slots
        if throttle:
            assert scheduled <= throttle
            assert local <= throttle or study.adapter["type"] != "local"

    def check_runs(self) -> None:
        """What runs is the current attempt of its step, all of whose parents have finished; and no token ran twice."""
        assert len(set(self.scheduler.starts)) == len(self.scheduler.starts)
        for job in self.scheduler.alive():
            step = self.graph.step(int(job.token.split("-")[1]))
            assert step.token == job.token, "two attempts of a step run at the same time"
            assert step.phase in (Phase.REQUESTED, Phase.SUBMITTED), "a step was given up while it runs"
            parents = [self.graph.step(number).state for number in self.graph.parents(step.number)]
            assert set(parents) <= {State.FINISHED}
            assert not any(self.graph.unfinished(template) for template in self.graph.funnels(step.number))
