"""`run`: expands a study file and stores the study. The throttle is 1, so that nearly nothing is submitted."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from tools.benches.context import Bench, Series, paired
from tools.benches.processes import BenchError, Use

HEAD = "description: {{name: s, description: d}}\nbatch: {batch}\nstudy:\n"
LANES = 100


def study_file(file: Path, shape: str, steps: int, batch: str = "{type: idle}") -> Path:
    """Write a study file: `lanes` has one template for each step of a lane, and `chain` one for each step."""
    with file.open("w") as out:
        out.write(HEAD.format(batch=batch))
        length = {"lanes": min(LANES, max(steps // 10, 1)), "chain": steps}.get(shape, 1)
        value = "" if shape == "chain" else " $(N)"
        for number in range(length):
            waits = f", depends: [s{number - 1}]" if number else ""
            out.write(f"- {{name: s{number}, description: d, run: {{cmd: 'true{value}', procs: 1{waits}}}}}\n")
        if shape == "funnel":
            out.write("- {name: last, description: d, run: {cmd: 'true', procs: 1, depends: [s0_*]}}\n")
        if value:
            values = ", ".join(map(str, range(steps // length)))
            out.write(f"global.parameters: {{N: {{values: [{values}], label: N.%%}}}}\n")
    return file


class Created:
    """Studies that `run` has created, and what the bare insert of their rows takes."""

    def __init__(self, bench: Bench, shape: str, steps: int) -> None:
        self._bench = bench
        self._file = study_file(bench.folder / f"{shape}-{steps}.yaml", shape, steps)
        self.root = bench.folder / "created" / f"{shape}-{steps}"

    def run(self) -> Use:
        """Create the study."""
        shutil.rmtree(self.root, ignore_errors=True)
        return self._bench.ours("run", "-y", "-t", "1", "-o", self.root, self._file)

    def insert(self) -> Use:
        """Insert the rows of the study that was created last, and return what only that took."""
        new, printed = self._bench.folder / "rows.db", self._bench.folder / "printed"
        new.unlink(missing_ok=True)
        use = self._bench.program("insert_rows", self.root / "events.db", new, output=printed)
        return use._replace(cpu=float(printed.read_text()))


def creation(bench: Bench) -> None:
    """P7: studies of all shapes."""
    large = bench.at_most(1_000_000, 20_000)
    small = bench.below(1_000 if bench.quick else 10_000, large)
    lanes = measure(bench, "lanes", small, large, 3)
    bench.report("P7.lanes", paired(lanes, name("lanes", large), rows("lanes", large)), lanes)
    bench.report("P7.slope", slopes(lanes, "lanes", small, large))
    size = bench.at_most(100_000, 10_000)
    series = {**measure(bench, "funnel", size, size, 3), **measure(bench, "wide", size, size, 3)}
    bench.report("P7.wide", paired(series, name("wide", size), rows("wide", size)), series)
    if large >= 1_000_000:
        bench.report("P7.time", [use.wall for use in lanes[name("lanes", large)]])
        bench.report("P7.memory", [use.memory for use in lanes[name("lanes", large)]])


def chain(bench: Bench) -> None:
    """P7: a chain of which each step is a template of its own."""
    large = bench.at_most(100_000, 5_000)
    small = large // 10
    try:
        series = measure(bench, "chain", small, large, 2)
    except BenchError as error:
        message = str(error).splitlines()[-1].replace(f"{bench.folder}/", "")
        reason = f"`run` of {large:,} steps fails: {message}"
        bench.skip("P7.chain", reason)
        bench.skip("P7.growth", reason)
        return
    bench.report("P7.chain", [use.wall for use in series[name("chain", large)]], series)
    bench.report("P7.growth", slopes(series, "chain", small, large))


def slopes(series: Series, shape: str, small: int, large: int) -> list[float]:
    """Return the exponents with which the costs of `run` grow with the number of steps."""
    ratios = paired(series, name(shape, large), name(shape, small))
    return [math.log(ratio) / math.log(large / small) for ratio in ratios]


def measure(bench: Bench, shape: str, small: int, large: int, usual: int) -> Series:
    """Create studies of two sizes by turns, and insert their rows. The largest one is created once."""
    series: Series = {}
    studies = {size: Created(bench, shape, size) for size in (small, large)}
    for _ in range(1 if large > 100_000 else bench.rounds(usual)):
        for size, study in studies.items():
            series.setdefault(name(shape, size), []).append(study.run())
            series.setdefault(rows(shape, size), []).append(study.insert())
    for study in studies.values():
        shutil.rmtree(study.root)
    return series


def name(shape: str, steps: int) -> str:
    """Return the name of a `run`."""
    return f"run, {shape}, {steps:,} steps"


def rows(shape: str, steps: int) -> str:
    """Return the name of what it is compared with."""
    return f"bare insert, {shape}, {steps:,} steps"
