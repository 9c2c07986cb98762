"""Saves the readable part of a damaged log, that is, all rows on intact pages.

SQLite reads a table from its root page down, so one bad page hides all pages below it. This module reads each page
separately. It recognises the leaf pages of the table `event` by their records, which have eight columns with a digest
in the last one. https://www.sqlite.org/fileformat2.html describes the format. A row counts as an event only if the
chain of digests proves it. The first row after a gap can't be proven, and is marked as unproven.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from maestro_es.errors import DamagedLog, NewerLog
from maestro_es.store.event_log import GENESIS, Row, decode, row_digest
from maestro_es.store.log_export import line

_MAGIC = b"SQLite format 3\0"
_SIZES = tuple(1 << power for power in range(9, 17))
_FILE_HEADER, _PAGE_HEADER = 100, 8
_TABLE_LEAF = 0x0D
_VARINT_BYTES = 9
_DIGEST = 12 + 2 * 32  # the serial type of a BLOB of 32 bytes
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
_LAST_FIXED = 11  # serial types above it are texts and BLOBs
_EVENT, _PROJECTION = 8, 6  # the number of columns


@dataclass
class Salvaged:
    """The result: the proven `rows`, and the first and last missing seq of each of the `gaps`.

    The key of a gap is the seq of the row after it. For each gap, `unproven` holds the rows in it that look right but
    can't be proven.
    """

    rows: list[Row] = field(default_factory=list)
    gaps: dict[int, tuple[int, int]] = field(default_factory=dict)
    unproven: dict[int, list[Row]] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """The number of events that were not saved."""
        return sum(last - first + 1 for first, last in self.gaps.values())


def salvage(path: Path) -> Salvaged:
    """Return the readable part of a log. DamagedLog if there is none.

    Closing the file releases SQLite's lock on it. So the file stays open until all rows are read.
    """
    with _settled(path), path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise DamagedLog(f"{path}: the event log is empty, there is nothing to save") from None
        with data:
            rows, last = max((_scan(data, size) for size in _page_sizes(data)), key=lambda scanned: len(scanned[0]))
    return _proven(rows, last)


@contextlib.contextmanager
def _settled(path: Path) -> Iterator[None]:
    """Let SQLite roll back an unfinished transaction of a dead writer, and lock out writers, if possible."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        with contextlib.suppress(sqlite3.DatabaseError, UnicodeDecodeError):  # a message may contain bytes of the file
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
    finally:
        connection.close()


def _page_sizes(data: mmap.mmap) -> Sequence[int]:
    """Return the page size, or all possible sizes if the header of the file is damaged."""
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    return (size,) if data[:16] == _MAGIC and size in _SIZES else _SIZES


# -- pages and records ----------------------------------------------------------------------------------------------


def _scan(data: mmap.mmap, size: int) -> tuple[dict[int, list[Row]], int]:
    """Return the rows that look like events, by seq, and the number of events according to the projection."""
    by_seq: dict[int, list[Row]] = {}
    known = 0
    for start in range(0, len(data), size):
        head = start + (_FILE_HEADER if start == 0 else 0)
        if data[head : head + 1] != bytes([_TABLE_LEAF]):
            continue
        for seq, values in _records(data, size, start, head):
            if len(values) == _PROJECTION and isinstance(values[1], int):
                known = max(known, values[1])
            elif len(values) == _EVENT:
                row = cast("Row", (seq, *values[1:]))  # `_values` has checked the types
                rows = by_seq.setdefault(seq, [])
                if row not in rows:
                    rows.append(row)
    return by_seq, known


def _records(data: mmap.mmap, size: int, start: int, head: int) -> Iterator[tuple[int, list[object]]]:
    """Yield the rowid and the values of the records on a leaf page that belong to a known table."""
    count = int.from_bytes(data[head + 3 : head + 5], "big")
    for offset in range(head + _PAGE_HEADER, min(head + _PAGE_HEADER + 2 * count, start + size), 2):
        cell = start + int.from_bytes(data[offset : offset + 2], "big")
        with contextlib.suppress(ValueError, IndexError):
            length, at = _varint(data, cell)
            rowid, at = _varint(data, at)
            if length > len(data):
                continue
            yield rowid, _values(_payload(data, size, at, length))


def _payload(data: mmap.mmap, size: int, at: int, length: int) -> bytes:
    """Return a record, including its part on overflow pages."""
    most = size - 35
    if length <= most:
        return data[at : at + length]
    least = (size - 12) * 32 // 255 - 23
    local = least + (length - least) % (size - 4)
    local = local if local <= most else least
    parts = [data[at : at + local]]
    page = int.from_bytes(data[at + local : at + local + 4], "big")
    rest = length - local
    while rest > 0:
        start = (page - 1) * size
        if page < 1 or start + size > len(data):
            raise ValueError("it continues on a page that does not exist")
        parts.append(data[start + 4 : start + 4 + min(rest, size - 4)])
        page, rest = int.from_bytes(data[start : start + 4], "big"), rest - (size - 4)
    return b"".join(parts)


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_BYTES):
        byte = data[at + index]
        if index == _VARINT_BYTES - 1:
            return value << 8 | byte, at + _VARINT_BYTES
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the format - the high bit says that more follows
            return value, at + index + 1
    raise AssertionError


def _values(record: bytes) -> list[object]:
    """Return the values of a record of the table `event` or `projection`. ValueError if it belongs to neither."""
    end, at = _varint(record, 0)
    serials: list[int] = []
    while at < end and len(serials) <= _EVENT:
        serial, at = _varint(record, at)
        serials.append(serial)
    if at != end or not _is_ours(serials):
        raise ValueError("it is a record of another table")
    values: list[object] = []
    for serial in serials:
        if serial == 0:
            values.append(None)
            continue
        length = _INTEGERS[serial] if serial in _INTEGERS else (serial - 12) // 2
        part = record[at : at + length]
        if len(part) != length:
            raise ValueError("it is cut off")
        at += length
        if serial in _INTEGERS:
            values.append(int(serial == 9) if not length else int.from_bytes(part, "big", signed=True))  # noqa: PLR2004 - the format
        else:
            values.append(part.decode() if serial % 2 else part)
    return values


def _is_ours(serials: Sequence[int]) -> bool:
    return "".join(map(_kind, serials)) in {"0iiititd", "0ii0titd", "0iittt"}


def _kind(serial: int) -> str:
    if serial == 0:
        return "0"
    if serial in _INTEGERS:
        return "i"
    if serial == _DIGEST:
        return "d"
    return "t" if serial % 2 and serial > _LAST_FIXED else "?"


# -- the chain ------------------------------------------------------------------------------------------------------


def _proven(by_seq: dict[int, list[Row]], known: int) -> Salvaged:
    """Follow the chain of digests through the rows."""
    saved = Salvaged()
    last, before = 0, GENESIS  # the last row whose digest may be right
    proven = 0
    loose: list[Row] = []
    for seq in sorted(by_seq):
        row = _sealed(by_seq[seq], before) if seq == last + 1 else None
        if row:
            if seq != proven + 1:
                saved.gaps[seq] = (proven + 1, seq - 1)
                saved.unproven[seq] = loose
                loose = []
            saved.rows.append(row)
            proven = seq
        else:
            row = next(filter(_is_plausible, by_seq[seq]), None)
            if not row:
                continue
            loose.append(row)
        last, before = seq, row[7]
    end = max(known, proven)
    if end > proven or loose:
        saved.gaps[end + 1] = (proven + 1, end)
        saved.unproven[end + 1] = loose
    return saved


def lines(saved: Salvaged) -> Iterator[str]:
    """Yield the lines of an export: the saved events, and a line for each gap."""
    for row in saved.rows:
        if row[0] in saved.gaps:
            yield _damage(saved, row[0])
        yield line(row)
    for seq in saved.gaps.keys() - {row[0] for row in saved.rows}:
        yield _damage(saved, seq)


def _damage(saved: Salvaged, seq: int) -> str:
    unproven = ",".join(line(row).strip() for row in saved.unproven[seq])
    return f'{{"damage":{json.dumps(shown(*saved.gaps[seq]))},"unproven":[{unproven}]}}\n'


def shown(first: int, last: int) -> str:
    """Say which events are missing."""
    if last < first:
        return f"it can't be proven that the events after event {last} were in the log"
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _sealed(rows: Iterable[Row], before: bytes) -> Row | None:
    return next((row for row in rows if row_digest(before, row[:7]) == row[7]), None)


def _is_plausible(row: Row) -> bool:
    try:
        decode(row)
    except DamagedLog:
        return False
    except NewerLog:
        pass
    return True
