"""Reads the events of a log, in the order in which they were written.

Rows are read in blocks, and no lock is held between blocks, so a slow reader does not make writers wait.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_es.core.events import Event, Recorded
from maestro_es.core.model import Micros
from maestro_es.core.reducer import Block, block_of
from maestro_es.errors import DamagedLog, NewerLog
from maestro_es.store import event_log
from maestro_es.store.connection import Connection
from maestro_es.store.log_file import RESTORE, drawn, explain, explained, last_version

if TYPE_CHECKING:
    from maestro_es.store.event_blocks import SealedBlock

_BLOCK = 20_000
_NEVER = 2**62

#: How many events a replay reads at a time.
_REPLAYED = 1_000


class LogReader:
    """The reading half of an open log. `head` is the last known event."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self.head = event_log.head(connection)

    def events(self, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """Yield the events with ``after < seq <= upto``."""
        return self._decoded(self.rows(after, upto))

    def blocks(self, after: int = 0, upto: int | None = None) -> Iterator[Block]:
        """Yield the events with ``after < seq <= upto`` for a replay, many at a time."""
        from maestro_es.store import event_blocks  # noqa: PLC0415 - a tick replays seldom

        with explained(self.path):
            last = event_log.head(self._connection).seq
        last = last if upto is None else min(last, upto)
        while after < last:
            end = min(after + _REPLAYED, last)
            with explained(self.path):
                block = event_blocks.read_block(self._connection, after, end)
            if block is None:
                yield from (block_of([recorded]) for recorded in self.events(after, end))
            else:
                yield block
            after = end

    def events_of(self, step: int) -> list[Recorded]:
        """Return the events about one step. They are found by an index."""
        with explained(self.path):
            return list(self._decoded(event_log.read_step_rows(self._connection, step)))

    def _decoded(self, rows: Iterable[event_log.Row]) -> Iterator[Recorded]:
        try:
            yield from map(event_log.decode, rows)
        except NewerLog as error:
            raise NewerLog(
                f"{self.path}: {event_log.written_by_newer(str(error), last_version(self._connection))}"
            ) from None
        except DamagedLog as error:
            if error.details.get("check") != "payload":
                raise
            seq = int(str(error.details["seq"]))
            remedy = event_log.CORRECT if self._is_sealed(seq) else RESTORE
            raise DamagedLog(f"{self.path}: {error}; {remedy}", **error.details) from None

    def _is_sealed(self, seq: int) -> bool:
        """Return whether the digest of a row is right. If it is, no other program has changed the row."""
        before = event_log.read_rows(self._connection, seq - 2, 1)[0][7] if seq > 1 else event_log.GENESIS
        row = event_log.read_rows(self._connection, seq - 1, 1)[0]
        return event_log.row_digest(before, row[:7]) == row[7]

    def study_events(self, kind: type[Event], upto: int | None = None) -> Iterator[Recorded]:
        """Yield the events of a type about the whole study with ``seq <= upto``, newest first."""
        last = _NEVER if upto is None else upto
        with explained(self.path):
            return self._decoded(event_log.read_study_rows(self._connection, kind.__name__, last))

    def rows(self, after: int = 0, upto: int | None = None) -> Iterator[event_log.Row]:
        """Yield the rows with ``after < seq <= upto``, read in blocks."""
        last = _NEVER if upto is None else upto
        while after < last:
            with explained(self.path):
                block = event_log.read_rows(self._connection, after, min(_BLOCK, last - after))
            if not block:
                return
            yield from block
            after = block[-1][0]

    def sealed_rows(self) -> Iterator[event_log.Row]:
        """Yield the rows, each after its digest has been checked."""
        return event_log.check_chain(self.readable_rows(self.head.seq))

    def readable_rows(self, upto: int | None = None, after: int = 0) -> Iterator[event_log.Row]:
        """Yield the rows with ``after < seq <= upto``. DamagedLog names the first row that can't be read."""
        last = after
        try:
            for row in self.rows(after, upto):
                last = row[0]
                yield row
        except DamagedLog as error:
            if "check" in error.details:
                raise
            yield from self._rows_one_by_one(last)

    def sealed_block(self, head: event_log.Head, upto: int) -> SealedBlock | None:
        """Return the next block of events after `head`. None if the events must be read one by one."""
        from maestro_es.store import event_blocks  # noqa: PLC0415 - a tick checks no digests

        try:
            return event_blocks.read_sealed_block(self._connection, head, min(head.seq + _REPLAYED, upto))
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return None

    def _rows_one_by_one(self, last: int) -> Iterator[event_log.Row]:
        """Yield the rows after a seq, each read alone, up to the first that can't be read."""
        while last < _NEVER:
            last += 1
            try:
                rows = event_log.read_rows(self._connection, last - 1, 1)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                why = "it holds bytes that are not text" if "UTF-8" in str(error) else str(explain(error, self.path))
                raise DamagedLog(f"event {last} can't be read: {why}", check="file", seq=last) from None
            if not rows:
                return
            yield rows[0]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Let all reads inside the block see the same moment. Writers wait meanwhile, so the block should be short."""
        if self._connection.in_transaction:  # the caller's transaction already shows one moment
            yield self._connection
            return
        with explained(self.path):
            try:
                self._connection.execute("BEGIN")
                yield self._connection
            finally:
                self._connection.rollback()

    def holds(self, seq: int, digest: bytes) -> bool:
        """Return whether the file has an event with this digest at this seq now."""
        return bool(self.query("SELECT 1 FROM event WHERE seq = ? AND digest = ?", (seq, digest)))

    def seq_at(self, time: Micros) -> int:
        """Return the seq of the last event that was recorded at or before that time (0: there is none)."""
        low, high = 0, self.head.seq  # times never decrease, so a binary search works
        while low < high:
            middle = (low + high + 1) // 2
            [(recorded_at,)] = self.query("SELECT recorded_at FROM event WHERE seq = ?", (middle,))
            low, high = (middle, high) if int(str(recorded_at)) <= time else (low, middle - 1)
        return low

    @property
    def time_limit(self) -> float:
        """How long a statement may take before SQLite interrupts it, in seconds."""
        return self._connection.watch.seconds

    def drawn(self, sql: str, values: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """Yield the rows of a reading query, which may be many. Writers wait until the last one is drawn."""
        return drawn(self._connection, self.path, sql, values)

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return the rows of a reading query."""
        with explained(self.path):
            return self._connection.execute(sql, values).fetchall()
