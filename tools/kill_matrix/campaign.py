"""Runs trials on one shared scheduler until enough ticks and commands were killed, and sums up their results."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.kill_matrix.clusters import running
from tools.kill_matrix.matrix import CLIENT, FAILED, TICK, Row, play_apart


class Campaign:
    """Trials in a folder, until `kills` processes were killed. Several run at the same time."""

    def __init__(self, folder: Path, kind: str, *, kills: int, workers: int, seed: int) -> None:
        self.rows: list[Row] = []
        self.say: Callable[[str], None] = lambda _line: None
        self._folder, self._kind = folder, kind
        self._goal, self._workers = kills, workers
        self._seeds = itertools.count(seed * 10_000)
        self._lock = threading.Lock()
        self.version = ""

    @property
    def kills(self) -> Counter[str]:
        """How often what was killed."""
        return sum((Counter(row.kills) for row in self.rows), Counter[str]())

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return all(row.good for row in self.rows)

    def run(self) -> None:
        """Run the trials."""
        with running(self._kind, self._folder / "scheduler") as scheduler, ThreadPoolExecutor(self._workers) as pool:
            self.version = scheduler.version()
            for worker in [pool.submit(self._work) for _ in range(self._workers)]:
                worker.result()

    def _work(self) -> None:
        bad = 0
        while self.kills.total() < self._goal and bad < 3:
            with self._lock:
                seed = next(self._seeds)
            row = play_apart(self._folder / f"trial-{seed}", self._kind, seed)
            with self._lock:
                self.rows.append(row)
            bad += not row.good
            verdict = "good" if row.good else f"BROKEN: {row.error or row.outcome}"
            self.say(
                f"{seed}: {sum(row.kills.values())} kills in {row.seconds:.0f} s, {verdict}; {self.kills.total()}"
            )

    def table(self) -> str:
        """Return the figures in words."""
        counts = Counter[str]()
        for row in self.rows:
            for key in ("lost", "doubled", "wrongly_failed", "beside"):
                counts[key] += len(row.outcome.get(key, ()))
            counts["found again"] += row.outcome.get("adopted", 0)
            counts["given up"] += row.outcome.get("events", {}).get("AttemptAbandoned", 0)
            counts["no verdict"] += bool(row.error)
        killed = self.kills
        lines = [f"{self.version}: {len(self.rows)} studies, {killed.total()} faults"]
        for what in (TICK, CLIENT, FAILED):
            of_this = {name: number for name, number in killed.items() if name.startswith(what)}
            lines.append(f"  {what}: {sum(of_this.values())} at {len(of_this)} kinds of calls")
        lines += [f"  {name}: {counts[name]}" for name in ("lost", "doubled", "wrongly_failed", "beside")]
        lines += [f"  {name}: {counts[name]}" for name in ("found again", "given up", "no verdict")]
        return "\n".join(lines)
