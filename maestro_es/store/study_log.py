"""The log of a study and its projection, in one SQLite file. Both are always consistent.

`StudyLog.record` appends events and applies them to the projection in one transaction. Before it appends, a
process compares the seq of the last event in the file with the seq of the last event that it has read. If they differ,
the process gets `ConcurrentAppend` and writes nothing. This holds with and without a lock.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from maestro_es.core.events import InvocationStarted, NewEvent, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.reducer import REDUCER_VERSION, Block, replay_all, uncollected
from maestro_es.errors import ConcurrentAppend, LogNotUsable, LogUnavailable, NotRecordable, RequestRefused
from maestro_es.store import event_log, migrations
from maestro_es.store.connection import Connection
from maestro_es.store.event_log import Head
from maestro_es.store.file_check import check_file
from maestro_es.store.log_file import check_header, connected, explain, explained
from maestro_es.store.log_reader import LogReader
from maestro_es.store.projection import ProjectedGraph

#: The tables are written after this number of events, so that memory does not grow in a long transaction.
_FLUSH_EVERY = 2_000

_Read = TypeVar("_Read")


#: The logs that this process has opened, in order.
_opened: dict[Path, None] = {}


def opened_logs() -> list[Path]:
    """Return the logs that this process has opened, or has tried to."""
    return list(_opened)


class StudyLog(LogReader):
    """An open log. `graph` is the state that results from its events. `clock` returns microseconds UTC.

    `identity` is the event that describes this process. It is recorded just before the first event of the process.
    """

    def __init__(
        self, connection: Connection, path: Path, clock: Callable[[], Micros], identity: InvocationStarted
    ) -> None:
        super().__init__(connection, path)
        self.identity = identity
        self._clock = clock
        self._invocation = 0
        self._open = False
        self._unflushed = 0
        self._failure: BaseException | None = None
        self._heard: list[Recorded] | None = None
        self.graph = ProjectedGraph(connection, path, identity.host, identity.boot_id)

    @classmethod
    def create(cls, path: Path, clock: Callable[[], Micros], identity: InvocationStarted) -> StudyLog:
        """Create a log. FileExistsError if the file exists."""
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with connected(path) as connection:
            migrations.upgrade(connection)
            return cls(connection, path, clock, identity)

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Callable[[], Micros],
        identity: InvocationStarted,
        *,
        fold: bool = True,
        migrate: bool = True,
        timeout: float | None = None,
    ) -> StudyLog:
        """Open a log and update its projection, unless `fold` is off.

        Without `migrate`, the tables of an older version stay as they are. This suffices for callers that only read
        events. For `timeout` see `wait_for_lock`. NotAStudy, DamagedLog or NewerLog if the log can't be opened.
        """
        _opened[path] = None
        read_only = check_file(path)
        with connected(path, read_only=read_only, timeout=timeout) as connection:
            check_header(connection, path, migrate=migrate and not read_only)
            if read_only and (fold or migrate):
                from maestro_es.store.log_copy import LogCopy, is_behind  # noqa: PLC0415 - a tick never needs it

                if is_behind(connection, path):
                    return LogCopy(connection, path, clock, identity)
            log = cls(connection, path, clock, identity)
            if fold:
                log._catch_up()
            return log

    def wait_for_lock(self, seconds: float) -> None:
        """Set the lock timeout in seconds (default: 30)."""
        self._connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def close(self) -> None:
        """Close the file. If a batch is open, none of its events are written."""
        self._connection.close()  # raises an error if another thread opened it
        if self._open:
            self._failure = LogNotUsable("the log was closed inside the batch")

    def __enter__(self) -> StudyLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all events that are recorded inside the block, or none. The file is locked from the first event on.

        RequestRefused inside another transaction, because the inner one would commit the first half of the outer one.
        If an event could not be recorded, all events are rolled back, even if the caller continued after the error.
        """
        if self._open:
            raise RequestRefused("a batch is open: end it before you start anything that commits by itself")
        self._end_abandoned()
        self._open = True
        self._failure = None
        self._unflushed = 0
        invocation, heard = self._invocation, len(self._heard or ())
        try:
            yield
            self._commit()
        except BaseException as error:
            self._roll_back()
            self._invocation = invocation
            if self._heard is not None:
                del self._heard[heard:]
            if isinstance(error, sqlite3.Error):
                raise explain(error, self.path) from error
            if isinstance(error, OverflowError):
                raise NotRecordable(f"{self.path}: nothing was written: a number is too large for the log") from error
            raise
        finally:
            self._open = False

    def _commit(self) -> None:
        if self._failure is not None:
            raise RequestRefused(f"no event of this batch was written: {self._failure}") from self._failure
        if self._connection.in_transaction:
            self.graph.flush(self.head.seq)
            self._connection.commit()

    @property
    def in_transaction(self) -> bool:
        """Whether a `transaction` is open."""
        return self._open

    @contextlib.contextmanager
    def listening(self) -> Iterator[list[Recorded]]:
        """Yield a list. Each event that is appended inside the block is added to it, in the form that readers get."""
        before, self._heard = self._heard, []
        try:
            yield self._heard
        finally:
            if before is not None:
                before += self._heard
            self._heard = before

    def record(self, new_events: Iterable[NewEvent]) -> None:
        """Append events inside a `transaction`, and apply them. ConcurrentAppend if another process was first.

        The iterable is read in blocks. While one block is read, the graph contains the events of all earlier blocks.
        """
        drawn = iter(new_events)
        try:
            while block := list(itertools.islice(drawn, _FLUSH_EVERY)):
                self._record(block)
        except BaseException as error:
            self._failure = error
            raise

    @uncollected()
    def _record(self, new_events: list[NewEvent]) -> None:
        if not self._connection.in_transaction:
            self._begin()
        if not self._invocation:
            self._invocation = self.head.seq + 1
            new_events.insert(0, (None, self.identity))
        self._append(new_events)
        self._unflushed += len(new_events)
        if self._unflushed >= _FLUSH_EVERY:
            self.graph.flush(self.head.seq)
            self._unflushed = 0

    def append(self, new_events: Iterable[NewEvent]) -> None:
        """Append events in a transaction of their own."""
        with self.transaction():
            self.record(new_events)

    def take(self, rows: Iterable[event_log.Row]) -> None:
        """Fill an empty log with the rows of another log, and apply their events to the graph."""
        with self.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            block: list[event_log.Row] = []
            for row in rows:
                block.append(row)
                if len(block) == _FLUSH_EVERY:
                    self._take(block)
                    self.graph.flush(self.head.seq)
                    block = []
            self._take(block)

    def _take(self, block: list[event_log.Row]) -> None:
        if block:
            event_log.insert(self._connection, block)
            self.head = Head(block[-1][0], block[-1][1], block[-1][7])

    def _begin(self) -> None:
        self._connection.check_place()
        self._connection.execute("BEGIN IMMEDIATE")
        head = event_log.head(self._connection)[0]
        if head != self.head.seq:
            raise ConcurrentAppend(
                f"{self.path}: event {head} was appended by another process, but event {self.head.seq} was expected "
                "to be the last; nothing was written, try again"
            )

    def _append(self, new_events: Sequence[NewEvent]) -> None:
        time = max(self.head.recorded_at, self._clock())
        sealed = event_log.seal(self.head, time, self._invocation, new_events)
        rows, events = zip(*sealed, strict=True)  # the events have the form that a reader gets, as in a replay
        self.graph.apply(Block(rows[0][0], [time] * len(rows), [step for step, _ in new_events], events))
        if self._heard is not None:
            self._heard += map(event_log.decode, rows)
        event_log.insert(self._connection, rows)
        self.head = Head(rows[-1][0], time, rows[-1][-1])

    def _roll_back(self) -> None:
        if self._connection.is_foreign:
            return  # the transaction and the journal belong to the parent
        with contextlib.suppress(sqlite3.Error, LogNotUsable):
            self._connection.rollback()
            self.head = event_log.head(self._connection)
            self.graph.forget()

    def _end_abandoned(self) -> None:
        """Roll back a transaction that another thread has left open. That thread can't use this connection."""
        if not self._open and self._connection.in_transaction:
            self._roll_back()

    def rewrite(self, rows: Sequence[event_log.Row], new_events: Iterable[NewEvent]) -> None:
        """Replace the rows that have the same numbers as `rows`. Then append events that give the reason.

        `rows` must end with the last row of the log. Only a correction calls this. The whole log is replayed. Other
        processes that have the log open notice the new head.
        """
        with self.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            if event_log.head(self._connection) != self.head:
                raise ConcurrentAppend(f"{self.path}: another process appended; nothing was written, try again")
            self._connection.execute("DROP TRIGGER event_is_never_updated")
            event_log.overwrite(self._connection, rows)
            migrations.repair_schema(self._connection)
            self.head = event_log.head(self._connection)
            self.graph.clear()
            self._fold(0)
            self.record(new_events)

    # -- the graph --------------------------------------------------------------------------------------------------

    def check_place(self) -> None:
        """Refuse a log that was moved, removed or replaced: LogUnavailable."""
        self._connection.check_place()

    def refresh(self) -> None:
        """Read the events that other processes have appended."""
        self._connection.check_place()
        with explained(self.path):
            self._end_abandoned()
            head = event_log.head(self._connection)
            if head != self.head:
                self.head = head
                self.graph.forget()
                self._catch_up()

    def refresh_head(self) -> None:
        """Read the last event of a log that was opened with `fold` off."""
        self._connection.check_place()
        with explained(self.path):
            self.head = event_log.head(self._connection)

    def at_once(self, read: Callable[[], _Read]) -> _Read:
        """Return the result of `read` on the newest state. Writers wait meanwhile, so `read` should be short."""
        while True:
            with self.snapshot() as connection:
                if event_log.head(connection) == self.head:
                    return read()
            self.refresh()

    def replay(self, upto: int | None = None) -> MemoryGraph:
        """Return the graph as it was after event `upto` (None: the last), replayed in memory."""
        return replay_all(self.blocks(upto=upto), MemoryGraph())

    # -- the projection ---------------------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Delete the projection and replay every event."""
        with self.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            self.head = event_log.head(self._connection)
            migrations.repair_schema(self._connection)
            self.graph.clear()
            self._fold(0)

    def catch_up(self) -> None:
        """Update the projection if another version of the reducer wrote it, or if it lacks events."""
        with explained(self.path):
            if self.graph.reducer_version != REDUCER_VERSION or self.graph.applied_seq < self.head.seq:
                self._catch_up()

    def _catch_up(self) -> None:
        """Apply the missing events, or all events if the reducer has another version or this host was rebooted."""
        if self._usable() >= self.head.seq:
            return
        try:
            self._fold_missing()
        except LogUnavailable:
            if not self.graph.rebooted or self.graph.applied_seq < self.head.seq:
                raise  # otherwise the projection is complete, and a user without write access may read it

    def _fold_missing(self) -> None:
        with self.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            self.head = event_log.head(self._connection)
            self.graph.forget()  # another process may have updated it meanwhile
            after = self._usable()
            if not after:
                self.graph.clear()
            self._fold(after)

    def _usable(self) -> int:
        """Return the seq up to which the projection is usable."""
        if self.graph.rebooted or self.graph.reducer_version != REDUCER_VERSION:
            return 0
        return self.graph.applied_seq

    def _fold(self, after: int) -> None:
        for block in self.blocks(after):
            self.graph.apply(block)
            after += len(block.events)
            self.graph.flush_some(after)
