"""A campaign: many trials of many faults, side by side, until each fault has happened as often as is wanted."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.matrix.faults import FAST, FAULTS, SURVEY
from tests.crash.matrix.ticks import Point
from tests.crash.matrix.trial import DEADLINE, Row, Task
from tests.slurm.cluster import Cluster

REPOSITORY = Path(__file__).parents[3]

#: How many points of each phase a study gets at once; what it does not come to is another's.
_SHARE = 14
#: How many studies in a row may see nothing of their fault before it is given up.
_IN_VAIN = 8
#: The fault whose kills are planned: at each call of each phase once, before any is tried again.
PLANNED = "tick-killed"


@dataclass
class Tally:
    """What is known of one fault: how many studies it has hit, how often, and what promises were broken.

    `no_verdict` counts trials that broke off, so that nothing is known of their study.
    """

    words: str
    studies: int = 0
    tried: int = 0
    lost: int = 0
    doubled: int = 0
    wrongly_failed: int = 0
    broken: int = 0
    no_verdict: int = 0
    adopted: int = 0
    given_up: int = 0
    reused_ids: int = 0
    details: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Take in a study."""
        outcome = row.outcome
        self.studies += 1
        self.tried += row.tried
        self.details = dict(Counter(self.details) + Counter(row.details))
        self.no_verdict += bool(row.error)
        self.broken += bool(outcome.get("broken"))
        self.lost += len(outcome.get("lost", ()))
        self.doubled += len(outcome.get("doubled", ()))
        self.wrongly_failed += len(outcome.get("wrongly_failed", ()))
        self.adopted += outcome.get("adopted", 0)
        self.reused_ids += outcome.get("reused_ids", 0)
        self.given_up += outcome.get("events", {}).get("AttemptAbandoned", 0)

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.wrongly_failed or self.broken or self.no_verdict)


class Campaign:
    """Runs trials in a folder. What went wrong stays there, with the row that says what."""

    def __init__(self, folder: Path, goals: Mapping[str, int], *, workers: int, seed: int, minutes: float) -> None:
        self.folder = folder
        self.goals = dict(goals)
        self.tallies = {name: Tally(FAULTS[name].words) for name in goals}
        self.say: Callable[[str], None] = lambda _line: None
        self._seed = seed
        self._seeds = iter(range(seed * 100_000, 10**9))
        self._points: dict[str, list[Point]] = {}
        self._shared = threading.Semaphore(workers)
        self._alone = threading.Semaphore(2)
        self._lock = threading.Lock()
        self._end = time.monotonic() + minutes * 60
        self._cluster = ""

    def run(self) -> dict[str, Tally]:
        """Run it to its end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shared = any(not FAULTS[name].alone for name in self.goals)
        cluster = Cluster.start(self.folder / "slurm", FAST) if shared else None
        try:
            self._cluster = str(cluster.folder) if cluster else ""
            if PLANNED in self.goals:
                self._survey()
            lanes = [name for name in self.goals for _ in range(FAULTS[name].lanes)]
            with ThreadPoolExecutor(len(lanes)) as pool:
                list(pool.map(self._lane, lanes))
        finally:
            if cluster:
                cluster.stop()
        return self.tallies

    def _lane(self, name: str) -> None:
        """Make one trial of a fault after the other."""
        vain = 0
        while self.tallies[name].tried < self.goals[name] and vain < _IN_VAIN and time.monotonic() < self._end:
            with self._alone if FAULTS[name].alone else self._shared:
                row = self._trial(name, self._share() if name == PLANNED else {})
            vain = 0 if row.tried else vain + 1

    # -- where ticks are killed --------------------------------------------------------------------------------------

    def _survey(self) -> None:
        """Find out which calls ticks make in each phase; one of each kind comes first."""
        with ThreadPoolExecutor(3) as pool:
            rows = list(pool.map(lambda _: self._trial(SURVEY, {}), range(3)))
        dice = random.Random(self._seed)  # noqa: S311 - no secret
        for row in rows:
            for phase, points in row.left.items():
                known = self._points.setdefault(phase, [])
                known += [point for point in points if point not in known]
        for points in self._points.values():
            dice.shuffle(points)
            seen: Counter[tuple[str, str]] = Counter()
            ranks = {}
            for point in points:
                seen[point.call, point.touches] += 1
                ranks[point] = seen[point.call, point.touches]
            points.sort(key=ranks.__getitem__)

    def _share(self) -> dict[str, list[Point]]:
        """Take some points of each phase; all over again when there are none left."""
        with self._lock:
            if not any(self._points.values()):
                self.say(f"every planned call has been tried once: {self.tallies[PLANNED].tried} kills")
                self._lock.release()
                self._survey()
                self._lock.acquire()
            share = {}
            for phase, points in self._points.items():
                share[phase], points[:_SHARE] = points[:_SHARE], []
            return share

    # -- one trial ---------------------------------------------------------------------------------------------------

    def _trial(self, name: str, points: dict[str, list[Point]]) -> Row:
        """Make a trial in a process of its own, whose mounts are its own, too."""
        with self._lock:
            seed = next(self._seeds)
        folder = self.folder / f"{name}-{seed}"
        folder.mkdir()
        cluster = "" if FAULTS[name].alone else self._cluster
        task = Task(name, cluster, seed, points)
        argv = ["unshare", "--mount", sys.executable, "-m", "tests.crash.matrix.trial", str(folder)]
        row = Row(name, seed)
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
        self._take(name, row, folder)
        return row

    def _take(self, name: str, row: Row, folder: Path) -> None:
        with self._lock:
            for phase, points in row.left.items():
                if name == PLANNED:
                    self._points[phase][:0] = points
            with (self.folder / "rows.jsonl").open("a") as rows:
                rows.write(json.dumps(asdict(row)) + "\n")
            tally = self.tallies.get(name) or Tally(name)
            tally.add(row)
            bad = row.error or any(row.outcome.get(key) for key in ("lost", "doubled", "wrongly_failed", "broken"))
        word = "BROKEN, see " + str(folder) if bad else "good"
        self.say(f"{name} {row.seed}: {row.tried} times in {row.seconds:.0f} s, {word}; {tally.tried} in all")
        if not bad:
            shutil.rmtree(folder, ignore_errors=True)


def read_row(text: str) -> Row:
    """Return what a trial has printed."""
    said: dict[str, Any] = json.loads(text)
    said["left"] = {phase: [Point(*point) for point in points] for phase, points in said["left"].items()}
    return Row(**said)


def workers_here() -> int:
    """Return how many studies may go on at once: they wait most of the time."""
    return 2 * (os.cpu_count() or 1)
