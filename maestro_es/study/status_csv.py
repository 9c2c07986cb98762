"""Formats the table ``status.csv`` as Maestro does, for Maestro's ``status`` and for users' scripts.

`maestro_es.study.status_file` writes the file. Maestro 1.2.1 splits its lines at every comma, quoted or not
(``csvtable_to_dict``), and crashes on a comma inside a value. So in the file, and only there, a comma in a value is
replaced by a similar character, and a line break by a space.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from maestro_es.core.model import Micros, Param, State, StepRecord

#: Maestro's header, exactly.
HEADER = (
    "Step Name", "Job ID", "Workspace", "State", "Run Time", "Elapsed Time", "Start Time", "Submit Time", "End Time",
    "Number Restarts", "Params",
)  # fmt: skip

#: Characters that Maestro can't read in a value, and their substitutes. U+201A, a quotation mark, looks like a comma.
_UNREADABLE = str.maketrans({",": "\u201a", "\n": " ", "\r": " "})

_NO_DURATION = "--:--:--"

#: In microseconds.
_SECOND = 1_000_000


class ShownStep(Protocol):
    """The fields of a step that the table shows. A `StepRecord` holds them, too."""

    @property
    def row(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def job_id(self) -> str: ...
    @property
    def workspace(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def started_at(self) -> Micros | None: ...
    @property
    def submitted_at(self) -> Micros | None: ...
    @property
    def ended_at(self) -> Micros | None: ...
    @property
    def restarts(self) -> int: ...
    @property
    def params(self) -> tuple[Param, ...]: ...


def status_lines(steps: Iterable[ShownStep], now: Micros) -> Iterator[str]:
    """Yield the lines of the table as CSV with unchanged values. The steps must be in Maestro's order."""
    import csv  # noqa: PLC0415 - a tick does not need it: `maestro_text` writes another format

    # before Python 3.13, a cell with a line break is quoted only if the writer ends its lines with that line break
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    yield str(writer.writerow(HEADER))[:-2]
    yield from (str(writer.writerow(status_row(step, now)))[:-2] for step in steps)


class _Echo:
    """A file that returns what is written."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


def maestro_text(steps: Iterable[StepRecord], now: Micros) -> str:
    """Return the table as Maestro writes and reads it: without quotes, and with commas only between columns."""
    return "\n".join(map(_line, _table(steps, now)))


def maestro_header() -> str:
    """Return the first line of the file, without its line break."""
    return _line(HEADER)


def maestro_line(step: ShownStep, now: Micros) -> str:
    """Return the line of one step in the file, without its line break."""
    return _line(status_row(step, now))


def _line(row: Sequence[str]) -> str:
    line = ",".join(row)
    if line.count(",") == len(row) - 1 and "\n" not in line and "\r" not in line:  # true for most lines
        return line
    return ",".join(cell.translate(_UNREADABLE) for cell in row)


def _table(steps: Iterable[ShownStep], now: Micros) -> Iterator[Sequence[str]]:
    yield HEADER
    for step in sorted(steps, key=lambda step: (step.row, step.number)):
        yield status_row(step, now)


def status_row(step: ShownStep, now: Micros) -> list[str]:
    """Return the columns of one step."""
    return [*status_cells(step, now), ";".join(f"{param.key}:{param.value}" for param in step.params)]


def status_cells(step: ShownStep, now: Micros) -> list[str]:
    """Return the columns of one step without the parameters."""
    end = _end(step, now)
    return [
        step.name,
        step.job_id or "--",
        shown_workspace(step),
        step.state._name_,  # `name` calls a function
        duration(step.started_at, end),
        duration(step.submitted_at, end),
        local_time(step.started_at),
        local_time(step.submitted_at),
        local_time(step.ended_at),
        str(step.restarts),
    ]


def shown_workspace(step: ShownStep) -> str:
    """Return the last parts of a workspace's path: two for a parameterised step, one for any other."""
    workspace = step.workspace
    if not step.params:
        return workspace.rpartition("/")[2]
    return workspace if workspace.count("/") < 2 else "/".join(workspace.split("/")[-2:])  # noqa: PLR2004 - parts


def run_time(step: ShownStep, now: Micros) -> str:
    """Return how long a step ran, or has been running (dashes: it has not started)."""
    return duration(step.started_at, _end(step, now))


def elapsed_time(step: ShownStep, now: Micros) -> str:
    """Return the time from the first submission of a step to its end, or to now if it runs.

    Otherwise return dashes.
    """
    return duration(step.submitted_at, _end(step, now))


def _end(step: ShownStep, now: Micros) -> Micros | None:
    return step.ended_at or (now if step.state is State.RUNNING else None)


def duration(start: Micros | None, end: Micros | None) -> str:
    """Return a duration as ``0d:00h:00m:03s``. The times are truncated to whole seconds first.

    Dashes if either time is None.
    """
    if start is None or end is None:
        return _NO_DURATION
    seconds = max(end // _SECOND - start // _SECOND, 0)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{days}d:{hours:02}h:{minutes:02}m:{seconds:02}s"


def local_time(at: Micros | None) -> str:
    """Return a time as ``YYYY-MM-DD HH:MM:SS`` in the host's time zone (None: ``--``).

    Fractions of a second are truncated, as in all tables, so that all show the same time.
    """
    if at is None:
        return "--"
    return _second(at // _SECOND, time.tzname)


@functools.lru_cache(maxsize=4096)
def _second(at: int, _zone: tuple[str, str]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
