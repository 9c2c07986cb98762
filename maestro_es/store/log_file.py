"""Opens the file of a log, and explains errors of SQLite to users.

`maestro_es.store.event_log` defines what the rows of a log mean.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maestro_es import __version__
from maestro_es.core import file_names
from maestro_es.errors import DamagedLog, LogUnavailable, NewerLog, NotAStudy, StudyError
from maestro_es.store.connection import Connection, Stopwatch, connect
from maestro_es.store.file_check import check_schema, is_open_to_others
from maestro_es.store.migrations import APPLICATION_ID, SCHEMA_VERSION, is_current, upgrade

#: The name of the log in a study directory.
LOG_NAME = file_names.LOG

#: The remedy for a damaged file.
RESTORE = "restore it from a copy, or save what can be read with 'maestro-es export --salvage'"

#: SQLite's message for a statement that was interrupted.
INTERRUPTED = "interrupted"

_BUSY_SECONDS = 30.0
_SAID = 200


@contextlib.contextmanager
def connected(path: Path, *, read_only: bool = False, timeout: float | None = None) -> Iterator[Connection]:
    """Connect, and close the file if the following code fails.

    A statement waits at most `timeout` seconds for a lock (default: 30).
    """
    with explained(path):
        connection = connect(path, timeout=_BUSY_SECONDS if timeout is None else timeout, read_only=read_only)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")  # SQLite before 3.31 ignores this
            if not read_only:
                connection.execute("PRAGMA journal_mode = TRUNCATE")
                connection.execute("PRAGMA synchronous = FULL")
            yield connection
        except BaseException:
            connection.close()
            raise


def check_header(connection: sqlite3.Connection, path: Path, *, migrate: bool) -> None:
    """Refuse a file that is not a log, or that has the tables of a later version.

    With `migrate`, upgrade an older log.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotAStudy(f"{path}: an SQLite file, but not an event log of maestro-es")
    if connection.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION:
        raise NewerLog(f"{path}: {_later(last_version(connection))}")
    if not check_schema(connection, path) and migrate and not is_current(connection):
        upgrade(connection)


def _later(version: str) -> str:
    """Return the message about a log with the tables of a later version. This may be a build between two releases."""
    if version == __version__:
        return f"written by another build of maestro-es {version}, and only that build can read it"
    writer = f"maestro-es {version}" if version else "a later version of maestro-es"
    return f"written by {writer}; install that version or a later one to read it"


def last_version(connection: sqlite3.Connection) -> str:
    """Return the version that wrote last, even if its events can't be decoded."""
    query = "SELECT data FROM event WHERE type = 'InvocationStarted' ORDER BY seq DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return str(row[0]).partition('"version":"')[2].partition('"')[0] if row else ""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Explain errors of SQLite. A message about a damaged file may contain bytes of the file that are not text."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, path) from error


def drawn(connection: sqlite3.Connection, path: Path, sql: str, values: Sequence[object]) -> Iterator[Any]:
    """Yield the rows of a reading query one by one. Explain errors."""
    with explained(path):
        # Without `chain`, the end of this generator would close the cursor, perhaps after the log was closed.
        yield from itertools.chain(connection.execute(sql, values))


def explain(error: Exception, path: Path) -> Exception:
    """Convert an error of SQLite to an error with a remedy. Only a damaged file must be restored from a copy.

    KeyboardInterrupt if the user has interrupted the statement.
    """
    text = " ".join(str(error).split())[:_SAID]
    if text == INTERRUPTED and not Stopwatch.ran_out:
        raise KeyboardInterrupt from error
    refused = isinstance(error, sqlite3.OperationalError) and _why_not_now(text, path)
    if refused:
        return LogUnavailable(f"{path}: nothing was written: {refused}")
    if isinstance(error, UnicodeDecodeError) or any(sign in text for sign in _DAMAGE):
        return DamagedLog(f"{path}: not readable as an event log ({text}); {RESTORE}")
    if isinstance(error, sqlite3.OperationalError):
        return DamagedLog(f"{path}: not readable as an event log ({text}); 'maestro-es verify' checks it")
    return StudyError(f"{path}: nothing was written: SQLite refused this ({text})")


def _why_not_now(text: str, path: Path) -> str:
    """Return why the file can't be read or written at present, and the remedy (empty: there is another reason)."""
    if text.startswith(_CAN_NOT_WRITE) and _write_was_interrupted(path):
        return (
            "a write to it was interrupted and must be undone before it can be read; only its owner "
            f"(uid {path.stat().st_uid}) can do that, with any command on this study"
        )
    if text.startswith(_CAN_NOT_WRITE[0]) and _is_of_others(path):
        return "other users own it or can write to its directory; run this as its owner"
    if text.startswith(_LOCKED) and _gives_no_locks(path):
        return _NO_LOCKS
    return next((f"{text}; {remedy}" for sign, remedy in _REMEDIES.items() if text.startswith(sign)), "")


def _gives_no_locks(path: Path) -> bool:
    """Return whether a file system has no locks (ENOLCK: NFS without its lock service). SQLite reports "locked" then.

    The test locks the journal, which no process locks. Closing the log itself would release the locks of this process.
    """
    try:
        with Path(f"{path}-journal").open("rb") as journal:
            fcntl.lockf(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.ENOLCK
    return False


def _is_of_others(path: Path) -> bool:
    try:
        return is_open_to_others(path, path.stat())
    except OSError:
        return False


def _write_was_interrupted(path: Path) -> bool:
    """Return whether there is a non-empty journal.

    A non-empty journal means that a writer was killed, and that its transaction is not rolled back yet.
    """
    try:
        return Path(f"{path}-journal").stat().st_size > 0
    except OSError:
        return False


_MAY_WE = "check who owns the file and its directory, their modes, and whether your ticket for them is still valid"

_NO_LOCKS = "the file system provides no locks; check that its lock service is running, and try again"

_LOCKED = "database is locked"

#: SQLite's texts for SQLITE_CORRUPT and SQLITE_NOTADB (sqlite3ErrStr). A damaged schema gives "malformed database
#: schema". Python has the codes themselves from 3.11 on.
_DAMAGE = ("malformed", "file is not a database", "Could not decode to UTF-8")

#: SQLite's messages if it may not roll back a journal, write, or create a journal.
_CAN_NOT_WRITE = ("attempt to write a readonly database", "unable to open database file")

_REMEDIES = {
    _LOCKED: f"another process has held it for {_BUSY_SECONDS:.0f} s, try again",
    **dict.fromkeys(_CAN_NOT_WRITE, _MAY_WE),
    INTERRUPTED: "it took longer than any log of its size can; 'maestro-es verify' checks it",
    "database or disk is full": "make room and try again",
    "disk I/O error": "check that the file system works and is mounted with locks, and try again",
}
