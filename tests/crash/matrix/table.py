"""The results of a campaign: kept as JSON, and shown as the table of ``docs/reliability.md``."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.crash.matrix.campaign import PLANNED, Tally
from tests.crash.matrix.kills import PHASES

DOCUMENT = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- crash matrix: made by tools/crash-matrix --docs -->", "<!-- end of the crash matrix -->"
_HEAD = (
    "fault", "what happens", "times", "studies", "lost", "doubled", "wrongly failed", "no verdict", "found again",
    "given up",
)  # fmt: skip
_RIGHT = 2  # columns from here on are numbers


@dataclass
class Results:
    """What a campaign adds up to: a tally for each fault, and where it was run, in words."""

    tallies: dict[str, Tally]
    where: str
    seconds: float

    @classmethod
    def of(cls, tallies: Mapping[str, Tally], seconds: float) -> Results:
        """Return the results of a campaign that was run here and now."""
        said = subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=False).stdout.strip()
        day = datetime.now(timezone.utc).strftime("%d %B %Y").lstrip("0")
        where = f"{said}, Python {platform.python_version()}, {os.cpu_count()} cores, {day}"
        return cls(dict(tallies), where, seconds)

    @classmethod
    def load(cls, file: Path) -> Results:
        """Read results that were kept."""
        kept = json.loads(file.read_text())
        tallies = {name: Tally(**fields) for name, fields in kept["faults"].items()}
        return cls(tallies, kept["where"], kept["seconds"])

    def as_json(self) -> dict[str, Any]:
        """Return what is kept."""
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
             t.no_verdict, t.adopted, t.given_up)
            for name, t in self.tallies.items()
        ]  # fmt: skip
        total = ("**all**", "", *(sum(int(row[n]) for row in rows) for n in range(_RIGHT, len(_HEAD))))
        lines = [_row(_HEAD), _row(["---"] * _RIGHT + ["---:"] * (len(_HEAD) - _RIGHT)), *map(_row, [*rows, total])]
        minutes = self.seconds / 60
        text = "\n".join([f"{minutes:.0f} minutes on {self.where}.", "", *lines])
        planned = self.tallies.get(PLANNED)
        return f"{text}\n\n{_kills(planned)}" if planned else text


def _kills(tally: Tally) -> str:
    """Return where ticks were killed: by what they found to do, and by what the call would have touched."""
    counts: Counter[tuple[str, str]] = Counter()
    calls: set[str] = set()
    for detail, number in tally.details.items():
        phase, _, rest = detail.partition(": ")
        touched, _, call = rest.partition(": ")
        if call:
            counts[phase, touched or "other"] += number
            calls.add(call)
    kinds = sorted({touched for _, touched in counts})
    lines = [
        _row(["killed by what the tick had to do, and what the call was about", *kinds]),
        _row(["---", *["---:"] * len(kinds)]),
    ]
    lines += [_row([phase, *(counts[phase, kind] for kind in kinds)]) for phase in PHASES]
    return "\n".join([*lines, "", f"Calls: {', '.join(f'`{call}`' for call in sorted(calls))}."])


def _row(cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def put_into(document: Path, results: Results) -> None:
    """Put the tables between their markers."""
    text = document.read_text()
    made = f"{BEGIN}\n\n{results.table()}\n\n{END}"
    document.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: made, text, flags=re.DOTALL))
