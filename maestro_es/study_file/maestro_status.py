"""Reads ``status.csv`` as Maestro 1.2.1 writes it: without quotes, and with local times.

`maestro_es.creation.import_rules` and `maestro_es.creation.recovery_rules` decide what a row means for a step.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maestro_es.core.model import Micros, State
from maestro_es.errors import StudyError

_HEADER = (
    "Step Name,Job ID,Workspace,State,Run Time,Elapsed Time,Start Time,Submit Time,End Time,Number Restarts,Params"
)

#: The number of columns after the name of the step.
_COLUMNS = _HEADER.count(",")

_NONE = "--"


@dataclass(frozen=True)
class Row:
    """The row of one step. `params` is unparsed: ``KEY:VALUE;KEY:VALUE``."""

    name: str
    job_id: str
    state: State
    submitted_at: Micros | None
    started_at: Micros | None
    ended_at: Micros | None
    restarts: int
    params: str


def read_rows(path: Path, names: Iterable[str]) -> dict[str, Row]:
    """Read the table. StudyError if it lacks any step in `names`, because the step would seem not to have run."""
    try:
        lines = path.read_text("utf-8", "replace").split("\n")
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}; without it the steps that have run are unknown") from None
    if lines[0] != _HEADER:
        raise StudyError(f"{path}: is not a status table of Maestro; its first line is {lines[0]!r}")
    known = set(names)
    rows = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        try:
            row = _row(line, known)
        except (KeyError, ValueError) as error:
            raise StudyError(f"{path}:{number}: can't be read ({error}); was the table truncated?") from None
        rows[row.name] = row
    missing = sorted(known - rows.keys())
    if missing:
        raise StudyError(
            f"{path}: has no line for {missing[0]} and {len(missing) - 1} others; was the table truncated?"
        )
    return rows


def _row(line: str, known: set[str]) -> Row:
    """Read a line. The name and the parameters may contain commas. The columns between them can't."""
    name = _name(line, known)
    cells = line[len(name) + 1 :].split(",", _COLUMNS - 1)
    if len(cells) < _COLUMNS:
        raise ValueError("it is too short")
    job_id, _, state, _, _, started, submitted, ended, restarts, params = cells
    return Row(
        name=name,
        job_id="" if job_id == _NONE else job_id,
        state=State[state],
        submitted_at=_time(submitted),
        started_at=_time(started),
        ended_at=_time(ended),
        restarts=int(restarts),
        params=params,
    )


def _name(line: str, known: set[str]) -> str:
    """Return the longest known name with which the line begins."""
    end = line.rfind(",")
    while end > 0:
        if line[:end] in known:
            return line[:end]
        end = line.rfind(",", 0, end)
    raise KeyError("it does not begin with a step of this study")


def _time(text: str) -> Micros | None:
    return None if text == _NONE else local_time(text)


def local_time(text: str) -> Micros:
    """Return the time that Maestro writes as ``YYYY-MM-DD HH:MM:SS``. ValueError if the text is not a time."""
    return int(time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))) * 1_000_000
