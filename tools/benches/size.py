"""A tick in small and in large studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from maestro_es.adapters.base import Adapters, Job, JobInfo, QueueEntry
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.submission import Accepted, Outcome
from maestro_es.poller.tick import tick
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.benches.studies import IN_FLIGHT, make_study
from tools.benches.timing import median
from tools.testbed.scheduler import FakeScheduler


class Idle(FakeScheduler):
    """A scheduler that accepts every job and never starts one, so that only our own cost is measured."""

    def submit(self, job: Job) -> Outcome:
        """Accept the job."""
        return Accepted(job.token)

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        """Report that all jobs are waiting."""
        return {step.token: JobInfo(JobState.PENDING) for step in steps}


def bench(place: Path) -> None:
    """A tick with nothing to do, creation and verification, at 1,000 and at 100,000 steps."""
    idle = Idle(place / "idle", grace_seconds=1e9)
    runtime = Runtime(adapters=lambda _batch, _host: Adapters(idle, idle))
    runtime = Runtime(host=runtime.host._replace(cores=IN_FLIGHT), adapters=runtime.adapters)
    costs = {}
    for steps in (1_000, 100_000):
        root = place / f"s{steps}"
        built = median(partial(make_study, root, steps, runtime), 1)
        with Session(root, runtime) as study:
            tick(study)
            costs[steps] = median(partial(tick, study), 21)
            checked = median(partial(verify, study.log), 1)
        figures = f"build {built:.2f} s, tick {costs[steps] * 1e3:.2f} ms, verify {checked:.2f} s"
        print(f"size    {steps:>7} steps: {figures}")
    print(f"size    tick at 100,000 steps against 1,000: ratio {costs[100_000] / costs[1_000]:.2f} (goal 1.15)")
