"""What must hold. A goal is about a ratio within one run, because only ratios travel between machines.

`limit` is the goal, at the sizes of the full form. `guard` is the limit of `tools/bench --quick`, which measures small
studies on a machine that may be busy: it lets pass what varies, and fails if something becomes twice as slow. A goal
without it is too slow or too variable to be guarded. `miss` explains in docs/performance.md why a goal is missed, and
is empty otherwise.
"""

from __future__ import annotations

from typing import NamedTuple


class Goal(NamedTuple):
    """A limit for one figure. The part of `key` before the dot names its measurement."""

    key: str
    what: str
    limit: float
    guard: float | None = None
    at_least: bool = False
    unit: str = ""
    miss: str = ""

    def is_met(self, value: float, limit: float) -> bool:
        """Return whether a value keeps a limit."""
        return value >= limit if self.at_least else value <= limit

    def show(self, value: float) -> str:
        """Return a value with its unit."""
        digits = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
        return f"{digits} {self.unit}".rstrip()

    def show_limit(self, limit: float) -> str:
        """Return a limit with its direction."""
        return f"{'≥' if self.at_least else '≤'} {self.show(limit)}"


GOALS = {
    goal.key: goal
    for goal in (
        Goal("P1.start", "tick without work / `import sqlite3, click`", 0.9, 1.4),
        Goal("P2.lanes", "tick with 100 ends and 100 starts in 1,000 lanes, largest / 10,000 steps", 1.25, 1.7),
        Goal("P2.wide", "the same in a study whose steps are all ready", 1.25, 1.7),
        Goal("P2.idle", "tick without work and 1,000 steps in flight, largest / 1,000 steps", 1.15, 1.5),
        Goal("P2.memory", "peak memory of a tick, also of the first", 60, 60, unit="MiB"),
        Goal("P2m.cascade", "peak memory of a tick, if a step fails on which all depend", 60, 60, unit="MiB"),
        Goal("P2m.cancel", "peak memory of `cancel` of the whole study", 60, 60, unit="MiB"),
        Goal("P2m.lock", "longest time for which these ticks and `cancel` hold a lock", 10, unit="s"),
        Goal("P3.maestro", "cycle of Maestro's conductor / tick with 100 ends and 100 starts", 100, 4, at_least=True),
        Goal("P4.replay", "replay (`status --at`) / scan of 4 columns, events per second", 0.5, 0.06, at_least=True),
        Goal("P4.peer", "replay / replay by eventsourcing, events per second", 25, 3, at_least=True),
        Goal("P4.verify", "`verify` / scan of 4 columns, events per second", 0.25, 0.025, at_least=True),
        Goal("P5.append", "append with projection / bare insert, events per second", 0.25, 0.06, at_least=True),
        Goal("P6.equal", "1,000 equal ready steps on Slurm / 1,000 calls of sbatch, wall time", 0.05),
        Goal("P6.different", "100 different ready steps on Slurm / 100 calls of sbatch, wall time", 0.75),
        Goal("P7.lanes", "`run` of 100 lanes / bare insert of the same rows", 20, 150),
        Goal("P7.wide", "`run` of one parameterised step / bare insert of the same rows", 20, 150),
        Goal("P7.slope", "growth of `run` of 100 lanes from 10,000 steps to the largest size, exponent", 1.1, 1.3),
        Goal("P7.chain", "`run` of a chain of 100,000 steps, wall time", 10, unit="s"),
        Goal("P7.growth", "growth of `run` of a chain from a tenth of its size, exponent", 1.1, 1.3),
        Goal("P7.time", "`run` of 1,000,000 steps, wall time", 60, unit="s"),
        Goal("P7.memory", "`run` of 1,000,000 steps, peak memory", 500, unit="MiB"),
        Goal("P8.maestro", "`maestro status` / `maestro-es status`, 10,000 steps", 100, 12, at_least=True),
        Goal("P8.summary", "`status --summary` / tick without work, largest size", 1.3, 2.4),
        Goal("P8.layout", "`status` of 1,000 steps / of 10,000 steps", 1, 4),
        Goal("P9.step", "local step `true` / one bash script started by xargs", 2, 4.5),
        Goal("P9.maestro", "Maestro / `run --wait`, local steps, wall time on 2 cores", 1.7, None, at_least=True),
        Goal("P10.history", "`history` / scan of 4 columns, events per second", 0.5, 0.01, at_least=True),
        Goal("P10.export", "`export` / scan of 4 columns, events per second", 0.5, 0.02, at_least=True),
        Goal("P10.diff", "`diff` of two halves / scan of 4 columns, events per second", 0.5, 0.03, at_least=True),
        Goal("P10.why", "`why --at` / scan of 4 columns, events per second", 0.5, 0.06, at_least=True),
        Goal("P10.memory", "peak memory of these four", 60, unit="MiB"),
        Goal("M.run", "a study of 1,000,000 steps from creation to end: peak memory of `run`", 500, unit="MiB"),
        Goal("M.ticks", "peak memory of its ticks", 60, unit="MiB"),
        Goal("M.readers", "peak memory of the commands that read it", 60, unit="MiB"),
    )
}  # fmt: skip
