"""The event log: the table `event` of one `events.db`, and what a row of it means.

The file is an SQLite 3 database with the application id "mes1" and a rollback journal: logs live on NFS, Lustre and
GPFS, where WAL corrupts. `journal_mode=TRUNCATE` with `synchronous=FULL` loses nothing that was acknowledged when the
power is cut. One row is one event::

    seq          1, 2, 3 ... without a gap
    recorded_at  microseconds UTC, never less than in the row before
    invocation   seq of the InvocationStarted of the process that wrote the row
    step         number of the step that the event is about, or NULL
    type         name of the class in `maestro_es.core.events`
    version      of the payload
    data         the payload as JSON
    digest       SHA-256 over the digest of the row before (32 zero bytes before the first) and this row's columns,
                 joined by NUL bytes: changing a row by any other hand breaks the chain from there on
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from maestro_es.core.events import EVENT_TYPES, VERSIONS, AnyEvent, Recorded
from maestro_es.errors import DamagedLog, NewerLog

#: The digest before the first event.
GENESIS = bytes(32)

Row = tuple[int, int, int, "int | None", str, int, str, bytes]

_COLUMNS = "seq, recorded_at, invocation, step, type, version, data, digest"
_encode = msgspec.json.Encoder().encode
_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def row_digest(before: bytes, row: tuple[object, ...]) -> bytes:
    """Return the digest of a row, given without its digest, after the one before it."""
    text = "\0".join("" if value is None else str(value) for value in row)
    return hashlib.sha256(before + text.encode()).digest()


def seal(before: bytes, recorded: Recorded) -> Row:
    """Return the row of an event."""
    name = type(recorded.event).__name__
    data = _encode(recorded.event).decode()
    row = (recorded.seq, recorded.recorded_at, recorded.invocation, recorded.step, name, VERSIONS[name], data)
    return (*row, row_digest(before, row))


def decode(row: Row) -> Recorded:
    """Return the event of a row. NewerLog for a type or version from the future, DamagedLog for a broken payload."""
    seq, recorded_at, invocation, step, name, version, data, _ = row
    if name not in VERSIONS or version > VERSIONS[name]:
        raise NewerLog(f"event {seq} is a {name} of version {version}, which this version of maestro-es can't read")
    return Recorded(seq, recorded_at, invocation, step, _payload(seq, name, data))


def _payload(seq: int, name: str, data: str) -> AnyEvent:
    decoder = _decoders.get(name)
    if decoder is None:
        decoder = _decoders[name] = msgspec.json.Decoder(EVENT_TYPES[name])
    try:
        event: AnyEvent = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise DamagedLog(f"event {seq}: its payload is no {name}: {error}") from None
    return event


def insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add rows to the log; the table's triggers refuse a gap."""
    connection.executemany(f"INSERT INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def read_rows(connection: sqlite3.Connection, after: int, limit: int) -> list[Row]:
    """Return the next rows after an event in order, at most `limit` of them. DamagedLog if there is a gap."""
    query = f"SELECT {_COLUMNS} FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
    rows: list[Row] = connection.execute(query, (after, limit)).fetchall()
    for seq, row in enumerate(rows, after + 1):
        if row[0] != seq:
            raise DamagedLog(f"event {seq} is missing: event {row[0]} follows event {seq - 1}")
    return rows


def read_step_rows(connection: sqlite3.Connection, step: int) -> list[Row]:
    """Return the rows about one step in order."""
    return connection.execute(f"SELECT {_COLUMNS} FROM event WHERE step = ? ORDER BY seq", (step,)).fetchall()


def head(connection: sqlite3.Connection) -> tuple[int, int, bytes]:
    """Return seq, recorded_at and digest of the last event; zeros and `GENESIS` of an empty log."""
    row = connection.execute("SELECT seq, recorded_at, digest FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    if row and [type(value) for value in row] != [int, int, bytes]:
        raise DamagedLog("the last event of the log can't be read; restore it from a copy")
    return row or (0, 0, GENESIS)


def check_chain(rows: Iterable[Row], after: tuple[int, int, bytes] = (0, 0, GENESIS)) -> Iterator[Row]:
    """Pass rows on, each once seq and digest are found right; DamagedLog names the first wrong one.

    `after` is seq, recorded_at and digest of the event before the first row.
    """
    seq, time, before = after
    for row in rows:
        if row[0] != seq + 1:
            raise DamagedLog(f"event {seq + 1} is missing: event {row[0]} follows event {seq}")
        if row[7] != row_digest(before, row[:7]):
            raise DamagedLog(f"event {row[0]} was changed after it was written: its digest is wrong")
        if row[1] < time:
            raise DamagedLog(f"event {row[0]} is earlier than the one before it")
        seq, time, before = row[0], row[1], row[7]
        yield row
