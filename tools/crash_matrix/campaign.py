"""Runs a campaign: many trials of many faults in parallel, until each fault has happened often enough."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.crash_matrix.calls import Point
from tools.crash_matrix.coverage import Cell, Coverage
from tools.crash_matrix.faults import FAST, FAULTS, SURVEY
from tools.crash_matrix.scenes import scenes_of
from tools.crash_matrix.schedulers import find_scheduler
from tools.crash_matrix.trial import DEADLINE, Row, Task
from tools.kill_matrix.clusters import running
from tools.slurm_cluster.cluster import Cluster

REPOSITORY = Path(__file__).parents[2]

#: The kind of scheduler that the faults are made for.
SLURM = "slurm"

#: After this number of studies in a row that did not meet their fault, the campaign gives up the fault.
_IN_VAIN = 8
#: Each fault is tried this often before any fault is tried more often.
_ENOUGH = 24
#: How many clusters run at the same time, in addition to the shared one.
_CLUSTERS = 2


@dataclass
class Tally:
    """The results for one fault: how many studies it has hit, how often, and which promises were broken.

    `no_verdict` counts trials that were interrupted, so that nothing is known about their study. `coverage` is for
    faults that hit each call of each scene.
    """

    words: str
    studies: int = 0
    tried: int = 0
    lost: int = 0
    doubled: int = 0
    wrongly_failed: int = 0
    broken: int = 0
    no_verdict: int = 0
    beside: int = 0
    adopted: int = 0
    given_up: int = 0
    reused_ids: int = 0
    details: dict[str, int] = field(default_factory=dict)
    coverage: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Add the result of a study."""
        outcome = row.outcome
        self.studies += row.studies
        self.tried += row.tried
        self.details = dict(Counter(self.details) + Counter(row.details))
        self.no_verdict += bool(row.error)
        self.broken += bool(outcome.get("broken"))
        self.lost += len(outcome.get("lost", ()))
        self.doubled += len(outcome.get("doubled", ()))
        self.wrongly_failed += len(outcome.get("wrongly_failed", ()))
        self.beside += len(outcome.get("beside", ()))
        self.adopted += outcome.get("adopted", 0)
        self.reused_ids += outcome.get("reused_ids", 0)
        self.given_up += outcome.get("events", {}).get("AttemptAbandoned", 0)

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.wrongly_failed or self.broken or self.no_verdict)


class Campaign:
    """Runs trials in a folder. The files of failed trials stay there, with their rows.

    If the folder has rows already, the campaign continues from them. Then it needs another seed. It uses Slurm, or
    another `kind` of scheduler, and all of its scenes, or only some `scenes`.
    """

    def __init__(
        self,
        folder: Path,
        goals: Mapping[str, int],
        *,
        workers: int,
        seed: int,
        minutes: float,
        arrays: bool = False,
    ) -> None:
        self.folder = folder
        self.kind = SLURM
        self.scenes: Sequence[str] = ()
        self._arrays = arrays
        self.goals = dict(goals)
        self.tallies = {name: Tally(FAULTS[name].words) for name in goals}
        self.say: Callable[[str], None] = lambda _line: None
        self._seed = seed
        self._surveyed: set[str] = set()
        self._seeds = itertools.count(seed * 100_000)
        self._coverage = {name: Coverage() for name in goals if FAULTS[name].calls}
        self._going: Counter[str] = Counter()
        self._vain: Counter[str] = Counter()
        self._workers = workers
        self._lock = threading.Lock()
        self._end = time.monotonic() + minutes * 60
        self._scheduler = ""
        #: The name and version of the scheduler.
        self.version = ""

    def run(self) -> dict[str, Tally]:
        """Run the campaign to its end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shared = [name for name in self.goals if not FAULTS[name].alone]
        alone = [name for name in self.goals if FAULTS[name].alone]
        self._recall()
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(self._workers + _CLUSTERS) as pool:
            others = [pool.submit(self._work, alone) for _ in range(_CLUSTERS)]
            self._scheduler = stack.enter_context(self._shared()) if shared else ""
            scenes = scenes_of(find_scheduler(self._scheduler, fast=True)) if self._coverage else []
            scenes = [scene for scene in scenes if not self.scenes or scene in self.scenes]
            list(pool.map(self._survey, [scene for scene in scenes if scene not in self._surveyed]))
            others += [pool.submit(self._work, shared) for _ in range(self._workers)]
            for other in others:
                other.result()
        for name, coverage in self._coverage.items():
            cells = coverage.cells()
            self.tallies[name].coverage = {scene: cells[scene] for scene in scenes if cells.get(scene)}
        return self.tallies

    @contextlib.contextmanager
    def _shared(self) -> Iterator[str]:
        """Have a scheduler that most faults share. Yields its name."""
        folder = self.folder / f"{self.kind}-{self._seed}"
        if self.kind != SLURM:
            with running(self.kind, folder) as scheduler:
                self.version = scheduler.version()
                yield self.kind
            return
        cluster = Cluster.start(folder, FAST)
        try:
            yield str(cluster.folder)
        finally:
            cluster.stop()

    def _recall(self) -> None:
        """Add the rows that an earlier campaign has left in the folder."""
        notes = self.folder / "rows.jsonl"
        for row in map(read_row, notes.read_text().splitlines() if notes.exists() else ()):
            if row.fault == SURVEY:
                self._learn(row)
            elif row.fault in self.tallies:
                self.tallies[row.fault].add(row)
                if row.scene:
                    self._coverage[row.fault].settle(row.scene, (), row)

    def _work(self, names: list[str]) -> None:
        """Run one trial after the other. Each takes the fault with the least progress."""
        while time.monotonic() < self._end:
            with self._lock:
                left = [name for name in names if self._remains(name)]
                free = [name for name in left if self._going[name] < FAULTS[name].lanes]
                name = min(free, key=self._progress, default="")
                self._going[name] += 1
                scene, points = self._take_points(name) if name in self._coverage else ("", [])
            if not left:
                return
            if not name or (name in self._coverage and not points):
                time.sleep(0.2)
            else:
                row = self._trial(name, scene, points)
                self._vain[name] = 0 if row.tried or row.missed else self._vain[name] + 1
            with self._lock:
                self._going[name] -= 1

    def _remains(self, name: str) -> bool:
        enough = self.tallies[name].tried >= self.goals[name] or self._vain[name] >= _IN_VAIN
        return not enough and (name not in self._coverage or self._coverage[name].remains)

    def _take_points(self, name: str) -> tuple[str, list[Point]]:
        return self._coverage[name].take(self.goals[name] - self.tallies[name].tried)

    def _progress(self, name: str) -> tuple[bool, bool, float]:
        """Return the progress of a fault: whether it suffices, and a number. Trials that still run count as successes.

        Faults with untried calls that change something come first, because the number of these calls is limited.
        """
        tried = self.tallies[name].tried + self._going[name]
        enough, coverage = tried >= _ENOUGH, self._coverage.get(name)
        return enough, enough and not (coverage and coverage.urgent), tried / self.goals[name]

    def _survey(self, scene: str) -> None:
        """Find out which calls the tick of a scene makes."""
        self._learn(self._trial(SURVEY, scene, []))

    def _learn(self, row: Row) -> None:
        self._surveyed.add(row.scene)
        for name, coverage in self._coverage.items():
            wanted = FAULTS[name].calls or (lambda _: False)
            coverage.survey(row.scene, [list(filter(wanted, tick)) for tick in row.ticks])

    # -- one trial ---------------------------------------------------------------------------------------------------

    def _trial(self, name: str, scene: str = "", points: Sequence[Point] = ()) -> Row:
        """Run a trial in a process with its own mounts."""
        with self._lock:
            seed = next(self._seeds)
        folder = self.folder / f"{name}-{seed}"
        folder.mkdir()
        scheduler = "" if FAULTS[name].alone else self._scheduler
        task = Task(name, scheduler, seed, scene, points=list(points), arrays=self._arrays)
        argv = ["unshare", "--mount", sys.executable, "-m", "tools.crash_matrix.trial", str(folder)]
        row = Row(name, seed, scene)
        try:
            done = subprocess.run(
                argv, input=json.dumps(asdict(task)), capture_output=True, text=True, cwd=REPOSITORY,
                timeout=DEADLINE + 120, check=False,
            )  # fmt: skip
            row = read_row(done.stdout) if done.returncode == 0 else row
            row.error = row.error or (done.stderr if done.returncode else "")
            (folder / "stderr").write_text(done.stderr)
        except subprocess.TimeoutExpired:
            row.error = "the trial hangs"
        self._take(task, row, folder)
        return row

    def _take(self, task: Task, row: Row, folder: Path) -> None:
        name = task.fault
        with self._lock:
            if task.points:
                self._coverage[name].settle(task.scene, task.points, row)
            with (self.folder / "rows.jsonl").open("a") as rows:
                rows.write(json.dumps(asdict(row)) + "\n")
            tally = self.tallies.get(name) or Tally(name)
            tally.add(row)
            if row.error:
                self.tallies.setdefault(name, tally)
            bad = row.error or any(row.outcome.get(key) for key in ("lost", "doubled", "wrongly_failed", "broken"))
        word = "BROKEN, see " + str(folder) if bad else "good"
        self.say(
            f"{name} {task.scene} {row.seed}: {row.tried} times in {row.seconds:.0f} s, {word}; {tally.tried} in all"
        )
        if not bad:
            shutil.rmtree(folder, ignore_errors=True)


def read_row(text: str) -> Row:
    """Parse the output of a trial."""
    said: dict[str, Any] = json.loads(text)
    for key in ("hits", "missed", "absent"):
        said[key] = [Point(**point) for point in said[key]]
    said["ticks"] = [[Point(**point) for point in tick] for tick in said["ticks"]]
    return Row(**said)


def workers_here() -> int:
    """Return how many studies may run at once. They wait most of the time."""
    return 2 * (os.cpu_count() or 1)
