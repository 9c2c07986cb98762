"""Ticks: of a study in which nothing changes, of one in which a hundred steps end, and against Maestro's conductor."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.benches.context import LANES, Bench, Series, asked, end_all, in_flight_of, locks_of, paired
from tools.benches.processes import BenchError, Use

SLEEPING = "description: {name: sleep, description: d}\nstudy: [{name: a, description: d, run: {cmd: sleep 600}}]\n"

#: Working ticks of the smallest study: more would end it.
_MOST = 8

#: A status.csv with more bytes is not written by each of several ticks in close succession, but after these seconds.
_LARGE, _APART = 5_000_000, 15

#: More ticks than any cascade takes.
_ENDLESS = 1000


def start(bench: Bench) -> None:
    """P1: a tick without work, of a study with a local step that runs."""
    root = bench.folder / "sleeping"
    (bench.folder / "sleep.yaml").write_text(SLEEPING)
    bench.ours("run", "-y", "-o", root, bench.folder / "sleep.yaml")
    try:
        ours, theirs = "tick without work", "import sqlite3, click"
        actions = {ours: partial(bench.ours, "tick", root), theirs: partial(bench.python, "-c", theirs)}
        series = bench.interleave(40, actions)
        bench.report("P1.start", paired(series, ours, theirs), series)
    finally:
        bench.ours("cancel", "-y", root)
        bench.ours("tick", root)


def work(bench: Bench, root: Path) -> Use:
    """Measure a tick that finds the ends of all steps in flight, and starts as many.

    Cron's ticks are a minute apart. So this waits until the tick would write a large status.csv again.
    """
    end_all(root)
    table = (root / "status.csv").stat()
    if table.st_size > _LARGE:
        time.sleep(max(table.st_mtime + _APART - time.time(), 0))
    return bench.ours("tick", root)


def working(bench: Bench) -> None:
    """P2: a tick in which a hundred steps end and a hundred start, in studies of all sizes."""
    peak, least = 0.0, bench.below(10_000)
    for shape in ("lanes", "wide"):
        sizes = sorted({*bench.sizes, least})
        studies = {f"{shape}, {size:,} steps": bench.study(shape, size) for size in sizes}
        rounds = min(bench.rounds(_MOST), _MOST)
        actions = {name: partial(work, bench, root) for name, root in studies.items()}
        for action in actions.values() if rounds > 1 else ():
            action()  # the first one after the study was made finds a cold cache
        series = bench.interleave(rounds, actions)
        large, small = (f"{shape}, {size:,} steps" for size in (bench.largest, least))
        bench.report(f"P2.{shape}", paired(series, large, small), series)
        peak = max(peak, *(use.memory for use in series[large]))
    (studies[large] / "status.csv").unlink()
    end_all(studies[large])
    series = {f"tick that writes the whole status.csv, {large}": [bench.ours("tick", studies[large])]}
    bench.report("P2.memory", [max(peak, *(use.memory for uses in series.values() for use in uses))], series)
    bench.forget(studies[large])
    idle(bench)


def idle(bench: Bench) -> None:
    """P2: a tick without work, while a thousand jobs wait in the queue."""
    small = bench.below(LANES)
    few, many = bench.study("lanes", small, min(LANES, small)), bench.study("lanes", bench.largest)
    bench.ours("update", many, "--throttle", str(small))
    bench.ours("tick", many)
    bench.ours("tick", many)
    names = {f"no work, {size:,} steps": root for size, root in ((small, few), (bench.largest, many))}
    series = bench.interleave(15, {name: partial(bench.ours, "tick", root) for name, root in names.items()})
    bench.report("P2.idle", paired(series, *reversed(list(names))), series)
    bench.ours("update", many, "--throttle", str(in_flight_of(bench.largest)))  # for others that use the study
    work(bench, many)


def cascades(bench: Bench) -> None:
    """P2m: a step fails on which all others depend; and everything is cancelled."""
    series: Series = {}
    for shape in ("fan", "chain"):
        root = bench.study(shape, bench.largest)
        end_all(root, 1)
        name = f"root of {bench.largest:,} steps fails, {shape}"
        series[name] = until(bench, root, lambda root: asked(root, "SELECT count(*) FROM step WHERE phase < 4") == 0)
        bench.forget(root)
    bench.report("P2m.cascade", [max(use.memory for uses in series.values() for use in uses)], series)
    root = bench.study("lanes", bench.largest)
    cancel = {"cancel": [bench.ours("cancel", "-y", root, locks=locks_of(root))]}
    cancel["tick after it"] = [bench.ours("tick", root, locks=locks_of(root))]
    bench.report("P2m.cancel", [max(use.memory for uses in cancel.values() for use in uses)], cancel)
    bench.forget(root)
    bench.report("P2m.lock", [max(use.locked for uses in {**series, **cancel}.values() for use in uses)])


def until(bench: Bench, root: Path, is_done: Callable[[Path], bool]) -> list[Use]:
    """Measure ticks until something is done."""
    uses: list[Use] = []
    while not is_done(root):
        if len(uses) == _ENDLESS:
            raise BenchError(f"{root}: {_ENDLESS} ticks were not enough")
        uses.append(bench.ours("tick", root, locks=locks_of(root)))
    return uses


def conductor(bench: Bench) -> None:
    """P3: a cycle of Maestro's resident conductor, against a whole process of ours that also has work to do."""
    if not bench.has_peer("maestrowf"):
        bench.skip("P3.maestro", "maestrowf is not installed")
        return
    steps = bench.at_most(100_000, 10_000)
    folder = bench.folder / "conductor"
    folder.mkdir(exist_ok=True)
    root = bench.study("lanes", steps)
    words = [
        bench.peer_python(),
        "-I",
        "-m",
        "tools.benches.programs.maestro_cycles",
        folder,
        steps,
        in_flight_of(steps),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen([*map(str, words)], stdin=pipe, stdout=pipe, text=True, env=bench.env) as process:

        def cycle() -> Use:
            assert process.stdin is not None
            assert process.stdout is not None
            print("cycle", file=process.stdin, flush=True)
            cpu, wall, memory = map(float, process.stdout.readline().split())
            return Use(cpu, wall, memory)

        cycle()  # the first one is slower
        theirs, ours = f"Maestro's cycle, {steps:,} steps", f"our tick, {steps:,} steps"
        series = bench.interleave(5, {theirs: cycle, ours: partial(work, bench, root)})
        bench.report("P3.maestro", paired(series, theirs, ours), series)
