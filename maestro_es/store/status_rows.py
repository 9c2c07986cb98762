"""Reads the columns of ``status.csv`` directly from the table `step`, without making records of steps.

The lines of the file are in the order of the column `row`. All functions read inside a transaction of the caller.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Union

import msgspec

from maestro_es.core.model import BAD_ENDS, Micros, Param, State, StepRecord
from maestro_es.store.graph_queries import BY_NUMBER, SELECT
from maestro_es.store.log_reader import LogReader
from maestro_es.store.step_rows import as_json, damaged, from_row, params_of

_COLUMNS = "row, number, name, job_id, workspace, state, started_at, submitted_at, ended_at, restarts, params"
_LINES = "row, number"

#: How many outlines are read at a time, and how many rows are checked together.
_PAGE, _CHECKED = 1000, 200
_OUTLINES = "SELECT number, name, state FROM step WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number"

#: The rows have no order, because SQLite would read all steps to sort them by their lines.
_ABOUT = "WHERE number IN (SELECT step FROM event WHERE seq > ? AND step IS NOT NULL)"
_RUNNING = f"WHERE phase IN (2, 3) AND state = '{State.RUNNING.name}'"

_REMARKABLE = "held = 1 OR skipped = 1 OR doubted = 1 OR message != '' OR cause IS NOT NULL"

_TIME = Union[int, None]
#: The types of the columns. Another program may have written values of other types.
_TYPES = list[tuple[int, int, str, str, str, str, _TIME, _TIME, _TIME, int, str]]

_STATES = dict(State.__members__)


class StatusRow(msgspec.Struct, array_like=True, gc=False):
    """The fields of a step that the file shows. They have the names of the fields of `StepRecord`.

    `why` says why a step did not succeed. It is not in the file, and empty unless it was added.
    """

    row: int
    number: int
    name: str
    job_id: str
    workspace: str
    state: State
    started_at: Micros | None
    submitted_at: Micros | None
    ended_at: Micros | None
    restarts: int
    params: tuple[Param, ...]
    why: str = ""


def all_rows(connection: sqlite3.Connection) -> Iterator[StatusRow]:
    """Yield all rows in the order of their lines."""
    return _select(connection, f"ORDER BY {_LINES}")


def rows_between(connection: sqlite3.Connection, first: int, end: int) -> Iterator[StatusRow]:
    """Yield the rows with ``first <= row < end``, in the order of their lines."""
    return _select(connection, f"WHERE row >= ? AND row < ? ORDER BY {_LINES}", first, end)


def numbers_between(connection: sqlite3.Connection, first: int, end: int) -> list[int]:
    """Return the numbers of the steps that `rows_between` yields, in the same order. Only an index is read."""
    query = f"SELECT number FROM step WHERE row >= ? AND row < ? ORDER BY {_LINES}"
    return [number for (number,) in connection.execute(query, (first, end))]


def rows_since(connection: sqlite3.Connection, seq: int) -> list[StatusRow]:
    """Return the rows of all steps with events after `seq`, in no order.

    No other row can have changed.
    """
    return list(_select(connection, _ABOUT, seq))


def running_rows(connection: sqlite3.Connection) -> list[StatusRow]:
    """Return the rows of the running steps, whose run time grows, in no order."""
    return list(_select(connection, _RUNNING))


def outlines(
    log: LogReader, reason: Callable[[StepRecord], str], numbers: Iterable[int]
) -> Iterator[tuple[int, str, State, str]]:
    """Yield the number, name and state of each step, and why it did not succeed, if it has ended so.

    The steps must be given in the order of their numbers.
    """
    rest = iter(numbers)
    while some := list(itertools.islice(rest, _PAGE)):
        rows = [
            (int(str(row[0])), str(row[1]), _state(row[0], row[2])) for row in log.query(_OUTLINES, (as_json(some),))
        ]
        bad = [number for number, _, state in rows if state in BAD_ENDS]
        records = map(from_row, log.query(BY_NUMBER, (as_json(bad),)) if bad else ())
        reasons = {step.number: reason(step) for step in records}
        yield from ((number, name, state, reasons.get(number, "")) for number, name, state in rows)


def explained_rows(connection: sqlite3.Connection, reason: Callable[[StepRecord], str]) -> Iterator[StatusRow]:
    """Yield all rows in the order of their lines, with the reasons why some steps did not succeed.

    Only the steps about which there may be something to say are read as records.
    """
    remarkable = map(from_row, connection.execute(f"{SELECT} WHERE {_REMARKABLE} ORDER BY {_LINES}"))
    next_one = next(remarkable, None)
    for row in all_rows(connection):
        if next_one and next_one.number == row.number:
            row.why = reason(next_one)
            next_one = next(remarkable, None)
        yield row


def _select(connection: sqlite3.Connection, which: str, *values: int) -> Iterator[StatusRow]:
    """Yield the rows of some steps."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM step {which}", values)
    while some := rows.fetchmany(_CHECKED):
        yield from _read(some)


def _read(rows: list[tuple[Any, ...]]) -> Iterator[StatusRow]:
    """Yield rows. DamagedLog if a row has a value that no step can have."""
    for line, number, name, job_id, workspace, state, started, submitted, ended, restarts, params in _checked(rows):
        read = () if params == "[]" else params_of(number, params)
        yield StatusRow(
            line, number, name, job_id, workspace, _state(number, state), started, submitted, ended, restarts, read
        )


def _state(number: object, name: object) -> State:
    state = _STATES.get(str(name))
    if state is None:
        raise damaged(f"of step {number}", f"{name!r} is not a state")
    return state


def _checked(rows: list[tuple[Any, ...]]) -> list[Any]:
    """Return rows with the right types.

    It is faster to check many together. If that fails, each is checked alone, so that the error names the step.
    """
    try:
        return msgspec.convert(rows, _TYPES)
    except msgspec.ValidationError as error:
        if len(rows) > 1:
            return [right for row in rows for right in _checked([row])]
        raise damaged(f"of step {rows[0][1]}", error) from None
