"""Verifies a log: all events must be unchanged, and the projection must be the state that results from them.

A `DamagedLog` names the first wrong event. If the events are right and the projection differs, it names the first
difference, which ``maestro-es rebuild`` repairs. For programs, `details` holds the same data: ``check``, ``seq``,
``type`` and ``step`` for an event, and ``table``, ``row``, ``column``, ``log`` and ``found`` for the projection.
"""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Generic

import msgspec

from maestro_es.core.events import InvocationStarted, Recorded, StepTemplateAdded
from maestro_es.core.model import Micros, StudyRecord
from maestro_es.core.reducer import AnyGraph, Block, apply, apply_all, uncollected
from maestro_es.errors import DamagedLog, InvalidTransition, NewerLog, RequestRefused
from maestro_es.spool import room_for
from maestro_es.store import corrections, event_log, migrations
from maestro_es.store.event_blocks import SealedBlock
from maestro_es.store.log_file import RESTORE
from maestro_es.store.past_graph import PastGraph
from maestro_es.store.step_rows import FIELDS, to_row
from maestro_es.store.study_log import StudyLog

#: How many rows are read one by one before the next are read in bulk.
_ROWS = 1000

#: The smallest and largest number of hexadecimal digits that identify a digest.
_DIGITS = range(8, 65)


@dataclass(frozen=True)
class Verification:
    """The number of verified events, and the digest of the last one in hex."""

    events: int
    head: str


@dataclass(frozen=True)
class Known:
    """The event that has a certain digest. No event up to this one has changed since this one was the last.

    If `corrected`, some payloads were corrected later. EventsCorrected has the old payloads.
    """

    seq: int
    recorded_at: Micros
    head: str
    corrected: bool = False


def verify(log: StudyLog) -> Verification:
    """Check every digest, replay every event, and compare the result with the projection row by row.

    Other processes may append meanwhile. They wait only during the comparison with the projection at the end.
    """
    with room_for("the steps of the log"):
        fold = Fold(VerifiedGraph(log))
        if not fold.take_in_bulk(log, fold.graph.prepared):
            fold = Fold(VerifiedGraph(log))
            fold.take(log.readable_rows())
        log.catch_up()
        with log.snapshot() as connection:
            fold.take(log.rows(after=fold.head[0]))
            _check_file(connection)
            for difference in _differences(connection, fold):
                raise difference
            _check_schema(connection)
    return Verification(fold.head[0], fold.head[2].hex())


class VerifiedGraph(PastGraph):
    """The state that results from the events alone: nothing is read from the tables, which may be wrong.

    It does not notice that two steps have the same name. But the table of steps can have a name only once, so the
    table would lack the second step.
    """

    def __init__(self, log: StudyLog) -> None:
        super().__init__(log)
        self._data: dict[str, bytes] = {}

    def add_template(self, template: StepTemplateAdded) -> None:
        super().add_template(template)
        self._data[template.name] = msgspec.json.encode(template)

    def template(self, name: str) -> StepTemplateAdded:
        return msgspec.json.decode(self._data[name], type=StepTemplateAdded)


def prove(log: StudyLog, head: str) -> Known:
    """Find the event whose digest begins with these digits, and check that all events up to it are unchanged."""
    if len(head) not in _DIGITS or not set(head) <= set("0123456789abcdefABCDEF"):
        raise RequestRefused(
            f"--head takes {_DIGITS[0]} to {_DIGITS[-1]} hexadecimal digits of a digest, not {head!r}"
        )
    query = "SELECT seq FROM event WHERE hex(digest) LIKE ? LIMIT 2"
    rows = log.query(query, (f"{head}%",))
    if not rows:
        was = corrections.find_before(log, head)
        if was:
            return Known(was[0][0], was[0][1], was[1], corrected=True)
        raise DamagedLog(f"no event has the digest {head}: this is another log, or the log was changed")
    if len(rows) > 1:
        raise RequestRefused(
            f"events {rows[0][0]} and {rows[1][0]} both have a digest that begins with {head}: give more digits"
        )
    known = Known(0, 0, "")
    for row in event_log.check_chain(log.readable_rows(int(str(rows[0][0])))):
        known = Known(row[0], row[1], row[7].hex())
    return known


class Fold(Generic[AnyGraph]):
    """The graph that results from rows of a log, and the last verified row."""

    def __init__(self, graph: AnyGraph) -> None:
        self.graph = graph
        self.head = event_log.EMPTY
        self._versions: dict[int, str] = {}

    def take(self, rows: Iterable[event_log.Row]) -> None:
        """Check and apply more rows."""
        for _ in self.checked(rows):
            pass

    def take_in_bulk(self, log: StudyLog, prepared: Callable[[Block], Block]) -> bool:
        """Check and apply all rows of a log, in blocks that are `prepared` for the graph.

        If this returns False, `take` on a new graph will name the problem.
        """
        upto = log.head.seq
        with uncollected():
            while self.head.seq < upto:
                sealed = log.sealed_block(self.head, upto)
                if sealed is None:
                    self.take(log.readable_rows(min(self.head.seq + _ROWS, upto), self.head.seq))
                elif not self._take_block(sealed, prepared):
                    return False
        return True

    def _take_block(self, sealed: SealedBlock, prepared: Callable[[Block], Block]) -> bool:
        block = sealed.decoded()
        if block is None:
            return False
        seqs = range(block.first, block.first + len(block.events))
        for seq, event in zip(seqs, block.events, strict=True):
            if isinstance(event, InvocationStarted):
                self._versions[seq] = event.version
        started = self._versions.keys() >= set(sealed.invocations)
        if not started or not all(map(operator.le, sealed.invocations, seqs)):
            return False
        try:
            apply_all(self.graph, prepared(block))
        except InvalidTransition:
            return False
        self.head = sealed.head
        return True

    def checked(self, rows: Iterable[event_log.Row]) -> Iterator[event_log.Row]:
        """Pass rows on, each after it was checked and applied.

        DamagedLog names the first wrong row. NewerLog names the version that wrote an unreadable row.
        """
        row: event_log.Row | None = None

        def seen() -> Iterator[event_log.Row]:
            nonlocal row
            for row in rows:  # noqa: UP028 - `row` is what the error is about
                yield row

        try:
            for right in event_log.check_chain(seen(), self.head):
                self._fold(_decoded(right))
                self.head = event_log.Head(right[0], right[1], right[7])
                yield right
        except NewerLog as error:
            writer = self._versions.get(row[2], "") if row else ""
            raise NewerLog(event_log.written_by_newer(str(error), writer)) from None
        except DamagedLog as error:
            if row is None or error.details.get("seq", row[0]) != row[0]:
                raise
            raise self._placed(error, row) from None

    def _fold(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, InvocationStarted):
            self._versions[recorded.seq] = recorded.event.version
        if recorded.invocation not in self._versions:
            message = f"event {recorded.seq}: event {recorded.invocation} is not the start of an invocation"
            raise DamagedLog(message, check="invocation")
        try:
            apply(self.graph, recorded)
        except InvalidTransition as error:
            raise DamagedLog(f"{error}: the log was not written by maestro-es alone", check="transition") from None

    def _placed(self, error: DamagedLog, row: event_log.Row) -> DamagedLog:
        """Return the error with the type of the event and the name of its step."""
        seq, _, _, step, name, *_ = row
        shown = str(name) if str(name).isidentifier() else repr(name)
        about = ""
        if step is not None:
            try:
                about = f" of step {self.graph.step(step).name!r}"
            except (KeyError, TypeError):
                about = f" of step {step!r}"
        details = {"check": "payload", "seq": seq, "type": str(name), "step": step, **error.details}
        return DamagedLog(f"{error} ({shown}{about})", **details)


def _decoded(row: event_log.Row) -> Recorded:
    """Return the event of a row whose digest is right."""
    try:
        return event_log.decode(row)
    except DamagedLog as error:
        raise DamagedLog(f"{error}; {event_log.CORRECT}", **error.details) from None


def _check_file(connection: sqlite3.Connection) -> None:
    """Let SQLite check the pages of the file, and each index against its table."""
    results = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if results != ["ok"]:
        raise DamagedLog(f"the file is damaged: {' '.join(results[0].split())}; {RESTORE}", check="file")


def _check_schema(connection: sqlite3.Connection) -> None:
    """Check that all indexes exist, and all triggers that protect the log."""
    for name in migrations.schema_drift(connection):
        message = f"the file's {name} is not as it was made; the events are right: run 'maestro-es rebuild'"
        raise DamagedLog(message, check="schema")


def _differences(connection: sqlite3.Connection, fold: Fold[VerifiedGraph]) -> Iterator[DamagedLog]:
    """Yield the differences between the projection and the state that results from the events."""
    graph = fold.graph
    numbers = range(1, graph.study.steps + 1)
    yield from _study(connection, fold)
    yield from _steps(connection, graph)
    edges = ((parent, child) for parent in numbers for child in sorted(graph.children(parent)))
    yield from _rows(connection, "edge", ("parent", "child"), edges, 2)
    funnels = sorted((template, child) for child in numbers for template in graph.funnels(child))
    yield from _rows(connection, "funnel", ("template", "child"), funnels, 2)
    templates = sorted((t.name, msgspec.json.encode(t).decode(), graph.unfinished(t.name)) for t in graph.templates())
    yield from _rows(connection, "template", ("name", "data", "unfinished"), templates, 1)


def _study(connection: sqlite3.Connection, fold: Fold[VerifiedGraph]) -> Iterator[DamagedLog]:
    row = connection.execute("SELECT applied_seq, study FROM projection").fetchone()
    seq = fold.head[0]
    if not row:
        if seq:
            yield _different("the projection has no record of the study", "projection")
        return
    if row[0] > seq:
        message = f"the log ends with event {seq}, but it had {row[0]}: events were removed"
        raise DamagedLog(message, check="gap", seq=seq + 1)
    if row[0] < seq:
        yield _different(f"the projection is at event {row[0]}, the log at {seq}", "projection")
    expected = msgspec.to_builtins(fold.graph.study)
    try:
        stored = msgspec.to_builtins(msgspec.json.decode(row[1], type=StudyRecord))
    except msgspec.DecodeError as error:
        yield _different(f"the projection's record of the study can't be read: {error}", "projection")
        return
    for name, value in expected.items():
        if stored[name] != value:
            yield _differs("the study", ("projection", ""), name, stored[name], value)


def _steps(connection: sqlite3.Connection, graph: VerifiedGraph) -> Iterator[DamagedLog]:
    rows = connection.execute(f"SELECT {', '.join(FIELDS)} FROM step ORDER BY number")
    for step, row in zip_longest(graph.steps(), rows):
        if step is None or (row and row[0] < step.number):
            yield _different(f"the projection has an extra step {row[0]} ({row[1]!r})", "step", row[1])
            return
        if row is None or row[0] > step.number:
            yield _different(f"the projection lacks step {step.number} ({step.name!r})", "step", step.name)
            return
        expected = to_row(step)
        if expected != list(row):
            what = f"step {step.number} ({step.name!r})"
            yield from _fields(what, ("step", step.name), FIELDS, row, expected)


def _rows(
    connection: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    expected: Iterable[tuple[Any, ...]],
    keys: int,
) -> Iterator[DamagedLog]:
    """Compare a table with its expected rows.

    Both are in the order of the primary key, which consists of the first `keys` columns.
    """
    order = ", ".join(columns[:keys])
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")
    for right, row in zip_longest(expected, rows):
        if right is None or (row and _precedes(row[:keys], right[:keys])):
            shown = _named(columns[:keys], row)
            yield _different(f"the projection has an extra row in {table}: {shown}", table, shown)
            return
        if row is None or row[:keys] > right[:keys]:
            shown = _named(columns[:keys], right)
            yield _different(f"the projection lacks a row in {table}: {shown}", table, shown)
            return
        yield from _fields(f"{table} {row[0]!r}", (table, str(row[0])), columns, row, right)


def _precedes(row: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """Return whether a row comes before the expected row. A row with a wrong type always does."""
    return any(type(one) is not type(other) for one, other in zip(row, right, strict=True)) or row < right


def _fields(
    what: str, position: tuple[str, str], names: Iterable[str], actual: Iterable[object], expected: Iterable[object]
) -> Iterator[DamagedLog]:
    for name, value, right in zip(names, actual, expected, strict=True):
        if value != right:
            yield _differs(what, position, name, value, right)


def _differs(what: str, position: tuple[str, str], name: str, actual: object, expected: object) -> DamagedLog:
    message = f"the projection of {what} differs in {name}: it has {actual!r}, the events give {expected!r}"
    return _different(message, *position, column=name, found=actual, log=expected)


def _different(message: str, table: str, row: str = "", **details: object) -> DamagedLog:
    whole = f"{message}; the events are right: run 'maestro-es rebuild'"
    return DamagedLog(whole, check="projection", table=table, row=row, **details)


def _named(columns: tuple[str, ...], row: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in zip(columns, row, strict=False))
