"""Stores the results of a campaign as JSON, and formats them as the table of ``docs/reliability.md``."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tools.crash_matrix.calls import TOUCHED
from tools.crash_matrix.campaign import Tally
from tools.crash_matrix.coverage import Cell

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- crash matrix: made by tools/crash-matrix --docs -->", "<!-- end of the crash matrix -->"
_HEAD = (
    "fault", "what happens", "times", "studies", "lost", "doubled", "wrongly failed", "no verdict", "overlapping",
    "found again", "given up",
)  # fmt: skip
_RIGHT = 2  # the columns from here on are numbers


@dataclass
class Results:
    """The results of a campaign: a tally for each fault, and a description of the machine."""

    tallies: dict[str, Tally]
    where: str
    seconds: float

    @classmethod
    def of(cls, tallies: Mapping[str, Tally], seconds: float, version: str = "") -> Results:
        """Return the results of a campaign that has just run on this machine, on Slurm or on another scheduler."""
        said = (
            version or subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=False).stdout.strip()
        )
        day = datetime.now(timezone.utc).strftime("%d %B %Y").lstrip("0")
        where = f"{said}, Python {platform.python_version()}, {os.cpu_count()} cores, {day}"
        return cls(dict(tallies), where, seconds)

    @classmethod
    def load(cls, file: Path) -> Results:
        """Read stored results."""
        kept = json.loads(file.read_text())
        tallies = {name: Tally(**fields) for name, fields in kept["faults"].items()}
        return cls(tallies, kept["where"], kept["seconds"])

    def as_json(self) -> dict[str, Any]:
        """Return the results as JSON."""
        faults = {name: asdict(tally) for name, tally in self.tallies.items()}
        return {"where": self.where, "seconds": round(self.seconds), "faults": faults}

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return all(tally.good for tally in self.tallies.values())

    def table(self) -> str:
        """Return the tables in Markdown."""
        rows = [
            (f"`{name}`", t.words, t.tried, t.studies, t.lost, t.doubled, t.wrongly_failed + t.broken,
             t.no_verdict, t.beside, t.adopted, t.given_up)
            for name, t in self.tallies.items()
        ]  # fmt: skip
        total = ("**all**", "", *(sum(int(row[n]) for row in rows) for n in range(_RIGHT, len(_HEAD))))
        lines = [_row(_HEAD), _row(["---"] * _RIGHT + ["---:"] * (len(_HEAD) - _RIGHT)), *map(_row, [*rows, total])]
        minutes = self.seconds / 60
        text = "\n".join([f"{minutes:.0f} minutes on {self.where}.", "", *lines])
        covered = [_coverage(name, tally) for name, tally in self.tallies.items() if tally.coverage]
        return "\n\n".join([text, *covered])


def _coverage(name: str, tally: Tally) -> str:
    """Return the coverage of calls, by the work of the tick and the kind of file."""
    kinds = [kind for kind in TOUCHED if any(kind in row for row in tally.coverage.values())]
    lines = [_row([f"`{name}`", *kinds, "all", "at times"]), _row(["---", *["---:"] * (len(kinds) + 2)])]
    total: dict[str, Cell] = {}
    for scene, row in tally.coverage.items():
        for kind, cell in row.items():
            total[kind] = _sum([total.get(kind, []), cell])
        lines.append(_row([scene, *_cells(row, kinds)]))
    if len(tally.coverage) > 1:
        lines.append(_row(["**all**", *_cells(total, kinds)]))
    return "\n".join(lines)


def _cells(row: Mapping[str, Cell], kinds: Iterable[str]) -> list[str]:
    """Return the cells of one scene, or of all scenes. The last cell is for calls that only some ticks make."""
    both = _sum(row.values())
    tried, known = both[4:] or (0, 0)
    return [*(_cell(row.get(kind)) for kind in kinds), _cell(both), f"{tried}/{known}" if known else "-"]


def _sum(cells: Iterable[Cell]) -> Cell:
    return [sum(numbers) for numbers in zip(*filter(None, cells), strict=True)]


def _cell(cell: Cell | None) -> str:
    """Return how many of the known calls were hit: calls that change something, and calls that read."""
    changes, looks = (f"{cell[n]}/{cell[n + 1]}" if cell and cell[n + 1] else "" for n in (0, 2))
    return " + ".join(filter(None, (changes and f"**{changes}**", looks))) or "-"


def _row(cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def put_into(document: Path, results: Results) -> None:
    """Put the tables between their markers."""
    text = document.read_text()
    made = f"{BEGIN}\n\n{results.table()}\n\n{END}"
    document.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: made, text, flags=re.DOTALL))
