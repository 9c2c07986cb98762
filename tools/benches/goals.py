"""What must hold. A goal is about a ratio within one run, because only ratios can be compared between machines.

`limit` is the goal, at the sizes of the full form. `guard` is the limit of `tools/bench --quick`, which measures small
studies on a machine that may be busy. It is wide enough for what varies, and fails if something becomes twice as slow.
A goal without a guard is too slow or varies too much. `MISSES` explains on the page why a goal is missed.
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
        Goal("P2.memory", "peak memory of a tick, also of the first", 60, 45, unit="MiB"),
        Goal("P2m.cascade", "peak memory of a tick, if a step fails on which all depend", 60, 60, unit="MiB"),
        Goal("P2m.cancel", "peak memory of `cancel` of the whole study", 60, 80, unit="MiB"),
        Goal("P2m.lock", "longest time for which these ticks and `cancel` hold a lock", 10, unit="s"),
        Goal("P3.maestro", "Maestro's poll cycle / tick with 100 ends and 100 starts", 100, 3.3, at_least=True),
        Goal("P4.replay", "replay (`status --at`) / scan of 4 columns, events per second", 0.5, 0.14, at_least=True),
        Goal("P4.peer", "replay / replay by eventsourcing, events per second", 25, 4.6, at_least=True),
        Goal("P4.verify", "`verify` / scan of 4 columns, events per second", 0.25, 0.055, at_least=True),
        Goal("P5.append", "append with projection / bare insert, events per second", 0.25, 0.12, at_least=True),
        Goal("P6.equal", "1,000 equal ready steps on Slurm / 1,000 calls of sbatch, wall time", 0.05),
        Goal("P6.different", "100 different ready steps on Slurm / 100 calls of sbatch, wall time", 0.75),
        Goal("P7.lanes", "`run` of 100 lanes / bare insert of the same rows", 20, 9.5),
        Goal("P7.wide", "`run` of one parameterised step / bare insert of the same rows", 20, 14),
        Goal("P7.slope", "growth of `run` of 100 lanes from 10,000 steps to the largest size, exponent", 1.1),
        Goal("P7.chain", "`run` of a chain of 100,000 steps, wall time", 10, unit="s"),
        Goal("P7.growth", "growth of `run` of a chain from a tenth of its size, exponent", 1.1, 0.75),
        Goal("P7.time", "`run` of 1,000,000 steps, wall time", 60, unit="s"),
        Goal("P7.memory", "`run` of 1,000,000 steps, peak memory", 500, unit="MiB"),
        Goal("P8.maestro", "`maestro status` / the same table by maestro-es, 10,000 steps", 100, 8, at_least=True),
        Goal("P8.summary", "`status --summary` / tick without work, largest size", 1.3, 2.1),
        Goal("P8.layout", "`status --layout flat` of 1,000 steps / of 10,000 steps", 1, 4),
        Goal("P9.step", "local step `true` / one bash script started by xargs", 2, 10),
        Goal("P9.maestro", "Maestro / `run --wait`, local steps, wall time on 2 cores", 1.7, None, at_least=True),
        Goal("P10.history", "`history` / scan of 4 columns, events per second", 0.5, 0.08, at_least=True),
        Goal("P10.export", "`export` / scan of 4 columns, events per second", 0.5, 0.085, at_least=True),
        Goal("P10.diff", "`diff` of two halves / scan of 4 columns, events per second", 0.5, 0.065, at_least=True),
        Goal("P10.why", "`why --at` / scan of 4 columns, events per second", 0.5, 0.13, at_least=True),
        Goal("P10.memory", "peak memory of these four", 60, 80, unit="MiB"),
        Goal("M.run", "a study of 1,000,000 steps from creation to end: peak memory of `run`", 500, unit="MiB"),
        Goal("M.ticks", "peak memory of its ticks", 60, unit="MiB"),
        Goal("Mr.readers", "peak memory of commands that read all of a study of 1,000,000 steps", 60, unit="MiB"),
    )
}  # fmt: skip

#: Why a goal is missed. Only the reasons of goals that the stored results miss are on the page.
MISSES = {
    "P1.start": (
        "Both processes start Python and import sqlite3. A tick also imports msgspec, which takes about as long as "
        "click. Then it opens the log and reads the study."
    ),
    "M.ticks": (
        "The figure is from before the log took events in smaller blocks. Since then ticks that submit 10,000 steps "
        "and find 10,000 others ended took 53 MiB in a study of 75,000 steps. Before, they took up to 63 MiB there."
    ),
    "Mr.readers": "`verify` keeps for each step where its record is, while it replays the log.",
    "P2m.cancel": "`cancel` keeps some of the steps in memory that are in flight.",
    "P2.lanes": "A tick that writes a large status.csv copies its unchanged lines.",
    "P2.wide": "A tick that writes a large status.csv copies its unchanged lines.",
    "P3.maestro": (
        "A tick with 100 ends and 100 starts creates 100 workspaces and scripts, and records 300 events. This "
        "takes most of its time. In the same cycle Maestro has nothing to start."
    ),
    "P4.replay": (
        "The scan runs in SQLite's C code, and creates a tuple for each event. A replay also decodes each payload, "
        "and applies it by a rule in Python, which checks the transition."
    ),
    "P4.peer": "The time of a replay is that of the rules in Python; see P4.replay.",
    "P4.verify": (
        "`verify` also computes the digest of each row, replays the log in bounded memory, and compares the result "
        "with the tables."
    ),
    "P5.append": (
        "Each event is encoded, decoded again by the decoder that will read it, sealed by a digest, and applied to "
        "the tables. The rules run in Python."
    ),
    "P6.equal": (
        "All steps are one array, and sbatch takes milliseconds. The rest is the work of the tick: for each step it "
        "creates a workspace and a script, and records three events."
    ),
    "P6.different": (
        "A tick calls sbatch up to eight times at once, but slurmctld handles submissions one after the other. On "
        "two cores it shares the processor with the tick and with all calls of sbatch."
    ),
    "P8.maestro": "Half of the time is that of the start of the process. The rest reads and formats 10,000 lines.",
    "P8.summary": "`status` is a command of click, which a tick does not import.",
    "P8.layout": "Each step is a line.",
    "P7.chain": (
        "A chain has a template for each step. Each is read, checked, written to the metadata and stored by itself."
    ),
    "P7.time": "Expanding and storing a step takes about 40 microseconds of CPU time.",
    "P9.step": (
        "A local step is more than its script. A runner starts it and reports its end, so that the step survives the "
        "death of `run --wait`. The runner is a bash script, too. It takes more than half of the time."
    ),
    "P9.maestro": (
        "Maestro starts a local step as its own child, one at a time, and keeps its state in memory. Two steps at "
        "a time don't make up for the runner and the events of maestro-es; see P9.step."
    ),
    "P10.history": "`history` composes a sentence for each event in Python.",
    "P10.export": "`export` checks the digest of each row and writes it as JSON.",
    "P10.diff": "`diff` replays the log up to both moments; see P4.replay.",
    "P10.why": "`why --at` replays the log; see P4.replay.",
    "P10.memory": "Some of these commands keep the steps of the whole study in memory while they replay its log.",
}
