"""Jobs of a study that the real Maestro submitted, with a queue of our own, and that are adopted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from maestro_es.adapters.base import Adapters, JobInfo, QueueEntry
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core import events as e
from maestro_es.core.attempt_token import is_imported
from maestro_es.core.model import JobState, Phase, Settings, State, StepRecord, StudyStatus
from maestro_es.core.observations import Claim
from maestro_es.creation.import_maestro import Import, ImportOptions, carry_out, plan_import
from maestro_es.errors import RequestRefused, StudyError, Unreachable
from maestro_es.study.invocation import Runtime
from tests.fakes.maestro import kill_conductor, launch, states
from tools.testbed.processes import wait_for
from tools.testbed.scheduler import FakeScheduler
from tools.testbed.studies import Bench

pytest.importorskip("maestrowf", reason="makes its studies with Maestro itself")
pytestmark = pytest.mark.xdist_group("import")

SPEC = """
description: {name: jobs, description: d}
batch: {type: slurm, host: here, bank: b, queue: q}
study:
    - {name: done, description: d, run: {cmd: 'true', nodes: 1, procs: 1}}
    - {name: runs, description: d, run: {cmd: 'true', nodes: 1, procs: 1}}
    - {name: gone, description: d, run: {cmd: 'true', nodes: 1, procs: 1}}
    - {name: after, description: d, run: {cmd: 'true', depends: [runs, done, gone]}}
"""

#: They do what Maestro asks of them: hand out numbers, and list what the test says.
PROGRAMS = {
    "sbatch": 'echo x >>"$QUEUE/count"; n=$(wc -l <"$QUEUE/count"); echo "$n $3" >>"$QUEUE/jobs"; echo "job $n"',
    "squeue": 'echo "JOBID|STATE NODELIST|REASON|COMMAND"; cat "$QUEUE/list"',
    "sacct": "exit 1",
}


class Queue(FakeScheduler):
    """A scheduler that also has jobs of Maestro's, which carry no token.

    `theirs` is what it says of them by id, `remembered` what its accounts say.
    """

    def __init__(self, folder: Path, theirs: Mapping[str, JobState], remembered: Mapping[str, JobState]) -> None:
        super().__init__(folder)
        self._theirs = theirs
        self._remembered = remembered

    def query_queue(
        self, steps: Sequence[StepRecord], claims: Mapping[str, Claim], listed: Sequence[QueueEntry] | None = None
    ) -> dict[str, JobInfo]:
        seen = super().query_queue(steps, claims, listed)
        for step in steps:
            if is_imported(step.token):
                state = self._theirs.get(step.job_id, JobState.GONE)
                seen[step.token] = JobInfo(state, f"their job {step.job_id} is {state.value}", None, step.job_id)
        return seen

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        return {
            step.token: JobInfo(self._remembered.get(step.job_id, JobState.GONE), "by the accounts") for step in steps
        }


@dataclass
class World:
    """A study of Maestro's, its jobs by step, and what the queue says of them."""

    root: Path
    folder: Path
    jobs: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, JobState] = field(default_factory=dict)
    remembered: dict[str, JobState] = field(default_factory=dict)

    @property
    def runtime(self) -> Runtime:
        def make(batch: Mapping[str, Any], host: Host) -> Adapters:
            return Adapters(Queue(self.folder, self.theirs, self.remembered), LocalAdapter(batch, host))

        return Runtime(adapters=make)

    @property
    def bench(self) -> Bench:
        return Bench(self.root, runtime=self.runtime, adapter={"type": "fake", "folder": str(self.folder)})

    def say(self, step: str, state: JobState) -> None:
        self.theirs[self.jobs[step]] = state

    def plan(self) -> Import:
        return plan_import(self.root, ImportOptions(Settings(restart_limit=1)), self.runtime)

    def take_over(self) -> Bench:
        carry_out(self.plan(), self.runtime)
        return self.bench


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A study of Maestro's with a job of each kind, whose conductor is dead."""
    queue = tmp_path / "queue"
    programs = tmp_path / "bin"
    for folder in (queue, programs):
        folder.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (queue / "list").touch()
    (tmp_path / "study.yaml").write_text(SPEC)
    root = tmp_path / "study"
    launch(
        tmp_path / "study.yaml",
        root,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "QUEUE": str(queue), "USER": "me"},
    )
    wait_for(lambda: len(_submitted(queue)) == 3)
    jobs = _submitted(queue)
    rows = {"done": "CD", "runs": "R", "gone": "PD"}
    (queue / "list").write_text("".join(f"{jobs[step]} {step} me {state}\n" for step, state in rows.items()))
    expected = {"done": "FINISHED", "runs": "RUNNING", "gone": "PENDING", "after": "INITIALIZED"}
    wait_for(lambda: states(root) == expected)
    kill_conductor(root)
    world = World(root, tmp_path / "scheduler", jobs)
    world.say("runs", JobState.RUNNING)
    return world


def _submitted(queue: Path) -> dict[str, str]:
    try:
        lines = (queue / "jobs").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {Path(line.split()[1]).name.partition(".")[0]: line.split()[0] for line in lines}


def test_a_job_that_runs_is_adopted_and_no_other_is_submitted_for_it(world: World):
    bench = world.take_over()
    assert bench.step("runs").phase is Phase.SUBMITTED
    [submitted] = bench.events(e.JobSubmitted)
    assert (submitted.job_id, submitted.adopted) == (world.jobs["runs"], True)
    assert [said.source for said in submitted.evidence] == ["imported", "queue"]

    bench.until(lambda: bench.step("runs").state is State.RUNNING)
    world.say("runs", JobState.FINISHED)
    bench.until(lambda: bench.step("runs").state is State.FINISHED)

    assert len(bench.events(e.SubmissionRequested, "runs")) == 1
    assert (bench.step("done").state, bench.step("done").job_id) == (State.FINISHED, world.jobs["done"])
    bench.check()


def test_a_job_that_is_gone_is_submitted_again_and_the_study_ends(world: World):
    world.say("runs", JobState.FINISHED)
    bench = world.take_over()
    bench.scheduler.switch("autostart")

    assert bench.finish() is StudyStatus.FINISHED

    assert [job.token for job in bench.scheduler.jobs()] == [bench.step("gone").token]
    assert not bench.events(e.SubmissionRequested, "done")
    bench.check()


@pytest.mark.parametrize(
    ("says", "state"),
    [
        (JobState.FAILED, State.FAILED),
        (JobState.CANCELLED, State.CANCELLED),
        (JobState.TIMED_OUT, State.TIMEDOUT),
        (JobState.OUT_OF_MEMORY, State.FAILED),
    ],
)
def test_an_adopted_job_that_ends_badly_ends_its_step(world: World, says: JobState, state: State):
    bench = world.take_over()
    world.say("runs", says)

    bench.until(lambda: bench.step("runs").state is state)

    assert len(bench.events(e.SubmissionRequested, "runs")) == 1


def test_an_adopted_job_that_vanishes_is_made_good_like_any_other(world: World):
    bench = world.take_over()
    world.theirs.clear()

    bench.until(lambda: len(bench.events(e.SubmissionRequested, "runs")) == 2)

    [failure] = bench.events(e.HardwareFailed, "runs")
    assert (failure.number, failure.limit) == (1, 3)


def test_a_job_that_ended_long_ago_is_known_from_the_accounts(world: World):
    world.theirs.clear()
    world.remembered.update({world.jobs["runs"]: JobState.FINISHED, world.jobs["gone"]: JobState.FINISHED})
    bench = world.take_over()

    bench.until(lambda: bench.step("runs").state is State.FINISHED and bench.step("gone").state is State.FINISHED)

    assert len(bench.events(e.SubmissionRequested, "runs")) == 1
    assert not bench.scheduler.jobs()


@pytest.mark.parametrize("effect", ["append", "rename"])
def test_a_take_over_that_dies_half_way_has_happened_or_not(world: World, effect: str):
    def die(done: str) -> None:
        if done == effect:
            raise KeyboardInterrupt

    planned = world.plan()
    with pytest.raises(KeyboardInterrupt):
        carry_out(planned, structs.replace(world.runtime, on_effect=die))

    if effect == "append":
        assert not (world.root / "events.db").exists()
        world.take_over()
    assert world.bench.step("runs").phase is Phase.SUBMITTED
    world.bench.check()


def test_nothing_is_decided_when_the_scheduler_does_not_answer(world: World):
    Queue(world.folder, {}, {}).switch("unreachable")

    with pytest.raises(Unreachable):
        world.plan()

    assert not (world.root / "events.db").exists()


def test_a_job_whose_number_maestro_did_not_write_down_is_not_submitted_twice(world: World):
    table = (world.root / "status.csv").read_text()
    lines = [line.replace("runs,2,", "runs,--,").replace("RUNNING", "PENDING") for line in table.split("\n")]
    (world.root / "status.csv").write_text("\n".join(lines))

    with pytest.raises(StudyError, match="runs: Maestro's conductor died while it submitted this step"):
        world.plan()


def test_a_scheduler_that_can_not_be_used_yet_is_refused(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Queue, "can_submit", False)

    with pytest.raises(RequestRefused, match="can't submit jobs to fake yet, and can't query it"):
        world.plan()
