"""One study's log and the graph that it adds up to, in one SQLite file and in step with each other.

`StudyLog.record` appends events and folds them into the projection in one transaction. Its guarantee is the expected
seq: a process that decided on an old state gets `ConcurrentAppend` and has written nothing, lock or no lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from maestro_es.core.events import AnyEvent, Event, InvocationStarted, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.reducer import REDUCER_VERSION, apply
from maestro_es.errors import ConcurrentAppend, DamagedLog, LogUnavailable, NewerLog, NotAStudy
from maestro_es.store import event_log, migrations
from maestro_es.store.migrations import APPLICATION_ID, KNOWN, apply_migrations
from maestro_es.store.projection import ProjectedGraph

#: The name of the log in a study directory.
LOG_NAME = "events.db"

#: What helps against a damaged file.
RESTORE = "restore it from a copy, or save what can be read with 'maestro-es export --salvage'"

_BUSY_SECONDS = 30.0
_FLUSH_EVERY = 20_000
_NEVER = 2**62
_HEADER_BYTES = 100
_SAID = 200

_Read = TypeVar("_Read")


class Head(NamedTuple):
    """The last event of a log."""

    seq: int
    recorded_at: Micros
    digest: bytes


class StudyLog:
    """An open log. `graph` is the state that its events add up to; `identity` is written before the first event.

    `clock` returns the time in microseconds UTC.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Callable[[], Micros], identity: InvocationStarted
    ) -> None:
        self.path = path
        self.identity = identity
        self._connection = connection
        self._clock = clock
        self._invocation = 0
        self._open = False
        self.head = Head(*event_log.head(connection))
        self.graph = ProjectedGraph(connection, identity.host, identity.boot_id)

    @classmethod
    def create(cls, path: Path, clock: Callable[[], Micros], identity: InvocationStarted) -> StudyLog:
        """Make a new log; FileExistsError if there is a file."""
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with _closing_on_error(path) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            apply_migrations(connection)
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
    ) -> StudyLog:
        """Open a log and bring its projection in step, unless it is to be looked at as it is (`fold` off).

        Who only wants the events need not have the tables made anew that an older version has left (`migrate` off).
        NotAStudy, DamagedLog or NewerLog say why it can't be.
        """
        _require_file(path)
        with _closing_on_error(path) as connection:
            _check_header(connection, path, migrate=migrate)
            log = cls(connection, path, clock, identity)
            if fold:
                log._catch_up()
            return log

    def wait_for_lock(self, seconds: float) -> None:
        """Give up on a file that is locked after so long; it is 30 s else."""
        self._connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> StudyLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is recorded inside all together, or nothing. The file is locked from the first event on."""
        self._open = True
        invocation = self._invocation
        try:
            yield
            if self._connection.in_transaction:
                self.graph.flush(self.head.seq)
                self._connection.commit()
        except BaseException as error:
            self._roll_back()
            self._invocation = invocation
            if isinstance(error, sqlite3.DatabaseError):
                raise _explain(error, self.path) from error
            raise
        finally:
            self._open = False

    @property
    def in_transaction(self) -> bool:
        """Whether a `transaction` is open."""
        return self._open

    def record(self, drafts: Iterable[tuple[int | None, AnyEvent]]) -> None:
        """Append events inside a `transaction` and fold them into the graph. ConcurrentAppend: somebody else did."""
        drafts = list(drafts)
        if not drafts:
            return
        if not self._connection.in_transaction:
            self._begin()
        if not self._invocation:
            self._invocation = self.head.seq + 1
            drafts.insert(0, (None, self.identity))
        for start in range(0, len(drafts), _FLUSH_EVERY):
            self._append(drafts[start : start + _FLUSH_EVERY])
            if start + _FLUSH_EVERY < len(drafts):
                self.graph.flush(self.head.seq)

    def append(self, drafts: Iterable[tuple[int | None, AnyEvent]]) -> None:
        """Append events in a transaction of their own."""
        with self.transaction():
            self.record(drafts)

    def take(self, rows: Iterable[event_log.Row]) -> None:
        """Fill an empty log with rows of another, whose events the graph takes in as they are drawn."""
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
        self._connection.execute("BEGIN IMMEDIATE")
        found = event_log.head(self._connection)[0]
        if found != self.head.seq:
            raise ConcurrentAppend(
                f"{self.path}: event {found} was appended by another process, expected the last one to be "
                f"{self.head.seq}; nothing was written, try again"
            )

    def _append(self, drafts: Sequence[tuple[int | None, AnyEvent]]) -> None:
        seq, time, digest = self.head
        time = max(time, self._clock())
        rows = []
        for step, event in drafts:
            seq += 1
            recorded = Recorded(seq, time, self._invocation, step, event)
            apply(self.graph, recorded)
            row = event_log.seal(digest, recorded)
            digest = row[-1]
            rows.append(row)
        event_log.insert(self._connection, rows)
        self.head = Head(seq, time, digest)

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.DatabaseError):
            self._connection.rollback()
            self.head = Head(*event_log.head(self._connection))
            self.graph.forget()

    # -- reading ----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what other processes have appended."""
        with _explained(self.path):
            head = Head(*event_log.head(self._connection))
            if head != self.head:
                self.head = head
                self.graph.forget()
                self._catch_up()

    def events(self, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """Yield the events with ``after < seq <= upto``."""
        return self._decoded(self.rows(after, upto))

    def events_of(self, step: int) -> list[Recorded]:
        """Return the events about one step, however long the log is."""
        with _explained(self.path):
            return list(self._decoded(event_log.read_step_rows(self._connection, step)))

    def _decoded(self, rows: Iterable[event_log.Row]) -> Iterator[Recorded]:
        try:
            yield from map(event_log.decode, rows)
        except NewerLog as error:
            raise NewerLog(f"{self.path}: {event_log.newer(str(error), _version(self._connection))}") from None

    def study_events(self, kind: type[Event], upto: int | None = None) -> Iterator[Recorded]:
        """Yield the events of a type about the whole study with ``seq <= upto``, newest first."""
        last = _NEVER if upto is None else upto
        with _explained(self.path):
            return map(event_log.decode, event_log.read_study_rows(self._connection, kind.__name__, last))

    def rows(self, after: int = 0, upto: int | None = None) -> Iterator[event_log.Row]:
        """Yield the rows with ``after < seq <= upto``, read in blocks, so that no writer is kept waiting."""
        last = _NEVER if upto is None else upto
        while after < last:
            with _explained(self.path):
                block = event_log.read_rows(self._connection, after, min(_FLUSH_EVERY, last - after))
            if not block:
                return
            yield from block
            after = block[-1][0]

    def sealed_rows(self) -> Iterator[event_log.Row]:
        """Yield the rows, each once its digest is found right."""
        return event_log.check_chain(self.readable_rows(self.head.seq))

    def readable_rows(self, upto: int | None = None) -> Iterator[event_log.Row]:
        """Yield the rows up to one. DamagedLog names the first that can't be read."""
        last = 0
        try:
            for row in self.rows(upto=upto):
                last = row[0]
                yield row
        except DamagedLog as error:
            if "check" in error.details:
                raise
            yield from self._rows_one_by_one(last)

    def _rows_one_by_one(self, last: int) -> Iterator[event_log.Row]:
        """Yield the rows after one, each read alone, up to the first that can't be read."""
        while last < _NEVER:
            last += 1
            try:
                rows = event_log.read_rows(self._connection, last - 1, 1)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                why = "it holds bytes that are no text" if "UTF-8" in str(error) else str(_explain(error, self.path))
                raise DamagedLog(f"event {last} can't be read: {why}", check="file", seq=last) from None
            if not rows:
                return
            yield rows[0]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Let all that is read inside be of one moment. Writers wait meanwhile, so don't be long."""
        with _explained(self.path):
            try:
                self._connection.execute("BEGIN")
                yield self._connection
            finally:
                self._connection.rollback()

    def at_once(self, read: Callable[[], _Read]) -> _Read:
        """Return what `read` makes of the newest state. Writers wait meanwhile, so don't be long."""
        while True:
            with self.snapshot() as connection:
                if Head(*event_log.head(connection)) == self.head:
                    return read()
            self.refresh()

    def replay(self, upto: int | None = None) -> MemoryGraph:
        """Return the graph as it was after event `upto` (None: the last), folded in memory."""
        graph = MemoryGraph()
        for recorded in self.events(upto=upto):
            apply(graph, recorded)
        return graph

    def seq_at(self, time: Micros) -> int:
        """Return the seq of the last event that was recorded at that time or before; 0 if there is none."""
        low, high = 0, self.head.seq  # times never go back, so the log is its own index
        while low < high:
            middle = (low + high + 1) // 2
            [(found,)] = self.query("SELECT recorded_at FROM event WHERE seq = ?", (middle,))
            low, high = (middle, high) if int(str(found)) <= time else (low, middle - 1)
        return low

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return the rows of a reading query."""
        with _explained(self.path):
            return self._connection.execute(sql, values).fetchall()

    # -- the projection ---------------------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Throw the projection away and fold every event again."""
        with self.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            self.head = Head(*event_log.head(self._connection))
            migrations.mend(self._connection)
            self.graph.clear()
            self._fold(0)

    def catch_up(self) -> None:
        """Bring the projection in step if another version of the reducer made it, or it lacks events."""
        with _explained(self.path):
            if self.graph.reducer_version != REDUCER_VERSION or self.graph.applied_seq < self.head.seq:
                self._catch_up()

    def _catch_up(self) -> None:
        """Fold the events that the projection lacks: all of them if another reducer or boot made it."""
        if self._usable() >= self.head.seq:
            return
        try:
            self._fold_anew()
        except LogUnavailable:
            if not self.graph.rebooted or self.graph.applied_seq < self.head.seq:
                raise  # else it is only not trusted, and who may not write may still read

    def _fold_anew(self) -> None:
        with self.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            self.head = Head(*event_log.head(self._connection))
            self.graph.forget()  # another process may have done it while we waited
            after = self._usable()
            if not after:
                self.graph.clear()
            self._fold(after)

    def _usable(self) -> int:
        """Return the event up to which the projection is of use."""
        if self.graph.rebooted or self.graph.reducer_version != REDUCER_VERSION:
            return 0
        return self.graph.applied_seq

    def _fold(self, after: int) -> None:
        for recorded in self.events(after):
            apply(self.graph, recorded)
            if recorded.seq % _FLUSH_EVERY == 0:
                self.graph.flush(recorded.seq)


@contextlib.contextmanager
def _closing_on_error(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect, and close the file again if what is done with it fails."""
    with _explained(path):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        except BaseException:
            connection.close()
            raise


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise NotAStudy(f"{path.parent}: not a study directory, there is no {LOG_NAME} in it")
    if path.stat().st_size < _HEADER_BYTES:
        raise DamagedLog(f"{path}: the event log is empty, it was cut off or never written")


def _check_header(connection: sqlite3.Connection, path: Path, *, migrate: bool) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotAStudy(f"{path}: an SQLite file, but no event log of maestro-es")
    known = connection.execute("PRAGMA user_version").fetchone()[0]
    if known > KNOWN:
        raise NewerLog(f"{path}: written by {_writer(connection)}; install that version or a later one to read it")
    if known < KNOWN and migrate:
        apply_migrations(connection)


def _writer(connection: sqlite3.Connection) -> str:
    version = _version(connection)
    return f"maestro-es {version}" if version else "a later version of maestro-es"


def _version(connection: sqlite3.Connection) -> str:
    """Return which version wrote last. Its payload may be one that we can't read as a whole."""
    query = "SELECT data FROM event WHERE type = 'InvocationStarted' ORDER BY seq DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return str(row[0]).partition('"version":"')[2].partition('"')[0] if row else ""


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Explain what SQLite raises. Its message about a damaged file may hold bytes of it, and be no text."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _explain(error, path) from error


def _explain(error: Exception, path: Path) -> Exception:
    """Turn an error of SQLite into one that says what to do."""
    text = str(error)
    if isinstance(error, sqlite3.OperationalError):
        for words, remedy in _REMEDIES.items():
            if text.startswith(words):
                return LogUnavailable(f"{path}: nothing was written: {text}; {remedy}")
    said = " ".join(text.split())[:_SAID]
    return DamagedLog(f"{path}: not readable as an event log ({said}); {RESTORE}")


_REMEDIES = {
    "database is locked": f"another process has held it for {_BUSY_SECONDS:.0f} s, try again",
    "attempt to write a readonly database": "see who owns the file and its directory, and their modes",
    "unable to open database file": "see who owns the file and its directory, and their modes",
    "database or disk is full": "make room and try again",
    "disk I/O error": "see whether the file system is well and try again",
}
