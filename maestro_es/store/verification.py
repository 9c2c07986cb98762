"""Verify a log: every event is as it was written, and the projection is what they add up to.

What is wrong is a `DamagedLog`, which names the first wrong event. If the events are right and the projection differs,
it names the first difference, and ``maestro-es rebuild`` mends it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec

from maestro_es.core.events import InvocationStarted
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import StudyRecord
from maestro_es.core.reducer import apply
from maestro_es.errors import DamagedLog, InvalidTransition
from maestro_es.store import event_log
from maestro_es.store.projection import FIELDS, to_row
from maestro_es.store.study_log import StudyLog


@dataclass(frozen=True)
class Verification:
    """How many events were found right, and the digest of the last one in hex."""

    events: int
    head: str


def verify(log: StudyLog) -> Verification:
    """Check every digest, fold every event in memory, and compare the outcome with the projection row by row.

    Others may append meanwhile: only the end of it, where the projection is compared, keeps them waiting.
    """
    fold = _Fold()
    fold.take(log.rows())
    with log.snapshot() as connection:
        fold.take(log.rows(after=fold.head[0]))
        _check_file(connection)
        for difference in _differences(connection, fold):
            raise DamagedLog(f"{difference}; the events are right: run 'maestro-es rebuild'")
    return Verification(fold.head[0], fold.head[2].hex())


class _Fold:
    """The graph that the events add up to, and the last event that was found right."""

    def __init__(self) -> None:
        self.graph = MemoryGraph()
        self.head = (0, 0, event_log.GENESIS)
        self._invocations: set[int] = set()

    def take(self, rows: Iterable[event_log.Row]) -> None:
        """Check and fold more rows."""
        for row in event_log.check_chain(rows, self.head):
            recorded = event_log.decode(row)
            if isinstance(recorded.event, InvocationStarted):
                self._invocations.add(recorded.seq)
            if recorded.invocation not in self._invocations:
                raise DamagedLog(f"event {recorded.seq}: event {recorded.invocation} is no start of an invocation")
            try:
                apply(self.graph, recorded)
            except InvalidTransition as error:
                raise DamagedLog(f"{error}: the log was not written by maestro-es alone") from None
            self.head = (row[0], row[1], row[7])


def _check_file(connection: sqlite3.Connection) -> None:
    """Let SQLite check the file: its pages, and each index against its table."""
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        raise DamagedLog(f"the file is damaged: {found[0]}; restore it from a copy")


def _differences(connection: sqlite3.Connection, fold: _Fold) -> Iterator[str]:
    """Yield what in the projection is not as the events have it."""
    graph = fold.graph
    numbers = range(1, graph.study.steps + 1)
    yield from _study(connection, fold)
    yield from _steps(connection, graph)
    edges = ((parent, child) for parent in numbers for child in graph.children(parent))
    yield from _rows(connection, "edge", ("parent", "child"), edges, 2)
    funnels = sorted((template, child) for child in numbers for template in graph.funnels(child))
    yield from _rows(connection, "funnel", ("template", "child"), funnels, 2)
    templates = sorted((t.name, msgspec.json.encode(t).decode(), graph.unfinished(t.name)) for t in graph.templates())
    yield from _rows(connection, "template", ("name", "data", "unfinished"), templates, 1)


def _study(connection: sqlite3.Connection, fold: _Fold) -> Iterator[str]:
    row = connection.execute("SELECT applied_seq, study FROM projection").fetchone()
    seq = fold.head[0]
    if not row:
        if seq:
            yield "the projection has no record of the study"
        return
    if row[0] > seq:
        raise DamagedLog(f"the log ends with event {seq}, but it had {row[0]}: events were taken away")
    if row[0] < seq:
        yield f"the projection stands at event {row[0]}, the log at {seq}"
    expected = msgspec.to_builtins(fold.graph.study)
    try:
        found = msgspec.to_builtins(msgspec.json.decode(row[1], type=StudyRecord))
    except msgspec.DecodeError as error:
        yield f"the projection's record of the study can't be read: {error}"
        return
    for name, value in expected.items():
        if found[name] != value:
            yield _differs("the study", name, found[name], value)


def _steps(connection: sqlite3.Connection, graph: MemoryGraph) -> Iterator[str]:
    found = connection.execute(f"SELECT {', '.join(FIELDS)} FROM step ORDER BY number")
    for record, row in zip_longest(graph.steps(), found):
        if record is None or (row and row[0] < record.number):
            yield f"the projection has a step {row[0]} ({row[1]!r}) too many"
            return
        if row is None or row[0] > record.number:
            yield f"the projection lacks step {record.number} ({record.name!r})"
            return
        expected = to_row(record)
        if expected != list(row):
            yield from _fields(f"step {record.number} ({record.name!r})", FIELDS, row, expected)


def _rows(
    connection: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    expected: Iterable[tuple[Any, ...]],
    keys: int,
) -> Iterator[str]:
    """Compare a table with its expected rows, both in the order of the primary key: the first `keys` columns."""
    order = ", ".join(columns[:keys])
    found = connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")
    for right, row in zip_longest(expected, found):
        if right is None or (row and row[:keys] < right[:keys]):
            yield f"the projection has a row too many in {table}: {_named(columns[:keys], row)}"
            return
        if row is None or row[:keys] > right[:keys]:
            yield f"the projection lacks a row in {table}: {_named(columns[:keys], right)}"
            return
        yield from _fields(f"{table} {row[0]!r}", columns, row, right)


def _fields(what: str, names: Iterable[str], found: Iterable[object], expected: Iterable[object]) -> Iterator[str]:
    for name, value, right in zip(names, found, expected, strict=True):
        if value != right:
            yield _differs(what, name, value, right)


def _differs(what: str, name: str, found: object, expected: object) -> str:
    return f"the projection of {what} differs in {name}: it has {found!r}, the events add up to {expected!r}"


def _named(columns: tuple[str, ...], row: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in zip(columns, row, strict=False))
