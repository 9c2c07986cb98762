"""What all measurements share: sizes, rounds, the environments, the studies, and the results."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.benches.goals import GOALS, Goal
from tools.benches.processes import Use, run

#: How many lanes a study has, and how many steps of it are in flight, unless it is too small.
LANES, IN_FLIGHT = 1000, 100

#: Variables that could change what is measured.
FOREIGN = ("PYTHON", "MAESTRO_ES", "SLURM_", "SBATCH_")

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000, 50_000)


class Spread(NamedTuple):
    """The median of some values and their quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        ordered = sorted(values)
        count = len(ordered)
        middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        return cls(ordered[count // 4], middle, ordered[(3 * count) // 4 - (count % 4 == 0)])


class Row(NamedTuple):
    """What one of the compared processes took."""

    name: str
    cpu: Spread
    wall: Spread
    memory: float


class Result(NamedTuple):
    """One figure: of the goal with this key, or not measured for a reason."""

    key: str
    value: Spread | None
    rounds: int
    rows: list[Row]
    reason: str = ""


Series = dict[str, list[Use]]


class Bench:
    """One run of the bench, in a folder with the environments that `installation` has made."""

    def __init__(self, folder: Path, environments: Path, sizes: Sequence[int], rounds: int, *, quick: bool) -> None:
        self.folder, self.sizes, self.quick = folder, sorted(sizes), quick
        self._rounds = rounds
        self._environments = environments
        self._studies: dict[tuple[object, ...], Path] = {}
        self.results: dict[str, Result] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.env = {**kept, "MAESTRO_ES_HOME": str(folder / "home")}

    # -- sizes and rounds -------------------------------------------------------------------------------------------

    @property
    def largest(self) -> int:
        """The largest number of steps or events."""
        return self.sizes[-1]

    def at_most(self, size: int, quick: int) -> int:
        """Return the first size, or with --quick the second one, or the largest of this run if that is smaller."""
        return min(quick if self.quick else size, self.largest)

    def below(self, size: int, of: int = 0) -> int:
        """Return a size to compare a larger one with, by default the largest: `size`, if it is smaller."""
        large = of or self.largest
        return size if size < large else max(large // 10, 1)

    def rounds(self, usual: int) -> int:
        """Return how often to measure."""
        return self._rounds or (max(usual // 2, min(usual, 3)) if self.quick else usual)

    # -- processes --------------------------------------------------------------------------------------------------

    def ours(self, *words: str | Path, **more: object) -> Use:
        """Run the installed command maestro-es."""
        return self._run(self._program("ours", "maestro-es"), *words, **more)

    def python(self, *words: str | Path, **more: object) -> Use:
        """Run the Python for which maestro-es is installed."""
        return self._run(self._program("ours", "python"), *words, **more)

    def program(self, name: str, *words: object, environment: str = "ours", **more: object) -> Use:
        """Run one of `programs`, in one of the environments."""
        words = ("-I", "-m", f"tools.benches.programs.{name}", *map(str, words))
        return self._run(self._program(environment, "python"), *map(str, words), **more)

    def maestro(self, *words: str | Path, **more: object) -> Use:
        """Run Maestro's command."""
        return self._run(self._program("peers", "python"), self._program("peers", "maestro"), *words, **more)

    def shell(self, text: str, **more: object) -> Use:
        """Run a script of the shell."""
        return self._run("/bin/sh", "-c", text, **more)

    def _run(self, *words: str | Path, **more: object) -> Use:
        env = {**self.env, **more.pop("env", {})}  # type: ignore[dict-item] # it is a mapping of texts
        return run(*words, env=env, **more)  # type: ignore[arg-type] # the arguments of `run`

    def _program(self, environment: str, name: str) -> Path:
        return self._environments / environment / "bin" / name

    def peer_python(self) -> Path:
        """Return the Python in which what we compare with is installed."""
        return self._program("peers", "python")

    def versions(self, environment: str, names: Iterable[str]) -> dict[str, str]:
        """Return the versions of packages that an environment has."""
        found: dict[str, str] = {}
        for name in names:
            for path in (self._environments / environment).glob(f"lib/python*/site-packages/{name}-*.dist-info"):
                found[name.replace("_", "-")] = path.name.split("-")[1].removesuffix(".dist")
        return found

    def has_peer(self, module: str) -> bool:
        """Return whether the environment of peers has a module."""
        return any((self._environments / "peers").glob(f"lib/python*/site-packages/{module}"))

    def interleave(self, usual: int, actions: Mapping[str, Callable[[], Use]]) -> Series:
        """Measure several actions by turns, as the machine may be busy for a while."""
        series: Series = {name: [] for name in actions}
        for turn in range(self.rounds(usual)):
            for name in list(actions)[:: -1 if turn % 2 else 1]:
                series[name].append(actions[name]())
        return series

    # -- studies ----------------------------------------------------------------------------------------------------

    def study(self, shape: str, steps: int, throttle: int = 0) -> Path:
        """Return a study of a shape on the idle scheduler, which has had its first ticks; made once in a run.

        By default a hundred of its steps are in flight.
        """
        throttle = throttle or in_flight_of(steps)
        key = (shape, steps, throttle)
        if key not in self._studies:
            self._studies[key] = root = self.folder / f"{shape}-{steps}-{throttle}"
            self.program("make_study", root, steps, shape, min(LANES, steps), throttle)
            self.ours("tick", root)
            self.ours("tick", root)
        return self._studies[key]

    def log(self, events: int) -> Path:
        """Return a finished study with about this number of events; made once in a run."""
        if ("log", events) not in self._studies:
            self._studies["log", events] = root = self.folder / f"log-{events}"
            self.program("make_log", root, events)
        return self._studies["log", events]

    def forget(self, root: Path) -> None:
        """Remove a study that a measurement has used up."""
        self._studies = {key: path for key, path in self._studies.items() if path != root}
        shutil.rmtree(root, ignore_errors=True)

    # -- results ----------------------------------------------------------------------------------------------------

    def report(self, key: str, values: Sequence[float], series: Series | None = None) -> None:
        """Keep and print a figure, with what the compared processes took."""
        rows = [
            Row(name, Spread.of(u.cpu for u in uses), Spread.of(u.wall for u in uses), max(u.memory for u in uses))
            for name, uses in (series or {}).items()
        ]
        self._add(Result(key, Spread.of(values), len(values), rows))

    def skip(self, key: str, reason: str) -> None:
        """Say that a figure can't be measured here."""
        self._add(Result(key, None, 0, [], reason))

    def _add(self, result: Result) -> None:
        self.results[result.key] = result
        print(shown(result, self.limit(GOALS[result.key])), flush=True)

    def limit(self, goal: Goal) -> float | None:
        """Return the limit that holds in this run, if any."""
        return goal.guard if self.quick else goal.limit

    def missed(self) -> list[str]:
        """Return the goals that this run misses."""
        limits = {key: self.limit(GOALS[key]) for key in self.results}
        return [key for key, result in self.results.items() if not keeps(result, limits[key])]


def keeps(result: Result, limit: float | None) -> bool:
    """Return whether a result keeps a limit. What was not measured, or has no limit, is not missed."""
    return limit is None or result.value is None or GOALS[result.key].is_met(result.value.median, limit)


def shown(result: Result, limit: float | None) -> str:
    """Return the lines of a result."""
    goal = GOALS[result.key]
    if result.value is None:
        return f"{goal.key:12} {goal.what}\n{'':12} NOT MEASURED: {result.reason}"
    low, median, high = map(goal.show, result.value)
    verdict = "" if limit is None else f", {'met' if keeps(result, limit) else 'MISSED'} ({goal.show_limit(limit)})"
    lines = [f"{goal.key:12} {goal.what}", f"{'':12} {median} [{low} .. {high}], {result.rounds} rounds{verdict}"]
    for row in result.rows:
        cpu, wall = (f"{spread.median:.3f} [{spread.low:.3f} {spread.high:.3f}]" for spread in (row.cpu, row.wall))
        lines.append(f"{'':14} {row.name:44} cpu {cpu} s  wall {wall} s  {row.memory:.0f} MiB")
    return "\n".join(lines)


def in_flight_of(steps: int) -> int:
    """Return how many steps of a study are in flight."""
    return min(IN_FLIGHT, max(steps // 10, 1))


def paired(series: Series, first: str, second: str, what: str = "cpu") -> list[float]:
    """Return the ratios of two actions, round by round."""
    pairs = zip(series[first], series[second], strict=True)
    return [getattr(one, what) / getattr(other, what) for one, other in pairs]


def in_flight(root: Path) -> list[str]:
    """Return the tokens of the steps of a study that are in flight."""
    query = "SELECT token FROM step WHERE phase IN (2, 3)"
    with contextlib.closing(sqlite3.connect(f"file:{root}/events.db?mode=ro", uri=True)) as connection:
        return [token for (token,) in connection.execute(query)]


def end_all(root: Path, code: int = 0) -> None:
    """Report the ends of all steps in flight, as their runners would."""
    for token in in_flight(root):
        (root / ".maestro-es" / "inbox" / f"{token}.exit.{code}").touch()


def asked(root: Path, query: str) -> int:
    """Return the number that a query of a log returns."""
    with contextlib.closing(sqlite3.connect(f"file:{root}/events.db?mode=ro", uri=True)) as connection:
        [(number,)] = connection.execute(query)
    return int(number)


def locks_of(root: Path) -> tuple[Path, Path]:
    """Return the files by whose locks a study is held: against ticks, and against writers of the log."""
    return root / ".maestro-es" / "tick.lock", root / "events.db"
