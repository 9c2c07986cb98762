"""The last tick, in ``.maestro-es/last-tick``: its host, and up to where it has seen the log, and shown it.

The file's time is the tick's own.

A tick that died before it had written ``status.csv`` has noted nothing, so the next one writes it.

A log that lacks that event is an older copy, put back by a person, or by a file system that has lost what it said it
had written. What was run since is not in it, and would be run again.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from maestro_es.errors import StudyError
from maestro_es.files import is_empty
from maestro_es.files import read as read_file
from maestro_es.store.event_log import Head
from maestro_es.store.study_log import StudyLog
from maestro_es.study.layout import StudyDir
from maestro_es.study.sharing import group_reads


class Note(NamedTuple):
    """What a tick has noted: the last event that it has seen, and its host (empty: an earlier version noted none)."""

    seq: int
    digest: bytes
    host: str = ""


#: How many bytes a digest has: SHA-256.
_DIGEST = 32
#: No host has a longer name.
_LONGEST = 255


def note(study_dir: StudyDir, head: Head, host: str) -> None:
    """Note the last event of the log, which ``status.csv`` shows now, and our host, if there is room.

    It is written over the one before, so that no reader finds the file empty.
    """
    with contextlib.suppress(OSError):
        handle = os.open(study_dir.last_tick, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600)
        try:
            if group_reads(study_dir):
                os.fchmod(handle, 0o640)
            os.pwrite(handle, f"{head.seq:20} {head.digest.hex()} {host:{_LONGEST}}\n".encode(), 0)
        finally:
            os.close(handle)


def check(study_dir: StudyDir, log: StudyLog) -> None:
    """Refuse a log that lacks the event that the last tick has noted: that is read first, as logs only grow."""
    noted = read(study_dir)
    if noted and not log.holds(noted.seq, noted.digest) and not _was_corrected(log, noted.digest):
        raise StudyError(
            f"{study_dir.log}: an older copy was put in its place: it lacks event {noted.seq}, which the last tick "
            "has seen, so steps would run twice; 'maestro-es export -o FILE' it, move it away, and 'maestro-es "
            f"recover {study_dir.root} --from FILE' finds out what has happened since"
        )


def shown(study_dir: StudyDir, head: Head) -> Note | None:
    """Return the note if ``status.csv`` is there, not emptied by a power cut, and shows the log to its last event."""
    noted = read(study_dir)
    return noted if noted and noted.seq == head.seq and not is_empty(study_dir.status_csv) else None


def _was_corrected(log: StudyLog, digest: bytes) -> bool:
    """Whether the log has the event, and its digest is another one since events were corrected."""
    from maestro_es.store.corrections import find_before  # noqa: PLC0415 - such logs are few, and ticks are many

    return find_before(log, digest.hex()) is not None


def read(study_dir: StudyDir) -> Note | None:
    """Return what the last tick has noted; None if that can't be read."""
    try:
        seq, digest, *host = read_file(study_dir.last_tick).decode().split()
        noted = Note(int(seq), bytes.fromhex(digest), *host[:1])
    except (FileNotFoundError, ValueError):
        return None
    return noted if len(noted.digest) == _DIGEST else None
