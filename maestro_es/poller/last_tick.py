"""Up to where the last tick has seen the log, in ``.maestro-es/last-tick``; when that was is the file's time.

A log that lacks that event is an older copy, put back by a person, or by a file system that has lost what it said it
had written. What was run since is not in it, and would be run again.
"""

from __future__ import annotations

import contextlib
import os

from maestro_es.core.model import Micros
from maestro_es.errors import StudyError
from maestro_es.poller.study_dir import StudyDir
from maestro_es.store.event_log import Head
from maestro_es.store.study_log import StudyLog


def note(study: StudyDir, head: Head, at: Micros) -> None:
    """Note the time of a tick, and the last event of the log if there is room.

    It is written over the one before, so that no reader finds the file empty.
    """
    with contextlib.suppress(OSError):
        handle = os.open(study.last_tick, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(handle, f"{head.seq:20} {head.digest.hex()}\n".encode(), 0)
        finally:
            os.close(handle)
    study.note_tick(at)


def check(study: StudyDir, log: StudyLog) -> None:
    """Refuse a log that lacks the event that the last tick has noted: that is read first, as logs only grow."""
    try:
        seq, digest = study.last_tick.read_bytes().split()
        noted = int(seq), bytes.fromhex(digest.decode())
    except (FileNotFoundError, ValueError):
        return
    if not log.holds(*noted):
        raise StudyError(
            f"{study.log}: an older copy was put in its place: it lacks event {noted[0]}, which the last tick has "
            "seen, and steps would run twice; 'maestro-es export -o FILE' it, move it away, and 'maestro-es recover "
            f"{study.root} --from FILE' finds out what has happened since"
        )
