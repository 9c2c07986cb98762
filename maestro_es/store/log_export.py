"""Writes and reads exports: a log as JSON lines, one event per line. The same log always gives the same bytes.

The keys are the columns, in their order. `data` is the payload, byte for byte as in the log. `digest` is in hex, so
the chain can be checked line by line. A line with the key `damage` marks events that a salvage could not save.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from maestro_es.errors import DamagedLog, MaestroError, RequestRefused
from maestro_es.files import replace_file
from maestro_es.store.event_log import CORRECT, EMPTY, Row, check_chain
from maestro_es.store.log_reader import LogReader

#: The remedy if a payload can't be decoded although its digest is right.
_CORRECT = "'maestro-es import-log --repair' into a new directory corrects it; then export the new study"

_LINE_BREAKS = ("\n", "\r")
_FLUSH_BYTES = 1 << 20


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """One event, as a line contains it."""

    seq: int
    recorded_at: int
    invocation: int
    step: int | None
    type: str
    version: int
    data: msgspec.Raw
    digest: str


class _Damage(msgspec.Struct):
    """A gap in which a salvage found no event."""

    damage: str


_decode = msgspec.json.Decoder(_Line).decode
_decode_damage = msgspec.json.Decoder(_Damage).decode


def line(row: Row) -> str:
    """Return the line of an event. DamagedLog if its payload contains a line break."""
    seq, recorded_at, invocation, step, name, version, data, digest = row
    if any(character in data for character in _LINE_BREAKS):
        raise DamagedLog(f"event {seq}: its payload has line breaks, so it was not written by maestro-es", seq=seq)
    about = "null" if step is None else step
    return (
        f'{{"seq":{seq},"recorded_at":{recorded_at},"invocation":{invocation},"step":{about},"type":{json.dumps(name)},'
        f'"version":{version},"data":{data},"digest":"{digest.hex()}"}}\n'
    )


def lines(log: LogReader) -> Iterator[str]:
    """Yield the lines of all events. DamagedLog names the first wrong row."""
    head, upto = EMPTY, log.head.seq
    while head.seq < upto:
        sealed = log.sealed_block(head, upto)
        if sealed is None:
            yield from map(line, check_chain(log.readable_rows(upto, head.seq), head))
            return
        yield from sealed.lines()
        head = sealed.head


#: The longest line that is read, in bytes. A device file may have an endless line.
_LONGEST_LINE = 200_000_000


class ExportReader:
    """Reads an export. `number` is the last line that was read.

    With `upto_damage`, it stops at the first damaged line, and `damage` says what is wrong with this line.
    """

    def __init__(self, path: Path, *, upto_damage: bool = False) -> None:
        self.path = path
        self.number = 0
        self.damage = ""
        self._upto_damage = upto_damage

    def rows(self) -> Iterator[Row]:
        """Yield the rows. DamagedLog describes the first line that is not a row."""
        try:
            with self.path.open("rb") as file:
                for self.number, text in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
                    yield _row(text)
        except OSError as error:
            raise RequestRefused(f"{self.path}: {error.strerror}") from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Add the number of the last line to errors."""
        try:
            yield
        except MaestroError as error:
            if isinstance(error, RequestRefused) or not self.number:
                raise
            raise type(error)(f"{self.path}:{self.number}: {error}".replace(CORRECT, _CORRECT)) from None

    def selected(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows on, up to the end or (with `upto_damage`) to the first damage. The caller checks them."""
        try:
            yield from rows
        except DamagedLog as error:
            if not self._upto_damage or error.details.get("check") == "transition":
                raise  # after an event that can't follow, the graph must not be used
            self.damage = f"{self.path}:{self.number}: {error}"


def _row(text: bytes) -> Row:
    try:
        row = _decode(text)
        digest = bytes.fromhex(row.digest)
    except (msgspec.DecodeError, ValueError) as error:
        raise DamagedLog(_complaint(text, error), check="line", seq=None) from None
    data = bytes(row.data).decode()
    return row.seq, row.recorded_at, row.invocation, row.step, row.type, row.version, data, digest


def _complaint(text: bytes, error: Exception) -> str:
    with contextlib.suppress(msgspec.DecodeError):
        return _decode_damage(text).damage
    return f"this is not an event of an export: {error}"


def write(lines: Iterable[str], out: BinaryIO) -> None:
    """Write lines, many at a time."""
    out.writelines(blocks(lines))
    out.flush()


def blocks(lines: Iterable[str]) -> Iterator[bytes]:
    """Yield the bytes of lines, many lines at a time."""
    pending: list[str] = []
    size = 0
    for text in lines:
        pending.append(text)
        size += len(text)
        if size > _FLUSH_BYTES:
            yield "".join(pending).encode()
            pending, size = [], 0
    yield "".join(pending).encode()


def write_file(lines: Iterable[str], path: Path) -> None:
    """Write lines to a file that only its owner can read, atomically. RequestRefused if this fails."""
    try:
        # durable: a user may remove the study next
        replace_file(path, blocks(lines), 0o600, durable=True)
    except OSError as error:
        raise RequestRefused(f"{path}: can't be written: {error.strerror}; name another file") from error
