"""One trial of the crash matrix: a study on a cluster, a fault that hits it again and again, and what came of it.

    python -m tools.crash_matrix.trial FOLDER    reads a `Task` as JSON on standard input, prints a `Row` as JSON

A process of its own, so that it can fork ticks, change its environment, and be given up if it hangs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from maestro_es.core.model import Phase, State, StepRecord, StudyStatus
from maestro_es.drivers.cron_tick import TRY_AGAIN
from maestro_es.study.layout import StudyDir
from maestro_es.study.session import Session
from tools.crash_matrix import ticks
from tools.crash_matrix.calls import Point
from tools.crash_matrix.study import Outcome, clean_environment, create, judge, thirty_steps, waiting_for
from tools.crash_matrix.ticks import How
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.daemons import descendants
from tools.testbed.processes import arguments, running_under, send

#: Seconds that a study may take; a hundred times what it takes.
DEADLINE = 240.0


@dataclass
class Task:
    """What a trial has to do: a fault, on a cluster, with dice thrown by a seed.

    Kills at calls are at these `points` of a `scene`. The program can be broken by `sabotage`, and the study is small
    then. It may take so many `seconds`.
    """

    fault: str
    cluster: str
    seed: int
    scene: str = ""
    sabotage: str = ""
    seconds: float = DEADLINE
    points: list[Point] = field(default_factory=list)


@dataclass
class Row:
    """What came of a trial: how often the fault really happened, where (details), and what became of the studies.

    `hits` are the points of a scene at which it did, `missed` those where it was to, and did not; `absent` are those
    of them that the tick ended without. `ticks` are the calls of ticks to which nothing happened.
    """

    fault: str
    seed: int
    scene: str = ""
    tried: int = 0
    details: dict[str, int] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    studies: int = 1
    hits: list[Point] = field(default_factory=list)
    missed: list[Point] = field(default_factory=list)
    absent: list[Point] = field(default_factory=list)
    ticks: list[list[Point]] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


class Trial:
    """A study under a fault: `tried` counts how often the fault happened, `details` where."""

    def __init__(self, folder: Path, cluster: Cluster, task: Task, *, fast: bool, seconds: float) -> None:
        self.folder = folder
        self.cluster = cluster
        self.task = task
        self.dice = random.Random(task.seed)  # noqa: S311 - no secret
        self.dir = StudyDir(folder / "study")
        self.root = self.dir.root
        self.ledger = folder / "ledger"
        self.tried = 0
        self.details: Counter[str] = Counter()
        self.expected: dict[str, State] = {}
        self.parts: Sequence[Trial] = [self]
        self.hits: list[Point] = []
        self.missed: list[Point] = []
        self.absent: list[Point] = []
        self.ticks: list[list[Point]] = []
        self.how = How()
        self.steps = thirty_steps(self.ledger, seconds=seconds, slow_on_cluster=fast)
        self._end = time.monotonic() + task.seconds
        os.environ.update(clean_environment(folder), SLURM_CONF=str(cluster.conf))

    def create(self) -> None:
        """Make the study."""
        create(self.root, self.steps)

    def hit(self, where: str = "") -> None:
        """Count that the fault has happened."""
        self.tried += 1
        if where:
            self.details[where] += 1

    def running(self) -> bool:
        """Whether the study has not ended yet, and there is time left."""
        with Session(self.root) as study:
            return study.status is StudyStatus.RUNNING and time.monotonic() < self._end

    def tick(self, how: How | None = None) -> int:
        """Make a tick; returns its exit code."""
        code = ticks.wait(ticks.start(self.root, how or self.how))
        allowed = (0, 1, TRY_AGAIN, ticks.LOST_RACE)
        if code not in allowed:
            raise AssertionError(f"a tick ended with {code}")
        return code

    def drive(self, between: Callable[[], None] = lambda: None, pause: float = 0.05) -> None:
        """Tick to the end of the study."""
        while self.running():
            self.tick()
            between()
            time.sleep(pause)

    def in_flight(self) -> list[StepRecord]:
        """Return the steps that have an attempt under way."""
        with Session(self.root) as study:
            return list(study.graph.in_flight())

    def jobs(self, *, running: bool = True) -> list[StepRecord]:
        """Return the steps whose job is known to the log, and runs if that is wanted."""
        return [
            step
            for step in self.in_flight()
            if step.scheduled and step.phase is Phase.SUBMITTED and (step.state is State.RUNNING or not running)
        ]

    def slurm_state(self, job_id: str) -> str:
        """Return what Slurm says of a job."""
        return self.cluster.run("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T").stdout.strip()

    def replace_sbatch(self, script: str) -> Path:
        """Put a program in the place of sbatch, before the study is made; returns its directory.

        It finds the real one as $real, its own directory as $here, and takes a file away from a directory with `take`.
        """
        folder = self.folder / "bin"
        folder.mkdir()
        real = next(Path(place, "sbatch") for place in os.environ["PATH"].split(":") if Path(place, "sbatch").exists())
        (folder / "sbatch").write_text(
            f"#!/bin/sh\nreal={real} here={folder}\n"
            'take() {\n  for found in "$1"/*; do rm "$found" 2>/dev/null && found=${found##*/} && return; done\n'
            "  false\n}\n"
            f"{script}\n"
        )
        (folder / "sbatch").chmod(0o755)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        return folder

    def background(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start a command against the cluster, and don't wait for it."""
        return subprocess.Popen(
            list(map(str, words)), env=self.cluster.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def expect(self, name: str, state: State) -> None:
        """Say that a step will end otherwise than FINISHED, and that what waits for it will, too."""
        for step in (name, *waiting_for(self.steps, name)):
            self.expected[step] = state

    def settle(self, seconds: float = 30) -> None:
        """Wait until nothing of the study is in the queue or runs: what starts late is to be seen, too."""
        end = time.monotonic() + seconds
        while self._remains():
            if time.monotonic() > end:
                raise AssertionError(f"still there: {self._remains()}")
            time.sleep(0.1)

    def _remains(self) -> list[str]:
        queued = self.cluster.run("squeue", "-h", "-t", "pending,running", "-o", "%i %T %Z").stdout
        here = [line for line in queued.splitlines() if f"{self.root}/" in f"{line}/"]
        return here + [str(arguments(pid)) for pid in running_under(self.root)]

    def row(self) -> Row:
        """Judge the study, or the parts that take its place, once all is quiet."""
        outcome = Outcome()
        for part in self.parts:
            part.settle()
            outcome += judge(part.root, part.ledger, part.expected)
        return replace(self.unjudged(), studies=len(self.parts), outcome=asdict(outcome))

    def unjudged(self, error: str = "") -> Row:
        """Return what is known before the study is judged."""
        return Row(
            self.task.fault, self.task.seed, self.task.scene, self.tried, dict(self.details), hits=self.hits,
            missed=self.missed, absent=self.absent, ticks=self.ticks, error=error,
        )  # fmt: skip


def run(folder: Path, task: Task) -> Row:
    """Make a trial."""
    from tools.crash_matrix.faults import FAULTS  # noqa: PLC0415 - faults are written in terms of trials
    from tools.crash_matrix.sabotage import SABOTAGES, small_study  # noqa: PLC0415 - so is this

    fault = FAULTS[task.fault]
    began = time.monotonic()
    own = None if task.cluster else Cluster.start(folder / "slurm", fault.options)
    try:
        cluster = own or Cluster.load(Path(task.cluster))
        trial = Trial(folder, cluster, task, fast=fault.options.ctld_speed > 1, seconds=fault.seconds)
        if task.sabotage:
            trial.steps = small_study(trial)
            trial.how = replace(trial.how, sabotage=SABOTAGES[task.sabotage].breaks(trial))
        try:
            fault.play(trial)
            row = trial.row()
        except Exception:  # noqa: BLE001 - the others are to be heard, too
            row = trial.unjudged(traceback.format_exc())
        row.seconds = time.monotonic() - began
        return row
    finally:
        if own:
            own.stop()
        for pid in descendants(os.getpid()):  # a tick that hangs, of a trial that has broken off
            send(pid, signal.SIGKILL)


def main() -> None:
    """Do what standard input says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asked = json.load(sys.stdin)
    asked["points"] = [Point(**point) for point in asked["points"]]
    print(json.dumps(asdict(run(Path(sys.argv[1]), Task(**asked)))))


if __name__ == "__main__":
    main()
