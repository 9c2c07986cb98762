"""The long form: a study of a million steps, from its creation to its end, and commands that read such a study.

The study runs as a user would run it, on the idle scheduler, which reports each job's end at once. The commands read
another one, which is stored at once. Progress is shown, because this takes half an hour.
"""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

from tools.benches.context import Bench, Series, asked
from tools.benches.creation import study_file
from tools.benches.processes import BenchError, Use

#: Steps in flight; the number of ticks that a study takes is about the number of its steps divided by it.
_THROTTLE = 10_000

#: How many events of each step the program `make_log` stores.
_EACH = 5

#: Seconds between two lines of progress, and until `run` is interrupted.
_REPORT, _INTERRUPT = 10, 2.0

#: Exit code of an interrupted command.
_INTERRUPTED = 130


def million(bench: Bench) -> None:
    """M: create a study, and run its ticks to the end. `sizes` may name a smaller one."""
    steps = bench.largest
    root, file = bench.folder / "million", bench.folder / "million.yaml"
    study_file(file, "lanes", steps, "{type: idle, ends: true}")
    create = partial(bench.ours, "run", "-y", "-t", str(min(_THROTTLE, max(steps // 10, 1))), "-o", root, file)
    interrupted(create, root)
    created = create()
    say(f"created {steps:,} steps", [created])
    bench.report("M.run", [created.memory], {f"run, {steps:,} steps": [created]})
    ticks = to_the_end(bench, root, steps)
    total = Use(sum(use.cpu for use in ticks), sum(use.wall for use in ticks), max(use.memory for use in ticks))
    bench.report("M.ticks", [total.memory], {f"{len(ticks)} ticks, all together": [total], "one of them": ticks})


def interrupted(create: partial[Use], root: Path) -> None:
    """Interrupt a creation. It must leave nothing behind."""
    use = create(codes=(0, _INTERRUPTED), interrupt_after=_INTERRUPT)
    if use.wall < _INTERRUPT:
        shutil.rmtree(root)  # it was complete before
    if root.exists():
        raise BenchError(f"{root}: an interrupted creation has left this")


def to_the_end(bench: Bench, root: Path, steps: int) -> list[Use]:
    """Run ticks until the study has ended; return what they took."""
    ticks: list[Use] = []
    reported = time.monotonic()
    while left := asked(root, "SELECT count(*) FROM step WHERE phase < 4"):
        if len(ticks) > steps:
            raise BenchError(f"{root}: {left} steps have not ended after {len(ticks)} ticks")
        ticks.append(bench.ours("tick", root))
        if time.monotonic() > reported + _REPORT:
            reported = time.monotonic()
            say(f"{steps - left:,} of {steps:,} steps have ended", ticks)
    ticks.append(bench.ours("tick", root))
    return ticks


def readers(bench: Bench) -> None:
    """Mr: commands that read a finished study."""
    root = bench.log(_EACH * bench.largest)
    events = asked(root, "SELECT max(seq) FROM event")
    commands: dict[str, tuple[str, ...]] = {
        "status --summary": ("status", str(root), "--summary"),
        "status": ("status", str(root)),
        "status --csv": ("status", str(root), "--csv"),
        "status --json": ("status", str(root), "--json"),
        "status --layout flat": ("status", str(root), "--layout", "flat"),
        "status --at": ("status", str(root), "--summary", "--at", str(events // 2)),
        "why": ("why", str(root)),
        "history of a step": ("history", str(root), "a_N.1"),
        "history --count-by": ("history", str(root), "--count-by", "type"),
        "history": ("history", str(root)),
        "query": ("query", str(root), "SELECT type, count(*) FROM event GROUP BY type"),
        "query of all steps": ("query", str(root), "SELECT * FROM v_step", "--csv"),
        "diff": ("diff", str(root), str(events // 2), str(events)),
        "verify": ("verify", str(root)),
        "export": ("export", str(root)),
    }
    series: Series = {}
    for name, words in commands.items():
        series[name] = [bench.ours(*words)]
        say(f"{name}, {events:,} events", series[name])
    bench.report("Mr.readers", [max(use.memory for uses in series.values() for use in uses)], series)


def say(words: str, uses: list[Use]) -> None:
    """Show how far it is."""
    cpu, memory = sum(use.cpu for use in uses), max(use.memory for use in uses)
    print(f"{'':12} {time.strftime('%H:%M:%S')} {words}: {cpu:.1f} s of CPU, at most {memory:.0f} MiB", flush=True)
