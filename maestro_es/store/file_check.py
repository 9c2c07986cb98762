"""Checks a file before SQLite opens it, and its tables before the first query.

The file may belong to another user, or may not be a log of maestro-es at all. SQLite may change a file when it opens
the file: it rolls back a journal, deletes the file that the journal names, or converts a WAL file. So this module
reads the first 100 bytes without SQLite, and a file that others own or can change is opened read-only. A view called
``event`` could run any SQL of its author, so the file must have the schema of maestro-es.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from maestro_es.core.file_names import LOG
from maestro_es.errors import DamagedLog, NotAStudy, NotOurs, StudyError
from maestro_es.sha256 import short_digest
from maestro_es.store import migrations
from maestro_es.store.connection import is_open_here
from maestro_es.store.migrations import APPLICATION_ID, SCHEMA_DIGEST

_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat2.html, 1.3
_MAGIC = b"SQLite format 3\0"
_WRITE_VERSION, _READ_VERSION = 18, 19
_ROLLBACK, _WAL = 1, 2
_APPLICATION_ID = slice(68, 72)

#: SQLite's own objects are left out. The table of sqlite-utils is also left out, because the statement that creates it
#: depends on the version.
_SCHEMA = """
SELECT type, name, sql FROM sqlite_master
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  AND NOT (tbl_name = '_sqlite_migrations' AND type IN ('table', 'index'))
"""


def not_a_study(folder: Path) -> NotAStudy:
    """Return the error for a path at which there is no log."""
    if folder.exists():
        return NotAStudy(f"{folder}: not a study directory, there is no {LOG} in it")
    return NotAStudy(f"{folder}: there is no such directory")


def check_file(path: Path) -> bool:
    """Refuse a file that is not a log. Return whether a log must be opened read-only. SQLite is not used for this.

    A log must be opened read-only if other users can change it, or if this user may not write to it. A missing file is
    refused, because SQLite would create it.
    """
    try:
        info = (
            path.stat()
        )  # not is_file(), because from Python 3.14 on it returns false for a file that can't be accessed
    except (FileNotFoundError, NotADirectoryError):
        info = None
    except PermissionError as error:
        raise _not_readable(path.parent, path.parent.stat()) or error from None
    if info is None or not stat.S_ISREG(info.st_mode):
        raise not_a_study(path.parent)
    if info.st_size < _HEADER_BYTES:
        remedy = "restore it from a copy, or rebuild it with 'maestro-es recover'"
        raise DamagedLog(f"{path}: the event log is empty: it was truncated or never written; {remedy}")
    if not os.access(path, os.R_OK) and (refused := _not_readable(path.parent, info)):
        raise refused
    foreign = is_open_to_others(path, info)
    _check_journal(path)
    if not is_open_here(info):  # closing the file would release this process's locks on it
        _check_header(path, foreign=foreign)
    return foreign or not os.access(path, os.W_OK)


def _not_readable(folder: Path, info: os.stat_result) -> NotOurs | None:
    """Return the error for a user who may not read a study. None for its owner, who may only need a new ticket."""
    if info.st_uid == os.geteuid():
        return None
    import pwd  # noqa: PLC0415 - for this message only

    try:
        owner = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        owner = f"uid {info.st_uid}"
    return NotOurs(
        f"{folder}: a study of {owner}, which you may not read; {owner} can let the group read it with "
        f"'maestro-es update {folder} --group-read'"
    )


def is_open_to_others(path: Path, info: os.stat_result) -> bool:
    """Return whether other users can change a log.

    The group may write to the directory. But then the owner of the log must also own its journal.
    """
    return _is_writable(info, stat.S_IWGRP | stat.S_IWOTH) or _is_folder_open(path)


def _is_folder_open(path: Path) -> bool:
    folder = path.parent.stat()
    if _is_writable(folder, stat.S_IWOTH):
        return True
    return bool(folder.st_mode & stat.S_IWGRP) and any(map(_is_of_others, journals(path)))


def _is_writable(info: os.stat_result, by: int) -> bool:
    return info.st_uid != os.geteuid() or bool(info.st_mode & by)


def _is_of_others(path: Path) -> bool:
    try:
        return path.lstat().st_uid != os.geteuid()
    except FileNotFoundError:
        return False


def journals(path: Path) -> tuple[Path, ...]:
    """Return the journal files of a log. SQLite trusts them."""
    return Path(f"{path}-journal"), Path(f"{path}-wal"), Path(f"{path}-shm")


def _check_header(path: Path, *, foreign: bool) -> None:
    """Refuse a file of another program, by its first bytes. SQLite itself reports unreadable or damaged files."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        head = os.pread(handle, _HEADER_BYTES, 0)
    except OSError:
        return
    finally:
        os.close(handle)
    if head[: len(_MAGIC)] != _MAGIC or not {head[_WRITE_VERSION], head[_READ_VERSION]} <= {_ROLLBACK, _WAL}:
        return
    if int.from_bytes(head[_APPLICATION_ID], "big") != APPLICATION_ID:
        raise NotAStudy(f"{path}: an SQLite file, but not an event log of maestro-es")
    if foreign and _WAL in (head[_WRITE_VERSION], head[_READ_VERSION]):
        raise StudyError(f"{path}: another program has turned it into a WAL file, which only its owner can read")


def _check_journal(path: Path) -> None:
    """Refuse a journal that is not a regular file, because SQLite would wait for ever if it were a pipe."""
    for name in journals(path):
        try:
            info = os.lstat(name)
        except OSError:
            continue
        if not stat.S_ISREG(info.st_mode):
            raise StudyError(f"{name}: not a file, and SQLite would wait for it; remove it")


def check_schema(connection: sqlite3.Connection, path: Path) -> bool:
    """Refuse a file that does not have the tables and views of a log.

    Returns whether the file has exactly the tables and views of this version.

    Tables and views of another version are accepted. Changed triggers and indexes of maestro-es are accepted, too,
    because `verify` reports them. A user may add tables and views. But other triggers and indexes on the tables of
    maestro-es are refused, because they would affect reads and writes.
    """
    if schema_digest(connection) == SCHEMA_DIGEST:
        return True
    made = migrations.ever_made()
    tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
    for kind, name, sql in connection.execute(_SCHEMA):
        known = made.get(str(name).lower())
        is_part = kind == "trigger" or (kind == "index" and str(tables[name]).lower() in made)
        if is_part if known is None else not known.covers(kind, str(sql)):
            raise StudyError(
                f"{path}: these are not the tables of an event log: another program has created the {kind} {name!a}"
            )
    return False


def foreign_views(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the views that differ from the views of this version."""
    if schema_digest(connection) == SCHEMA_DIGEST:
        return []
    made = migrations.ever_made()
    views = [(str(name), str(sql)) for kind, name, sql in connection.execute(_SCHEMA) if kind == "view"]
    return [
        name
        for name, sql in views
        if name.lower() not in made or migrations.normal(sql) not in made[name.lower()].statements
    ]


def schema_digest(connection: sqlite3.Connection) -> str:
    """Return a digest of the tables, indexes, triggers and views of a file."""
    rows = ("\0".join(map(str, row)) for row in connection.execute(_SCHEMA))
    return short_digest("\0".join(sorted(rows)).encode("utf-8", "replace"))
