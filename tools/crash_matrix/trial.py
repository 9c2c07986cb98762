"""Runs one trial of the crash matrix: a study on a scheduler, which one fault hits again and again.

    python -m tools.crash_matrix.trial FOLDER reads a `Task` as JSON on standard input, prints a `Row` as JSON

A trial is a process of its own. So it can fork ticks and change its environment, and it can be killed if it hangs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
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
from tools.crash_matrix.schedulers import SlurmOfTrials, TrialScheduler, find_scheduler
from tools.crash_matrix.study import Outcome, clean_environment, create, judge, thirty_steps, waiting_for
from tools.crash_matrix.ticks import How
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.daemons import descendants
from tools.testbed.processes import arguments, running_under, send

#: The time limit of a study in seconds, several hundred times its normal duration.
DEADLINE = 900.0


@dataclass
class Task:
    """The task of a trial: a fault, the name of a scheduler (empty: a Slurm cluster of its own) and a random seed.

    Kills at calls happen at these `points` of a `scene`. With `sabotage`, the program is broken and the study is
    small. `seconds` is the time limit.
    """

    fault: str
    scheduler: str
    seed: int
    scene: str = ""
    sabotage: str = ""
    seconds: float = DEADLINE
    points: list[Point] = field(default_factory=list)
    arrays: bool = False


@dataclass
class Row:
    """The result of a trial: how often and where (`details`) the fault happened, and the outcome of the studies.

    `hits` are the points of a scene at which the fault happened. `missed` are the points that it did not hit. `absent`
    are the missed points whose calls the tick did not make. `ticks` are the calls of ticks that were not attacked.
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
    """A study under a fault. `tried` counts how often the fault happened, and `details` where."""

    def __init__(self, folder: Path, scheduler: TrialScheduler, task: Task, *, seconds: float) -> None:
        self.folder = folder
        self.scheduler = scheduler
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
        self.steps = thirty_steps(self.ledger, seconds=seconds, walltime=scheduler.walltime)
        self._end = time.monotonic() + task.seconds
        os.environ.update(clean_environment(folder) | scheduler.variables())

    def create(self) -> None:
        """Create the study."""
        create(self.root, self.steps, self.scheduler.batch, self.scheduler.keys, arrays=self.task.arrays)

    def hit(self, where: str = "") -> None:
        """Count that the fault has happened."""
        self.tried += 1
        if where:
            self.details[where] += 1

    def running(self) -> bool:
        """Return whether the study has not ended yet and time is left."""
        with Session(self.root) as study:
            return study.status is StudyStatus.RUNNING and time.monotonic() < self._end

    def tick(self, how: How | None = None) -> int:
        """Run a tick. Returns its exit code."""
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
        """Return the steps with an attempt in flight."""
        with Session(self.root) as study:
            return list(study.graph.in_flight())

    def jobs(self, *, running: bool = True) -> list[StepRecord]:
        """Return the steps whose job is recorded in the log. With `running`, the job must run."""
        return [
            step
            for step in self.in_flight()
            if step.scheduled and step.phase is Phase.SUBMITTED and (step.state is State.RUNNING or not running)
        ]

    @property
    def cluster(self) -> Cluster:
        """The Slurm cluster."""
        assert isinstance(self.scheduler, SlurmOfTrials)
        return self.scheduler.cluster

    def slurm_state(self, job_id: str) -> str:
        """Return Slurm's state of a job."""
        assert isinstance(self.scheduler, SlurmOfTrials)
        return self.scheduler.state(job_id)

    def replace_client(self, script: str, client: str = "sbatch") -> Path:
        """Replace a command that submits by a script, before the study is created. Returns the script's directory.

        In the script, $real is the real command, $here is its own directory, `traced` runs the real command under
        $TRACER, and `take` moves a file out of a directory. The second and third words of a client are its subcommand.
        """
        folder = self.folder / "bin"
        folder.mkdir()
        name = client.partition(" ")[0]
        (folder / name).write_text(
            f"#!/bin/sh\nreal={shutil.which(name)} here={folder}\n"
            f'case "{name} $* " in "{client} "*) ;; *) exec "$real" "$@" ;; esac\n'
            f"traced() {{ {self.scheduler.traced}; }}\n"
            'take() {\n  for found in "$1"/*; do rm "$found" 2>/dev/null && found=${found##*/} && return; done\n'
            "  false\n}\n"
            f"{script}\n"
        )
        (folder / name).chmod(0o755)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        return folder

    def background(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start a command of the cluster without waiting for it."""
        return subprocess.Popen(
            list(map(str, words)), env=self.cluster.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def expect(self, name: str, state: State) -> None:
        """Expect that a step, and the steps that depend on it, end in another state than FINISHED."""
        for step in (name, *waiting_for(self.steps, name)):
            self.expected[step] = state

    def settle(self, seconds: float = 120) -> None:
        """Wait until no job of the study is in the queue and no process runs, so that late starts are seen, too."""
        end = time.monotonic() + seconds
        while self._remains():
            if time.monotonic() > end:
                raise AssertionError(f"still there: {self._remains()}")
            time.sleep(0.1)

    def _remains(self) -> list[str]:
        return self.scheduler.remaining(self.root) + [str(arguments(pid)) for pid in running_under(self.root)]

    def row(self) -> Row:
        """Judge the study, or the parts that replace it, after everything has ended."""
        outcome = Outcome()
        for part in self.parts:
            part.settle()
            outcome += judge(part.root, part.ledger, part.expected)
        return replace(self.unjudged(), studies=len(self.parts), outcome=asdict(outcome))

    def unjudged(self, error: str = "") -> Row:
        """Return the row of a study that could not be judged."""
        return Row(
            self.task.fault, self.task.seed, self.task.scene, self.tried, dict(self.details), hits=self.hits,
            missed=self.missed, absent=self.absent, ticks=self.ticks, error=error,
        )  # fmt: skip


def run(folder: Path, task: Task) -> Row:
    """Run a trial."""
    from tools.crash_matrix.faults import FAULTS  # noqa: PLC0415 - faults are written in terms of trials
    from tools.crash_matrix.sabotage import SABOTAGES, small_study  # noqa: PLC0415 - so is this

    fault = FAULTS[task.fault]
    began = time.monotonic()
    own = None if task.scheduler else Cluster.start(folder / "slurm", fault.options)
    try:
        scheduler = find_scheduler(task.scheduler or str(folder / "slurm"), fast=fault.options.ctld_speed > 1)
        trial = Trial(folder, scheduler, task, seconds=fault.seconds)
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
        for pid in descendants(os.getpid()):  # a hanging tick of an interrupted trial
            send(pid, signal.SIGKILL)


def main() -> None:
    """Run the task on standard input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asked = json.load(sys.stdin)
    asked["points"] = [Point(**point) for point in asked["points"]]
    print(json.dumps(asdict(run(Path(sys.argv[1]), Task(**asked)))))


if __name__ == "__main__":
    main()
