"""The jobs of a simulated Slurm cluster, and what may happen to them.

Its commands are in `tools.simulation.controller`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tools.simulation.ledger import Ledger, Run
from tools.simulation.runner import SECOND, Runners
from tools.simulation.scenario import MINUTE, Chance, Scenario
from tools.simulation.timeline import Timeline

_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")

_NODES = 3


class Submitted(NamedTuple):
    """What a submission says about one job: the command of the runner, the token, and two directories."""

    command: str
    token: str
    workspace: str
    study: str
    is_array: bool


@dataclass
class ClusterJob:
    """A job. `shown` says whether the queue lists it. The accounts show `accounted` for ever (empty: the truth)."""

    job_id: str
    submitted: Submitted
    state: str = "PENDING"
    node: str = ""
    code: str = "0:0"
    ended: int = 0
    restarts: int = 0
    starts: int = 0
    shown: bool = True
    accounted: str = ""
    run: Run | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in _OVER

    @property
    def token(self) -> str:
        """The token of its attempt."""
        return self.submitted.token


class Cluster:
    """The nodes of a cluster and its jobs. `moods` maps faults of the controller to their ends."""

    def __init__(self, scenario: Scenario, timeline: Timeline, ledger: Ledger, runners: Runners) -> None:
        self.jobs: list[ClusterJob] = []
        self.moods: dict[str, int] = {}
        self._scenario = scenario
        self._chance = Chance(scenario.seed)
        self._timeline = timeline
        self._ledger = ledger
        self._runners = runners
        self._serial = 0

    def is_in(self, mood: str) -> bool:
        """Whether a fault lasts at the moment."""
        return self.moods.get(mood, 0) > self._timeline.now

    # -- the life of a job --------------------------------------------------------------------------------------------

    def add(self, job: ClusterJob) -> None:
        """Queue a job. It starts after a while."""
        self.jobs.append(job)
        dice = self._chance.of("wait", job.token, job.job_id)
        self._timeline.after(dice.choice([1, 1, 5, 30, 120]) * MINUTE, lambda: self._start(job))

    def _start(self, job: ClusterJob) -> None:
        """Start a job if it is pending."""
        if job.state != "PENDING" or job not in self.jobs:
            return
        job.state, job.node = "RUNNING", f"n{1 + sum(map(ord, job.job_id)) % _NODES}"
        job.starts += 1
        self._serial += 1
        study, owner = Path(job.submitted.study), (job.job_id, job.node, f"{job.node}-boot", str(self._serial))
        is_lost = job.submitted.is_array and not study.is_dir()  # the study was moved: there is no map of the array
        run = None if is_lost else self._runners.start_job(job.token, Path(job.submitted.workspace), owner, study)
        if run is None:
            self._end(job, "FAILED", "75:0")
            return
        job.run = run
        duration, code = self._runners.behaviour(job.token)
        limit = self._runners.walltime(job.token)
        if limit and limit < duration:
            self._timeline.after(limit, lambda: self._stop(job, run, "TIMEOUT", "timeout"))
        else:
            self._timeline.after(duration, lambda: self._exit(job, run, code))

    def _exit(self, job: ClusterJob, run: Run, code: int) -> None:
        if self._ledger.finish(run, "exit", code):
            self._runners.report(f"{job.token}.exit.{code}")
            if job.run is run and not job.is_over:
                self._end(job, "FAILED" if code else "COMPLETED", f"{code}:0")

    def _stop(self, job: ClusterJob, run: Run, state: str, end: str) -> None:
        """End a running job with SIGTERM. The runner reports this."""
        if self._ledger.finish(run, end):
            if not self._scenario.accounting:  # it may be unknown why it was told to end
                self._ledger.hurt.add(job.token)
            self._runners.report(f"{job.token}.stopped.143")
            if job.run is run and not job.is_over:
                self._end(job, state, "0:15")

    def _end(self, job: ClusterJob, state: str, code: str = "0:0") -> None:
        job.state, job.code, job.ended = state, code, self._timeline.now

    def cancel(self, job: ClusterJob) -> None:
        """Cancel a job."""
        self._ledger.cancelled.add(job.token)
        if job.state == "RUNNING" and job.run:
            self._stop(job, job.run, "CANCELLED", "stopped")
        self._end(job, "CANCELLED", "0:15")

    # -- what happens to jobs -----------------------------------------------------------------------------------------

    def happen(self, kind: str, first: int, second: int) -> None:
        """Let something happen to one of the jobs, or to all of them."""
        if kind == "forgets":
            self.forget()
        elif kind == "loses all":
            self.lose_all(("PENDING", "CANCELLED")[second % 2])
        else:
            jobs = {"launch fails": self.pending(), "job cancelled": [*self.running(), *self.pending()]}
            among = jobs.get(kind, self.running())
            if among:
                self._hit(among[first % len(among)], kind)

    def _hit(self, job: ClusterJob, kind: str) -> None:
        if kind == "node is given up":
            self.give_up(job)
        elif kind == "requeue":
            self.requeue(job)
        elif kind == "job cancelled":
            self.cancel(job)
        else:
            state, code, end = {
                "node fails": ("NODE_FAIL", "0:0", "killed"),
                "preempt": ("PREEMPTED", "0:0", "killed"),
                "launch fails": ("FAILED", "0:0", "killed"),
                "memory": ("OUT_OF_MEMORY", "0:9", "memory"),
            }[kind]
            self.kill(job, state, code, end)

    def kill(self, job: ClusterJob, state: str, code: str = "0:0", end: str = "killed") -> None:
        """End a job without a report of its runner."""
        self._ledger.hurt.add(job.token)
        if job.run:
            self._ledger.finish(job.run, end)
        self._end(job, state, code)

    def give_up(self, job: ClusterJob) -> None:
        """Report that the node of a job has failed, although the job still runs."""
        self._ledger.excused.add(job.token)
        self._ledger.hurt.add(job.token)
        self._end(job, "NODE_FAIL")

    def requeue(self, job: ClusterJob) -> None:
        """Put a job back into the queue, in spite of --no-requeue. Its first run is killed."""
        self.kill(job, "PENDING")
        job.run, job.node = None, ""
        job.restarts += 1
        self._timeline.after(5 * MINUTE, lambda: self._start(job))

    def lose(self, job: ClusterJob) -> None:
        """Forget a job that was acknowledged. The accounts may list it as pending for ever."""
        self._ledger.hurt.add(job.token)
        job.shown, job.state, job.accounted = False, "CANCELLED", "PENDING"
        if sum(map(ord, job.token)) % 2:
            self.jobs.remove(job)

    def hide(self, job: ClusterJob) -> None:
        """Leave a job out of the queue for three minutes."""
        job.shown = False

        def show() -> None:
            job.shown = True

        self._timeline.after(3 * MINUTE, show)

    def forget(self) -> None:
        """Forget all jobs that have ended, in the accounts too."""
        self._ledger.hurt.update(job.token for job in self.jobs if job.is_over)
        self.jobs = [job for job in self.jobs if not job.is_over]

    def lose_all(self, accounted: str) -> None:
        """Start the controller without its state. All jobs end, and the accounts say this of them from now on."""
        for job in self.jobs:
            if not job.is_over:
                self.kill(job, "CANCELLED")
                job.shown, job.accounted = False, accounted

    # -- which jobs there are -----------------------------------------------------------------------------------------

    def running(self) -> list[ClusterJob]:
        """Return the jobs that run."""
        return [job for job in self.jobs if job.state == "RUNNING" and job.run]

    def pending(self) -> list[ClusterJob]:
        """Return the jobs that wait."""
        return [job for job in self.jobs if job.state == "PENDING"]

    def listed(self) -> Sequence[ClusterJob]:
        """Return the jobs in the queue. An ended job stays for a while. A blind controller lists no job."""
        oldest = self._timeline.now - self._scenario.min_job_age * SECOND
        listed = [job for job in self.jobs if job.shown and (not job.is_over or job.ended > oldest)]
        if not self.is_in("blind"):
            return listed
        self._ledger.excused.update(job.token for job in listed)
        self._ledger.hurt.update(job.token for job in listed)
        return []
