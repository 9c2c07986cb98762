"""The file of a log: opening it, and what to tell a person of one that can't be opened, read or written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from maestro_es.errors import DamagedLog, LogUnavailable, NewerLog, NotAStudy, StudyError
from maestro_es.store.connection import Connection, connect
from maestro_es.store.migrations import APPLICATION_ID, KNOWN, apply_migrations

#: The name of the log in a study directory.
LOG_NAME = "events.db"

#: What helps against a damaged file.
RESTORE = "restore it from a copy, or save what can be read with 'maestro-es export --salvage'"

_BUSY_SECONDS = 30.0
_HEADER_BYTES = 100
_SAID = 200


@contextlib.contextmanager
def connected(path: Path) -> Iterator[Connection]:
    """Connect, and close the file again if what is done with it fails."""
    with explained(path):
        connection = connect(path, timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        except BaseException:
            connection.close()
            raise


def require_file(path: Path) -> None:
    """Refuse what is no file, since SQLite would make one, and one that is too short for a database."""
    try:
        info = path.stat()  # not is_file(), which from Python 3.14 on says no of a file that we may not look at
    except (FileNotFoundError, NotADirectoryError):
        info = None
    if info is None or not stat.S_ISREG(info.st_mode):
        raise NotAStudy(f"{path.parent}: not a study directory, there is no {LOG_NAME} in it")
    if info.st_size < _HEADER_BYTES:
        raise DamagedLog(f"{path}: the event log is empty, it was cut off or never written")


def check_header(connection: sqlite3.Connection, path: Path, *, migrate: bool) -> None:
    """Refuse what is no log, or a later version's, and bring an older one up to date if that is wanted."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotAStudy(f"{path}: an SQLite file, but no event log of maestro-es")
    known = connection.execute("PRAGMA user_version").fetchone()[0]
    if known > KNOWN:
        raise NewerLog(f"{path}: written by {_writer(connection)}; install that version or a later one to read it")
    if known < KNOWN and migrate:
        apply_migrations(connection)


def _writer(connection: sqlite3.Connection) -> str:
    version = last_version(connection)
    return f"maestro-es {version}" if version else "a later version of maestro-es"


def last_version(connection: sqlite3.Connection) -> str:
    """Return which version wrote last. Its payload may be one that we can't read as a whole."""
    query = "SELECT data FROM event WHERE type = 'InvocationStarted' ORDER BY seq DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return str(row[0]).partition('"version":"')[2].partition('"')[0] if row else ""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Explain what SQLite raises. Its message about a damaged file may hold bytes of it, and be no text."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, path) from error


def explain(error: Exception, path: Path) -> Exception:
    """Turn an error of SQLite into one that says what to do. Only what SQLite calls damaged needs a copy."""
    text = " ".join(str(error).split())[:_SAID]
    if isinstance(error, sqlite3.OperationalError):
        if text.startswith(_LOCKED) and _gives_no_locks(path):
            return LogUnavailable(f"{path}: nothing was written: {_NO_LOCKS}")
        for words, remedy in _REMEDIES.items():
            if text.startswith(words):
                return LogUnavailable(f"{path}: nothing was written: {text}; {remedy}")
    if isinstance(error, UnicodeDecodeError) or any(words in text for words in _DAMAGE):
        return DamagedLog(f"{path}: not readable as an event log ({text}); {RESTORE}")
    if isinstance(error, sqlite3.OperationalError):
        return DamagedLog(f"{path}: not readable as an event log ({text}); 'maestro-es verify' checks it")
    return StudyError(f"{path}: nothing was written: SQLite refused this ({text})")


def _gives_no_locks(path: Path) -> bool:
    """Whether a file system has no locks to give (ENOLCK: NFS without its lock service): SQLite calls that locked too.

    The journal is asked, which nobody locks: to close the log itself would give up the locks of this process.
    """
    try:
        with Path(f"{path}-journal").open("rb") as journal:
            fcntl.lockf(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.ENOLCK
    return False


_MAY_WE = "see who owns the file and its directory, their modes, and whether your ticket for them is still valid"

_NO_LOCKS = "the file system gives no locks; see whether its lock service runs, and try again"

_LOCKED = "database is locked"

#: How SQLite names SQLITE_CORRUPT and SQLITE_NOTADB (sqlite3ErrStr); of a schema it says "malformed database schema".
#: Python has the codes themselves from 3.11 on.
_DAMAGE = ("malformed", "file is not a database", "Could not decode to UTF-8")

_REMEDIES = {
    _LOCKED: f"another process has held it for {_BUSY_SECONDS:.0f} s, try again",
    "attempt to write a readonly database": _MAY_WE,
    "unable to open database file": _MAY_WE,
    "database or disk is full": "make room and try again",
    "disk I/O error": "see whether the file system is well, and mounted with locks, and try again",
}
