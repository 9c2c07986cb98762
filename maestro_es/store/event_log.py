"""The table `event` of an `events.db`: the meaning of its rows, and their digests.

The file is an SQLite 3 database with the application id "mes1". It has a rollback journal, because logs are on NFS,
Lustre and GPFS, where WAL mode can corrupt a database. With `journal_mode=TRUNCATE` and `synchronous=FULL`, a power
cut loses no acknowledged commit. Each row is one event::

    seq          1, 2, 3 ... without a gap
    recorded_at  microseconds UTC, never less than in the row before
    invocation   seq of the InvocationStarted of the process that wrote the row
    step         number of the step that the event is about, or NULL
    type         name of the class in `maestro_es.core.events`
    version      of the payload
    data         the payload as JSON
    digest       SHA-256 over the digest of the row before (32 zero bytes before the first) and this row's columns,
                 joined by NUL bytes: if another program changes a row, the chain is broken from there on

A payload of an older version is converted to the present version when it is read (`maestro_es.core.events`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from maestro_es.core.events import EVENT_TYPES, VERSIONS, NewEvent, Recorded, upcast
from maestro_es.core.model import Micros
from maestro_es.errors import DamagedLog, NewerLog, NotRecordable
from maestro_es.sha256 import sha256


class Head(NamedTuple):
    """The last event of a log."""

    seq: int
    recorded_at: Micros
    digest: bytes


#: The remedy if a payload can't be decoded although its digest is right.
CORRECT = "'maestro-es rebuild --repair' corrects it and keeps all other events"

#: The digest before the first event.
GENESIS = bytes(32)

#: The head of an empty log.
EMPTY = Head(0, 0, GENESIS)

Row = tuple[int, int, int, "int | None", str, int, str, bytes]

_COLUMNS = "seq, recorded_at, invocation, step, type, version, data, digest"
_encode = msgspec.json.Encoder().encode

_DEEPEST = 100
_BRACKET = r"[\[{\]}]"


class _Decoders(dict[str, Callable[[str], Any]]):
    """The decoders of the payloads of each type, created when they are first needed."""

    def __missing__(self, name: str) -> Callable[[str], Any]:
        decode = self[name] = msgspec.json.Decoder(EVENT_TYPES[name]).decode
        return decode


decoders = _Decoders()


def row_digest(before: bytes, row: tuple[Any, ...]) -> bytes:
    """Return the digest of a row, from the row without its digest and the digest of the row before.

    ValueError if a column of numbers contains another type. A string of digits is not a number.
    """
    seq, recorded_at, invocation, step, _, version, _ = row
    if not type(seq) is type(recorded_at) is type(invocation) is type(version) is int:
        raise ValueError("a column is not a number")
    if type(step) not in (int, type(None)):
        row = (*row[:3], f"{step:d}", *row[4:])
    return sha256()(before + _digested(*row)).digest()


def _digested(seq: int, recorded_at: int, invocation: int, step: object, name: str, version: int, data: str) -> bytes:
    about = "" if step is None else step
    return f"{seq}\0{recorded_at}\0{invocation}\0{about}\0{name}\0{version}\0{data}".encode()


def seal(head: Head, time: Micros, invocation: int, new_events: Iterable[NewEvent]) -> Iterator[tuple[Row, Any]]:
    """Yield the row of each new event after `head`, and the event as decoded from that row.

    NotRecordable if no reader could decode the row. So every event in a log can be read. The check takes a
    microsecond.
    """
    make, digest = sha256(), head.digest
    for seq, (step, event) in enumerate(new_events, head.seq + 1):
        name = type(event).__name__
        try:
            data = _encode(event).decode()
            read = decoders[name](data)
        except UnicodeEncodeError:
            raise
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise NotRecordable(f"{name} can't be recorded: {error}; nothing was written") from error
        if _is_deep(data):
            raise NotRecordable(f"{name} can't be recorded: it is nested too deeply; nothing was written")
        row = (seq, time, invocation, step, name, VERSIONS[name], data)
        digest = make(digest + _digested(*row)).digest()
        yield (*row, digest), read


def _is_deep(data: str) -> bool:
    """Return whether a payload is nested so deeply that a reader with little stack left could fail on it."""
    if len(data) < 2 * _DEEPEST or data.count("[") + data.count("{") < _DEEPEST:
        return False

    depth = deepest = 0
    # Only brackets outside of texts count. One of the texts is the study file.
    outside = data.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    for bracket in re.finditer(_BRACKET, "".join(outside)):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def decode(row: Row) -> Recorded:
    """Return the event of a row. NewerLog if a later version wrote it, DamagedLog if the payload is broken."""
    seq, recorded_at, invocation, step, name, version, data, _ = row
    try:
        event = decoders[name](data) if name in VERSIONS and VERSIONS[name] == version else _older(row)
    except (msgspec.DecodeError, UnicodeError, TypeError, LookupError) as error:
        raise DamagedLog(
            f"event {seq}: its payload is not a valid {name}: {error}", check="payload", seq=seq
        ) from None
    return Recorded(seq, recorded_at, invocation, step, event)


def _older(row: Row) -> Any:  # noqa: ANN401 - of a type that is known by its name
    """Return the event of a row with a payload of another version."""
    seq, _, _, _, name, version, data, _ = row
    _check_version(seq, name, version)
    return msgspec.convert(upcast(name, version, msgspec.json.decode(data, type=dict)), EVENT_TYPES[name])


def written_by_newer(complaint: str, version: str) -> str:
    """Return the message about an event of a later version, with the version of maestro-es that wrote it."""
    if not version:
        return f"{complaint}; install a later one"
    return f"{complaint}; maestro-es {version} wrote it: install that version or a later one"


def _check_version(seq: int, name: object, version: object) -> None:
    if not isinstance(name, str) or not isinstance(version, int) or version < 1:
        message = f"event {seq}: no version of maestro-es writes events {name!r} of version {version!r}"
        raise DamagedLog(message, check="type" if not isinstance(name, str) else "version")
    if name not in VERSIONS or version > VERSIONS[name]:
        shown = name if name.isidentifier() else repr(name)
        raise NewerLog(f"event {seq} is a {shown} of version {version}, which this version of maestro-es can't read")


def insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add rows to the log. The triggers of the table refuse a gap."""
    connection.executemany(f"INSERT INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def overwrite(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Change payload and digest of existing rows. The triggers of the table must have been removed."""
    values = [(row[6], row[7], row[0]) for row in rows]
    connection.executemany("UPDATE event SET data = ?, digest = ? WHERE seq = ?", values)


def read_rows(connection: sqlite3.Connection, after: int, limit: int) -> list[Row]:
    """Return the next rows after an event in order, at most `limit` of them. DamagedLog if there is a gap."""
    query = f"SELECT {_COLUMNS} FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
    rows: list[Row] = connection.execute(query, (after, limit)).fetchall()
    for seq, row in enumerate(rows, after + 1):
        if row[0] != seq:
            raise _missing(seq, row[0])
    return rows


def read_step_rows(connection: sqlite3.Connection, step: int) -> list[Row]:
    """Return the rows about one step in order."""
    return connection.execute(f"SELECT {_COLUMNS} FROM event WHERE step = ? ORDER BY seq", (step,)).fetchall()


def read_study_rows(connection: sqlite3.Connection, name: str, upto: int) -> list[Row]:
    """Return the rows of a type that are about the whole study, up to an event, newest first."""
    query = f"SELECT {_COLUMNS} FROM event WHERE step IS NULL AND type = ? AND seq <= ? ORDER BY seq DESC"
    return connection.execute(query, (name, upto)).fetchall()


def head(connection: sqlite3.Connection) -> Head:
    """Return the last event (`EMPTY` if there is none)."""
    row = connection.execute("SELECT seq, recorded_at, digest FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    if row and [type(value) for value in row] != [int, int, bytes]:
        raise DamagedLog("the last event of the log can't be read; restore it from a copy")
    return Head(*row) if row else EMPTY


def check_chain(rows: Iterable[Row], after: Head = EMPTY) -> Iterator[Row]:
    """Pass on the rows after an event, each after its seq and digest have been checked.

    DamagedLog names the first wrong row.
    """
    seq, time, before = after
    for row in rows:
        if row[0] != seq + 1:
            raise _missing(seq + 1, row[0])
        try:
            digest = row_digest(before, row[:7])
        except (ValueError, TypeError):  # a column that must be a number is not one
            digest = b""
        if row[7] != digest:
            message = f"event {row[0]} was changed after it was written: its digest is wrong"
            raise DamagedLog(message, check="digest", seq=row[0])
        if row[1] < time:
            raise DamagedLog(f"event {row[0]} is earlier than the one before it", check="time", seq=row[0])
        seq, time, before = row[0], row[1], row[7]
        yield row


def _missing(seq: int, next_seq: int) -> DamagedLog:
    return DamagedLog(f"event {seq} is missing: event {next_seq} follows event {seq - 1}", check="gap", seq=seq)
