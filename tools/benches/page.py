"""Writes docs/performance.md from stored results.

Results are kept for each goal, so that a run of some measurements replaces only theirs. Those of another machine are
dropped, as figures of two machines can't be compared.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.benches.context import Bench, Result, Row, Spread, keeps
from tools.benches.goals import GOALS, MISSES, Goal

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "performance.json", DOCS / "performance.md"

#: What identifies a machine in the stored results.
_SAME = ("processor", "cores")

_HEAD = """\
# Performance

`tools/bench --write` writes this page from the results of its runs. Don't edit it. The goals, and the reasons for
those that are missed, are in `tools/benches/goals.py`.

The bench measures from outside: it installs a wheel of the checkout and runs whole processes. CPU time is user and
system time of a process and its children. Memory is the peak of a process, but at least that of the bench itself
(about 16 MiB). Processes that are compared take turns. Each ratio is the median of the ratios of all rounds, and
brackets contain the quartiles. Only ratios within one run can be compared between machines.

- *Idle* is a scheduler that accepts jobs and does nothing.
- *Lanes* are chains of steps side by side. In a *wide* study no step depends on another one. In a *fan* all steps
  depend on the first one, and in a *funnel* the last step depends on all.
- A *bare insert* inserts the same rows into SQLite with Python's `executemany`.
"""


def store(bench: Bench) -> None:
    """Add the results of a run to the stored ones."""
    stored = load()
    facts = machine(bench)
    same = all(stored["machine"].get(name) == facts[name] for name in _SAME)
    date = time.strftime("%Y-%m-%d")
    results = dict(stored["results"]) if same else {}
    for key, result in bench.results.items():
        results[key] = {"date": date, "size": size_of(result, bench), **result._asdict()}
    ordered = {key: results[key] for key in GOALS if key in results}
    RESULTS.write_text(dumped(facts, ordered))


def dumped(facts: Mapping[str, str], results: Mapping[str, Any]) -> str:
    """Return the stored form, with one line for each result."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in results.items())
    return f'{{\n "machine": {json.dumps(facts)},\n "results": {{\n{lines}\n }}\n}}\n'


def size_of(result: Result, bench: Bench) -> int:
    """Return the largest number of steps or events that a result is about."""
    names = " ".join(row.name for row in result.rows)
    numbers = re.findall(r"([\d,]+) (?:steps|events|jobs|scripts|rows)", names)
    return max((int(number.replace(",", "")) for number in numbers), default=bench.largest)


def load() -> dict[str, Any]:
    """Return the stored results."""
    loaded: dict[str, Any] = {"machine": {}, "results": {}}
    if RESULTS.exists():
        loaded = json.loads(RESULTS.read_text())
    return loaded


def machine(bench: Bench) -> dict[str, str]:
    """Return what is known about the machine and the versions."""
    cpus = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": cpus[0] if cpus else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[2]:.1f}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **bench.versions("ours", ("maestro_es", "msgspec", "click")),
        **bench.versions("peers", ("maestrowf", "eventsourcing")),
    }


def page(stored: Mapping[str, Any]) -> str:
    """Return the page."""
    facts = dict(stored["machine"])
    load_average = facts.pop("load", "unknown")
    versions = ", ".join(f"{name} {value}" for name, value in facts.items())
    entries = {key: (entry, unpacked(entry)) for key, entry in stored["results"].items() if key in GOALS}
    found = {key: result for key, (_, result) in entries.items()}
    return "\n".join(
        [
            _HEAD,
            f"Machine and versions: {versions}. The load average after the last run was {load_average}.\n",
            "## Goals\n",
            "| | what | goal | measured | steps or events | date |",
            "|---|---|---|---|---|---|",
            *(goal_line(goal, *entries.get(key, ({}, None))) for key, goal in GOALS.items()),
            "\n## Missed goals\n",
            *(explained(GOALS[key], result) for key, result in found.items() if not keeps(result, GOALS[key].limit)),
            "## Figures\n",
            "Medians with quartiles; seconds, and MiB for the peak memory.",
            *(figures(GOALS[key], result) for key, result in found.items() if result.rows),
        ]
    )


def unpacked(entry: Mapping[str, Any]) -> Result:
    """Return a result from its stored form."""
    rows = [Row(name, Spread(*cpu), Spread(*wall), memory) for name, cpu, wall, memory in entry["rows"]]
    value = Spread(*entry["value"]) if entry["value"] else None
    return Result(entry["key"], value, entry["rounds"], rows, entry["reason"])


def goal_line(goal: Goal, entry: Mapping[str, Any], result: Result | None) -> str:
    """Return the line of the table for a goal."""
    if result is None or result.value is None:
        measured = f"not measured: {result.reason}" if result else "not measured"
    else:
        low, median, high = map(goal.show, result.value)
        mark = "" if keeps(result, goal.limit) else " **missed**"
        measured = f"{median}{mark}" if low == high else f"{median} [{low}, {high}]{mark}"
    size = f"{entry['size']:,}" if entry else ""
    return (
        f"| {goal.key} | {goal.what} | {goal.show_limit(goal.limit)} | {measured} | {size} | {entry.get('date', '')} |"
    )


def explained(goal: Goal, result: Result) -> str:
    """Return the reason why a goal is missed."""
    assert result.value is not None
    value, limit = goal.show(result.value.median), goal.show_limit(goal.limit)
    return f"**{goal.key}**, {value} instead of {limit}. {MISSES.get(goal.key, '')}\n"


def figures(goal: Goal, result: Result) -> str:
    """Return the table with what the processes of a goal took."""
    lines = [
        f"\n**{goal.key}**: {goal.what}; {result.rounds} rounds\n",
        "| process | CPU | wall | memory |",
        "|---|---|---|---|",
    ]
    for row in result.rows:
        cpu, wall = (f"{spread.median:.3f} [{spread.low:.3f}, {spread.high:.3f}]" for spread in (row.cpu, row.wall))
        lines.append(f"| {row.name} | {cpu} | {wall} | {row.memory:.0f} |")
    return "\n".join(lines)


def write() -> None:
    """Write the page from the stored results."""
    PAGE.write_text(page(load()).rstrip() + "\n")
