"""A connection to SQLite. It raises an error in any thread or process other than the one that opened it.

SQLite forbids carrying a connection across fork(2) (https://www.sqlite.org/howtocorrupt.html, 2.6). A child that
commits would write the events of its parent. A child that rolls back, or only exits, would truncate the journal of its
parent. So in a forked child, the files of all inherited connections are closed first.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from _weakref import ref  # the module `weakref` would take a tick a millisecond to import
from pathlib import Path
from typing import Any, ClassVar

from maestro_es.errors import LogNotUsable, LogUnavailable

#: Python's messages for a connection that was closed, and for one that another thread opened.
_CLOSED = "Cannot operate on a closed database"
_OTHER_THREAD = "SQLite objects created in a thread"

#: The time limit of a statement, in seconds. For each byte of the file, some time is added. A statement that takes
#: longer would never end.
_PATIENCE = 120.0
_BYTES_A_SECOND = 1_000_000
#: The time is checked after each of this many instructions of SQLite.
_INSTRUCTIONS = 1_000_000
#: The longest text that is read, in bytes. A damaged or foreign file may contain a string of any length.
_LONGEST = 200_000_000

#: The connections that may be open, by the id of the object.
_open: dict[int, ref[Connection]] = {}

#: Files that the parent had locked when this process was forked. SQLite keeps locks in memory. So a connection of this
#: process to such a file would treat the parent's locks as its own.
_locked_by_parent: set[tuple[int, int]] = set()


class Stopwatch:
    """A time limit for each statement, in seconds from its start."""

    #: Whether the last interrupted statement had run for too long. Otherwise the user pressed Ctrl-C: Python calls its
    #: handler for Ctrl-C inside `has_run_out`, and sqlite3 drops the exception.
    ran_out: ClassVar[bool] = False

    def __init__(self) -> None:
        self.seconds = _PATIENCE
        self._until = 0.0

    def start(self) -> None:
        """Begin a statement."""
        Stopwatch.ran_out = False
        self._until = time.monotonic() + self.seconds

    def has_run_out(self) -> bool:
        """Return whether the statement has run for too long. If it has, SQLite interrupts it."""
        Stopwatch.ran_out = time.monotonic() > self._until
        return Stopwatch.ran_out


class Connection(sqlite3.Connection):
    """A connection. LogNotUsable if it is closed, or belongs to another thread or process."""

    file = Path()
    identity = (0, 0)
    process = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - sqlite3's
        super().__init__(*arguments, **options)
        self.watch = Stopwatch()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - sqlite3's
        """Execute a statement."""
        self._check_process()
        self.watch.start()
        try:
            return super().execute(*arguments)
        except sqlite3.ProgrammingError as error:
            raise self._explained(error) from None

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - likewise
        """Execute a statement for each row of values."""
        self._check_process()
        self.watch.start()
        try:
            return super().executemany(*arguments)
        except sqlite3.ProgrammingError as error:
            raise self._explained(error) from None

    def commit(self) -> None:
        """Commit."""
        self._check_process()
        self.watch.start()
        super().commit()

    def rollback(self) -> None:
        """Roll back."""
        self._check_process()
        super().rollback()

    def close(self) -> None:
        """Close the file, unless this process is a forked child."""
        if self.is_foreign:
            return
        try:
            super().close()
        except sqlite3.ProgrammingError as error:
            raise self._explained(error) from None
        _open.pop(id(self), None)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        try:
            return super().in_transaction
        except sqlite3.ProgrammingError:  # it was closed
            return False

    @property
    def is_foreign(self) -> bool:
        """Whether this process is a fork of the process that opened the connection."""
        return self.process != os.getpid()

    def check_place(self) -> None:
        """Refuse a file that was moved, removed or replaced, because SQLite finds its journal by the path."""
        if self.identity == (0, 0):
            return
        now = _identity(self.file)
        if now == (0, 0) and _is_missing(self.file):
            raise LogUnavailable(
                f"{self.file}: this log is no longer there: its directory was moved, renamed or removed; open the "
                "study at its new place"
            )
        if now not in {self.identity, (0, 0)}:
            raise LogUnavailable(
                f"{self.file}: another log has taken its place since it was opened; open the study again"
            )

    def _check_process(self) -> None:
        if self.is_foreign:
            raise LogNotUsable(
                f"{self.file}: process {self.process} opened this log, and a forked child can't use it; open the "
                "study again in this process"
            )

    def _explained(self, error: sqlite3.ProgrammingError) -> Exception:
        if str(error).startswith(_CLOSED):
            return LogNotUsable(f"{self.file}: this log was closed; open the study again")
        if str(error).startswith(_OTHER_THREAD):
            return LogNotUsable(f"{self.file}: another thread opened this log; open the study again in this thread")
        return error


def connect(path: Path, timeout: float, *, read_only: bool = False) -> Connection:
    """Connect to an existing file. A statement waits at most `timeout` seconds for a lock."""
    identity, size = _identity(path), path.stat().st_size
    if identity in _locked_by_parent:
        raise LogNotUsable(
            f"{path}: this process was forked inside a batch on this log and can't open it; fork outside of batches"
        )
    name = _to_be_read(path) if read_only else path
    connection = sqlite3.connect(name, timeout=timeout, isolation_level=None, factory=Connection, uri=read_only)
    _limit_time(connection, size)
    if sys.version_info >= (3, 11):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.file, connection.identity, connection.process = path, identity, os.getpid()
    _open[id(connection)] = ref(connection)
    return connection


def connect_to_memory(path: Path) -> Connection:
    """Create an empty database in memory, for a copy of a file."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    _limit_time(connection, path.stat().st_size)
    connection.file, connection.process = path, os.getpid()
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _limit_time(connection: Connection, size: int) -> None:
    """Interrupt a statement that takes longer than any statement of maestro-es would take on a log of this size."""
    connection.watch.seconds = _PATIENCE + size / _BYTES_A_SECOND
    connection.set_progress_handler(connection.watch.has_run_out, _INSTRUCTIONS)


def _to_be_read(path: Path) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - only readers need it

    return f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"


def is_open_here(info: os.stat_result) -> bool:
    """Return whether this process has a connection to a file."""
    return any(connection.identity == (info.st_dev, info.st_ino) for connection in _open_ones())


def _open_ones() -> list[Connection]:
    return [connection for known in _open.values() if (connection := known()) is not None]


def _is_missing(file: Path) -> bool:
    """Return whether a file certainly does not exist."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _identity(file: Path) -> tuple[int, int]:
    try:
        info = file.stat()
    except OSError:
        return 0, 0  # SQLite will report what is wrong with it
    return info.st_dev, info.st_ino


def _cut_off() -> None:
    """Detach the files of all inherited connections, so that SQLite can't change them.

    fcntl(2) locks belong only to the parent, so closing this process's copies of its files does not release them.
    """
    files = set()
    for connection in _open_ones():
        if connection.in_transaction:
            _locked_by_parent.add(connection.identity)
        files |= {connection.identity, _identity(Path(f"{connection.file}-journal"))}
    if not files:
        return
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for entry in Path("/dev/fd").iterdir():
        handle = int(entry.name)
        with contextlib.suppress(OSError):
            info = os.fstat(handle)
            if (info.st_dev, info.st_ino) in files:
                os.dup2(nowhere, handle, inheritable=False)
    os.close(nowhere)


os.register_at_fork(after_in_child=_cut_off)
