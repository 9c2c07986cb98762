"""Blocks of rows, read with one query each: SQLite concatenates the values of each column.

This is faster, because making a tuple for each row takes longer than decoding the payload of the row. It works only if
the rows are as maestro-es writes them. Otherwise the caller reads the rows one by one (`maestro_es.store.event_log`),
which shows what is wrong.
"""

from __future__ import annotations

import itertools
import operator
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

import msgspec

from maestro_es.core.events import VERSIONS
from maestro_es.core.model import Micros
from maestro_es.core.reducer import Block
from maestro_es.sha256 import sha256
from maestro_es.store.event_log import Head, decoders

_decode_numbers = msgspec.json.Decoder(list[int]).decode
_decode_steps = msgspec.json.Decoder(list[Union[int, None]]).decode

#: SQLite reads the rows by the primary key, so they are in order. A payload has no line break.
_COLUMNS = """
    SELECT count(*), min(version), max(version), group_concat(recorded_at), group_concat(ifnull(step, 'null')),
        group_concat(type), group_concat(data, char(10))
"""
_ROWS = "FROM event NOT INDEXED WHERE seq > ? AND seq <= ?"
_BLOCK = f"{_COLUMNS} {_ROWS}"

#: The same with the other columns. The maximum of a column shows whether the column contains a text, because SQLite
#: sorts texts after numbers.
_SEALED = f"""
    {_COLUMNS}, group_concat(invocation), group_concat(hex(digest), ''),
        total(typeof(type) = 'text' AND typeof(data) = 'text'), max(recorded_at), max(invocation), max(ifnull(step, 0))
    {_ROWS}
"""
_DIGEST_SIZE = 32

#: The only version of a payload that is read in bulk.
_VERSION = 1

#: The errors of a query or a decoder if a block can't be read in bulk.
_NOT_IN_BULK = (sqlite3.DataError, ValueError, AttributeError, LookupError, TypeError)


def read_block(connection: sqlite3.Connection, after: int, upto: int) -> Block | None:
    """Return the events with ``after < seq <= upto``. None if they must be read one by one."""
    try:
        return _Columns.of(after, upto, connection.execute(_BLOCK, (after, upto)).fetchone()).decoded()
    except _NOT_IN_BULK:
        return None


class _Columns(NamedTuple):
    """The columns of a block: each has a value for each row."""

    first: int
    times: list[Micros]
    steps: list[int | None]
    types: list[str]
    payloads: list[str]

    @classmethod
    def of(cls, after: int, upto: int, row: Sequence[Any]) -> _Columns:
        """Return the columns from the result of the query; ValueError if they are not complete."""
        count, lowest, highest, times, steps, types, payloads = row
        numbers = (_decode_numbers(f"[{times}]"), _decode_steps(f"[{steps}]"))
        columns = cls(after + 1, *numbers, types.split(","), payloads.split("\n"))
        lengths = {count, len(columns.times), len(columns.steps), len(columns.types), len(columns.payloads)}
        named = all(map(str.isidentifier, set(columns.types))) and "\r" not in payloads
        if lengths != {upto - after} or not lowest == highest == _VERSION or not named:
            raise ValueError
        return columns

    def decoded(self) -> Block:
        """Return the events. ValueError or LookupError if one can't be decoded."""
        if any(VERSIONS[name] != _VERSION for name in set(self.types)):
            raise ValueError
        events = [decoders[name](data) for name, data in zip(self.types, self.payloads, strict=True)]
        return Block(self.first, self.times, self.steps, events)


class SealedBlock(NamedTuple):
    """A block of rows whose digests are right."""

    columns: _Columns
    invocations: list[int]
    digests: bytes

    def decoded(self) -> Block | None:
        """Return the events. None if one can't be decoded."""
        try:
            return self.columns.decoded()
        except _NOT_IN_BULK:
            return None

    @property
    def head(self) -> Head:
        """The last row."""
        first, times, *_ = self.columns
        return Head(first + len(times) - 1, times[-1], self.digests[-_DIGEST_SIZE:])

    def lines(self) -> Iterator[str]:
        """Yield the rows as `maestro_es.store.log_export.line` writes them."""
        size = 2 * _DIGEST_SIZE
        texts = self.digests.hex()
        for at, (seq, recorded_at, step, name, data) in enumerate(_rows(self.columns)):
            about = "null" if step is None else step
            digest = texts[size * at : size * (at + 1)]
            yield (
                f'{{"seq":{seq},"recorded_at":{recorded_at},"invocation":{self.invocations[at]},"step":{about},'
                f'"type":"{name}","version":{_VERSION},"data":{data},"digest":"{digest}"}}\n'
            )


def _rows(columns: _Columns) -> Iterator[tuple[int, Micros, int | None, str, str]]:
    return zip(itertools.count(columns.first), *columns[1:])


def read_sealed_block(connection: sqlite3.Connection, head: Head, upto: int) -> SealedBlock | None:
    """Return the rows after `head` with ``seq <= upto``. None if anything is wrong, or can't be read in bulk."""
    try:
        *row, writers, digests, texts, time, writer, step = connection.execute(_SEALED, (head.seq, upto)).fetchone()
        columns = _Columns.of(head.seq, upto, row)
        block = SealedBlock(columns, _decode_numbers(f"[{writers}]"), bytes.fromhex(digests))
    except _NOT_IN_BULK:
        return None
    count = upto - head.seq
    ordered = all(map(operator.le, (head.recorded_at, *columns.times), columns.times))
    typed = texts == count and type(time) is type(writer) is type(step) is int
    complete = len(block.digests) == _DIGEST_SIZE * count and len(block.invocations) == count
    return block if ordered and typed and complete and _is_sealed(block, head.digest) else None


def _is_sealed(block: SealedBlock, before: bytes) -> bool:
    """Return whether all digests are equal to those that `maestro_es.store.event_log.row_digest` computes."""
    make, digests = sha256(), []
    for (seq, recorded_at, step, name, data), invocation in zip(_rows(block.columns), block.invocations, strict=True):
        about = "" if step is None else step
        text = f"{seq}\0{recorded_at}\0{invocation}\0{about}\0{name}\0{_VERSION}\0{data}"
        before = make(before + text.encode()).digest()
        digests.append(before)
    return b"".join(digests) == block.digests
