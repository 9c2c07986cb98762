"""The command line of the bench."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from tools.benches.context import QUICK_SIZES, SIZES, Bench
from tools.benches.goals import GOALS
from tools.benches.processes import BenchError

#: The smallest study.
LEAST = 10

#: The measurements, as modules and functions, in the order in which they use and use up the studies that they share.
MEASUREMENTS: dict[str, tuple[str, ...]] = {
    "P1": ("ticks.start",),
    "P3": ("ticks.conductor",),
    "P8": ("screens.screens",),
    "P2": ("ticks.working",),
    "P2m": ("ticks.cascades",),
    "P4": ("logs.replay",),
    "P10": ("logs.readers",),
    "P5": ("logs.append",),
    "P7": ("creation.creation", "creation.chain"),
    "P9": ("local.local",),
    "P6": ("slurm.slurm",),
    "M": ("million.million",),
    "Mr": ("million.readers",),
}

#: What is measured only on request.
LONG = ("M", "Mr")


def main(manual: str) -> int:
    """Measure what the command line names; returns the exit code."""
    options = parse(manual)
    if options.list:
        for goal in GOALS.values():
            print(f"{goal.key:12} {goal.show_limit(goal.limit):12} {goal.what}")
        return 0
    if options.page:
        from tools.benches import page  # noqa: PLC0415 - likewise

        page.write()
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder, ignore_cleanup_errors=True) as scratch:
        environments = options.environments or Path(scratch) / "environments"
        make_environments(environments)
        sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
        bench = Bench(Path(scratch), environments, sizes, options.rounds, quick=options.quick)
        failed = measure(bench, chosen(options))
        if options.write:
            from tools.benches import page  # noqa: PLC0415 - the bench stays small while it measures

            page.store(bench)
            page.write()
    return conclude(bench, failed)


def parse(manual: str) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=manual, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small studies and wide limits")
    parser.add_argument("--million", action="store_true", help="the long form; the same as --only M Mr")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), metavar="P", help="some measurements")
    parser.add_argument("--sizes", nargs="+", type=size, metavar="N", help="numbers of steps and of events")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds of each measurement")
    parser.add_argument("--write", action="store_true", help="write docs/performance.json and .md")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md from stored results and exit")
    parser.add_argument("--list", action="store_true", help="print the goals and exit")
    parser.add_argument("--folder", type=Path, help="where the studies are stored meanwhile (default: TMPDIR)")
    parser.add_argument("--environments", type=Path, help="keep the installed wheel here, and use it if it is there")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick measures studies that are too small to be written about")
    return options


def chosen(options: argparse.Namespace) -> list[str]:
    """Return the names of the measurements that the user has chosen."""
    if options.million:
        return [*LONG]
    guarded = {goal.key.partition(".")[0] for goal in GOALS.values() if goal.guard is not None}
    usual = [name for name in MEASUREMENTS if name not in LONG and (name in guarded or not options.quick)]
    return options.only or usual


def size(text: str) -> int:
    """Return a number of steps."""
    if not text.isdecimal() or int(text) < LEAST:
        raise argparse.ArgumentTypeError(f"{text}: write a number of steps or events, at least {LEAST}")
    return int(text)


def make_environments(folder: Path) -> None:
    """Install a wheel of this checkout, in a process of its own, unless it is there."""
    root = Path(__file__).parents[2]
    words: list[str | Path] = [sys.executable, "-m", "tools.benches.installation", folder.absolute()]
    done = subprocess.run(words, cwd=root, check=False)
    if done.returncode:
        sys.exit("bench: the wheel could not be installed, see above")


def measure(bench: Bench, names: Sequence[str]) -> list[str]:
    """Run measurements; return those that broke. A guard that fails is tried again: the machine may have been busy."""
    failed = []
    for name in names:
        for measurement in map(imported, MEASUREMENTS[name]):
            began = time.monotonic()
            before = set(bench.missed())
            try:
                measurement(bench)
                if bench.quick and set(bench.missed()) - before:
                    print(f"{'':12} once more, as a limit was missed")
                    measurement(bench)
            except BenchError as error:
                print(f"{name:12} FAILED: {error}", file=sys.stderr, flush=True)
                failed.append(name)
            print(f"{'':12} ({time.monotonic() - began:.0f} s)", flush=True)
    return failed


def imported(name: str) -> Callable[[Bench], None]:
    """Return a measurement by the name of its module and of its function."""
    module, _, function = name.partition(".")
    measurement: Callable[[Bench], None] = getattr(import_module(f"tools.benches.{module}"), function)
    return measurement


def conclude(bench: Bench, failed: Sequence[str]) -> int:
    """Print what was missed; return the exit code."""
    missed = bench.missed()
    unmeasured = [key for key, result in bench.results.items() if result.value is None]
    for words, keys in (("MISSED", missed), ("NOT MEASURED", unmeasured), ("FAILED", failed)):
        if keys:
            print(f"bench: {words}: {', '.join(keys)}")
    if not (missed or failed):
        print(f"bench: {len(bench.results) - len(unmeasured)} goals are met")
    return 1 if missed or failed else 0
