"""Writes ``status.csv``, a projection of the log. The cost depends on how much has changed.

The lines of the file form blocks. A block contains the steps whose column `row` is in one range. The note in
``.maestro-es/status-blocks`` has the length of each block, and the last event that the file shows. A tick formats new
lines for the steps of later events, and copies all other lines from the file. The whole file is replaced in one step.

The note identifies the file by its inode, size and time. If these differ or there is no note, then a tick was killed
before it wrote the note, or another program changed the file. In both cases, all lines are formatted from the log.

`maestro_es.study.status_csv` has the text of a line.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from maestro_es.adapters.host import Host
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.reducer import REDUCER_VERSION
from maestro_es.files import read, replace_file
from maestro_es.store import event_log
from maestro_es.store.connection import Connection
from maestro_es.store.event_log import Head
from maestro_es.store.status_rows import StatusRow, all_rows, numbers_between, rows_between, rows_since, running_rows
from maestro_es.store.study_log import StudyLog
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import hold
from maestro_es.study.status_csv import maestro_header, maestro_line, maestro_text

#: The format of a line. Raise it when the text of a line changes, so that lines of an earlier version are not copied.
_FORMAT = 1
#: How many values of the column `row` a block covers.
_BLOCK = 256
#: After more events than this, all lines are formatted from the log.
_MOST_EVENTS = 20_000
#: How many bytes are copied at a time.
_PIECE = 65_536

_LOCK_SECONDS = 10


class _Note(msgspec.Struct, frozen=True):
    """The note about the file: the last event that it shows, its identity, its origin and its blocks."""

    seq: int
    digest: str
    file: tuple[int, int, int]
    origin: str
    host: str
    boot_id: str
    blocks: tuple[tuple[int, int], ...]


_decoder = msgspec.json.Decoder(_Note)


class _Change(NamedTuple):
    """A block with its position and length in the present file, and the steps whose lines may have changed."""

    at: int
    length: int
    rows: list[StatusRow]


def write_steps(study_dir: StudyDir, steps: Iterable[StepRecord], now: Micros) -> None:
    """Write the table of these steps, which need not be in a log, into a directory."""
    with _lock(study_dir):
        _replace(study_dir, (maestro_text(steps, now).encode(),))


def write_status(study_dir: StudyDir, log: StudyLog, now: Micros, host: Host) -> None:
    """Write the table, unless only the run times of running steps would change.

    The lock is taken before the snapshot of the log. Otherwise a reader that holds the lock would keep writers of the
    log waiting.
    """
    with _lock(study_dir), log.snapshot() as connection, contextlib.ExitStack() as stack:
        head = event_log.head(connection)
        table = _Table(connection, now)
        note = _read_note(study_dir)
        old = _open_noted(study_dir, stack, note) if note and _is_of_use(note, log, head, host) else None
        if note is None or old is None:
            content = table.whole()
        else:
            changed = rows_since(connection, note.seq)
            if not table.differs(old, note, changed):
                return _write_note(study_dir, head, note.file, note.blocks, host)
            content = table.patched(old, note, [*changed, *running_rows(connection)])
        return _write_note(study_dir, head, _replace(study_dir, content), table.blocks, host)


def forget_lines(study_dir: StudyDir) -> None:
    """Let the next `write_status` format all lines, and copy none from the file."""
    study_dir.status_blocks.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(study_dir: StudyDir) -> Iterator[None]:
    """Hold Maestro's lock of the file.

    Readers hold the lock for a short time. If they do not release it in time, the caller continues without the lock.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(PermissionError):  # the lock file may belong to another member of the group
            stack.enter_context(hold(study_dir.status_lock, _LOCK_SECONDS))
        yield


def _replace(study_dir: StudyDir, content: Iterable[bytes]) -> tuple[int, int, int]:
    """Replace the file. Return the identity of the new one."""
    # not durable: a tick that finds the table empty writes it again
    return _identity(replace_file(study_dir.status_csv, content, 0o666, durable=False))


class _Table:
    """The lines of the table, from the present log. `blocks` lists the blocks so far, with their lengths."""

    def __init__(self, connection: Connection, now: Micros) -> None:
        self.blocks: list[tuple[int, int]] = []
        self._connection = connection
        self._now = now

    def whole(self) -> Iterator[bytes]:
        """Yield the content of the file, formatted from all steps."""
        yield maestro_header().encode()
        for block, rows in itertools.groupby(all_rows(self._connection), lambda row: row.row // _BLOCK):
            yield self._made(block, self._text(rows))

    def differs(self, old: int, note: _Note, rows: Iterable[StatusRow]) -> bool:
        """Whether any of these steps has another line in the file."""
        return any(
            os.pread(old, change.length, change.at) != self._changed(old, block, change)
            for block, change in _changes(note, rows)
            if change.rows
        )

    def patched(self, old: int, note: _Note, rows: Iterable[StatusRow]) -> Iterator[bytes]:
        """Yield the content of the file. The lines of these steps are formatted, and all others are copied."""
        end = copied = 0
        for block, change in _changes(note, rows):
            end = change.at
            if change.rows:
                yield from _copy(old, copied, end)
                yield self._made(block, self._changed(old, block, change))
                copied = end + change.length
            else:
                self.blocks.append((block, change.length))
            end += change.length
        yield from _copy(old, copied, end)

    def _made(self, block: int, text: bytes) -> bytes:
        self.blocks.append((block, len(text)))
        return text

    def _changed(self, old: int, block: int, change: _Change) -> bytes:
        """Return the text of a block, with new lines for the steps of the change."""
        first = block * _BLOCK
        lines = os.pread(old, change.length, change.at).split(b"\n")
        numbers = numbers_between(self._connection, first, first + _BLOCK)
        if len(lines) != len(numbers) + 1:  # steps were added (the block begins with a line break)
            return self._text(rows_between(self._connection, first, first + _BLOCK))
        for row in change.rows:
            lines[numbers.index(row.number) + 1] = maestro_line(row, self._now).encode()
        return b"\n".join(lines)

    def _text(self, rows: Iterable[StatusRow]) -> bytes:
        return "".join(f"\n{maestro_line(row, self._now)}" for row in rows).encode()


def _changes(note: _Note, rows: Iterable[StatusRow]) -> Iterator[tuple[int, _Change]]:
    """Yield all blocks in order, each with the rows that belong to it."""
    by_block: dict[int, list[StatusRow]] = {block: [] for block, _ in note.blocks}
    for row in rows:
        by_block.setdefault(row.row // _BLOCK, []).append(row)
    lengths = dict(note.blocks)
    at = len(maestro_header().encode())
    for block in sorted(by_block):
        length = lengths.get(block, 0)
        yield block, _Change(at, length, by_block[block])
        at += length


def _copy(old: int, start: int, end: int) -> Iterator[bytes]:
    """Yield a part of the file in pieces."""
    while start < end:
        piece = os.pread(old, min(_PIECE, end - start), start)
        if not piece:
            raise OSError(errno.ESTALE, "it was truncated while it was read")
        yield piece
        start += len(piece)


# -- the note --------------------------------------------------------------------------------------------------------


def _read_note(study_dir: StudyDir) -> _Note | None:
    try:
        return _decoder.decode(read(study_dir.status_blocks))
    except (OSError, msgspec.DecodeError):
        return None


def _is_of_use(note: _Note, log: StudyLog, head: Head, host: Host) -> bool:
    """Return whether lines may be copied.

    They must come from this log and this version, and from after the last reboot.
    """
    if note.origin != _origin() or (note.host == host.name and note.boot_id != host.boot_id):
        return False
    return head.seq - note.seq <= _MOST_EVENTS and log.holds(note.seq, bytes.fromhex(note.digest))


def _open_noted(study_dir: StudyDir, stack: contextlib.ExitStack, note: _Note) -> int | None:
    """Open the file. Return None if it is not the file that the note describes."""
    try:
        old = os.open(study_dir.status_csv, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    stack.callback(os.close, old)
    return old if _identity(os.fstat(old)) == note.file else None


def _write_note(
    study_dir: StudyDir,
    head: Head,
    file: tuple[int, int, int],
    blocks: Iterable[tuple[int, int]],
    host: Host,
) -> None:
    """Write the note. If that fails, the next tick formats all lines from the log."""
    note = _Note(head.seq, head.digest.hex(), file, _origin(), host.name, host.boot_id, tuple(blocks))
    with contextlib.suppress(OSError):
        replace_file(study_dir.status_blocks, msgspec.json.encode(note), 0o600, durable=False)


def _identity(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_ino, info.st_size, info.st_mtime_ns


def _origin() -> str:
    """Return the versions of the rules and the time zone, because a line depends on these and on its step."""
    return f"{_FORMAT} {REDUCER_VERSION} {' '.join(time.tzname)} {time.timezone} {time.altzone}"
