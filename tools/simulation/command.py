"""The command line of ``tools/simulate``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tools.simulation.sabotage import DEFECTS, first_seed
from tools.simulation.scenario import Scenario, draw
from tools.simulation.shrinking import shrink
from tools.simulation.week import Result, simulate

#: How many seeds `--night` runs, and how many one process gets at a time.
_NIGHT, _CHUNK = 100_000, 20


class Tally(NamedTuple):
    """The results of many seeds: those that failed with the first broken promise, and counts of ticks and events."""

    seeds: int
    failed: dict[int, str]
    ticks: int
    events: Counter[str]
    actions: Counter[str]

    def plus(self, other: Tally) -> Tally:
        """Return the sum of two tallies."""
        return Tally(
            self.seeds + other.seeds,
            {**self.failed, **other.failed},
            self.ticks + other.ticks,
            self.events + other.events,
            self.actions + other.actions,
        )


EMPTY = Tally(0, {}, 0, Counter(), Counter())


def run_seeds(seeds: Iterable[int]) -> Tally:
    """Simulate a week for each seed."""
    tally = EMPTY
    for seed in seeds:
        scenario = draw(seed)
        result = simulate(scenario)
        failed = {seed: result.broken[0]} if result.broken else {}
        actions = Counter(action.kind for action in scenario.actions)
        tally = tally.plus(Tally(1, failed, result.ticks, result.events, actions))
    return tally


def run_many(first: int, count: int, workers: int) -> Tally:
    """Simulate a week for each of `count` seeds, in several processes."""
    chunks = [range(start, min(start + _CHUNK, first + count)) for start in range(first, first + count, _CHUNK)]
    tally = EMPTY
    with ProcessPoolExecutor(workers) as pool:
        for done, part in enumerate(pool.map(run_seeds, chunks), 1):
            tally = tally.plus(part)
            for seed, broken in part.failed.items():
                print(f"seed {seed}: {broken.splitlines()[0]}", file=sys.stderr, flush=True)
            if done % 50 == 0:
                print(f"{tally.seeds} seeds, {len(tally.failed)} failed", file=sys.stderr, flush=True)
    return tally


def explain(seed: int) -> tuple[str, bool]:
    """Return the story of one seed, and whether it has failed. The story of a failed week is as short as possible."""
    scenario = draw(seed)
    result = simulate(scenario)
    if not result.broken:
        return _story(scenario, result), False
    kind = _kind(result.broken[0])
    small = shrink(scenario, lambda other: any(_kind(broken) == kind for broken in simulate(other).broken))
    return _story(small, simulate(small)), True


def _kind(broken: str) -> str:
    """Return what is the same in two failures with one cause: the message without numbers and tokens."""
    return "".join(letter for letter in broken.splitlines()[0].partition(": Run(")[0] if not letter.isdigit())


def _story(scenario: Scenario, result: Result) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in scenario.settings.items() if value)
    lines = [
        f"seed {scenario.seed}: {len(scenario.steps)} steps, a tick each {scenario.tick_minutes} min; {settings}",
        f"clocks wrong by {scenario.skews} s; Slurm lists ended jobs for {scenario.min_job_age} s",
        f"accounts: {'yes' if scenario.accounting else 'no'}",
    ]
    for number, step in enumerate(scenario.steps, 1):
        after = " after " + ", ".join([*map(str, step.parents), *step.funnels]) if step.parents or step.funnels else ""
        kind = "job" if step.scheduled else "local"
        limit = f", {step.walltime} min" if step.walltime else ""
        lines.append(f"  step {number} {step.name}: {kind}{limit}{', restart' if step.restart else ''}{after}")
    broken = result.broken or ["all promises are kept"]
    return "\n".join([*lines, *result.story, *broken, f"{result.ticks} ticks, log {result.digest}"])


def options(argv: list[str] | None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="tools/simulate",
        description=(
            "Simulates a week of a study by seed: the real rules, store and poller, with simulated hosts, clocks, "
            "users and Slurm. With SEED, prints what happens. If a promise is broken, prints the shortest story that "
            "breaks it."
        ),
    )
    parser.add_argument("seed", nargs="?", type=int, metavar="SEED", help="simulate this week, and print it")
    parser.add_argument("--seeds", type=int, metavar="N", help="simulate N weeks, and print those that fail")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="begin with this seed (0)")
    parser.add_argument("--night", action="store_true", help=f"simulate {_NIGHT:,} weeks")
    parser.add_argument("--defects", action="store_true", help="find the first seed of each planted defect")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="weeks at the same time (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the counts there")
    chosen = parser.parse_args(argv)
    if (chosen.seed is not None) + bool(chosen.seeds) + chosen.night + chosen.defects != 1:
        parser.error("give a SEED, or --seeds N, --night or --defects")
    return chosen


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 1 if a promise was broken."""
    chosen = options(argv)
    if chosen.seed is not None:
        story, failed = explain(chosen.seed)
        print(story)
        return int(failed)
    if chosen.defects:
        for name, defect in DEFECTS.items():
            print(f"{first_seed(defect, lambda seed: simulate(draw(seed)).broken):5} {name}", flush=True)
        return 0
    began = time.monotonic()
    tally = run_many(chosen.first, _NIGHT if chosen.night else chosen.seeds, chosen.workers)
    seconds = time.monotonic() - began
    print(
        f"{tally.seeds} weeks, {tally.ticks} ticks, {sum(tally.events.values())} events in {seconds:.0f} s "
        f"({tally.seeds / seconds:.1f} weeks a second); {len(tally.failed)} failed"
    )
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump({"seconds": seconds, **tally._asdict()}, file, indent=1)
    for name, count in sorted(tally.events.items()):
        print(f"  {name:24}{count:10}")
    for seed in sorted(tally.failed)[:20]:
        print(f"replay: tools/simulate {seed}")
    return int(bool(tally.failed))
