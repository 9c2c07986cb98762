"""Up to where the last tick has seen the log, and shown it, in ``.maestro-es/last-tick``; the file's time is its own.

A tick that died before it had written ``status.csv`` has noted nothing, so the next one writes it.

A log that lacks that event is an older copy, put back by a person, or by a file system that has lost what it said it
had written. What was run since is not in it, and would be run again.
"""

from __future__ import annotations

import contextlib
import os

from maestro_es.errors import StudyError
from maestro_es.poller.durable import is_empty
from maestro_es.poller.study_dir import StudyDir
from maestro_es.store.event_log import Head
from maestro_es.store.study_log import StudyLog


def note(study: StudyDir, head: Head) -> None:
    """Note the last event of the log, which ``status.csv`` shows now, if there is room.

    It is written over the one before, so that no reader finds the file empty.
    """
    with contextlib.suppress(OSError):
        handle = os.open(study.last_tick, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(handle, f"{head.seq:20} {head.digest.hex()}\n".encode(), 0)
        finally:
            os.close(handle)


def check(study: StudyDir, log: StudyLog) -> None:
    """Refuse a log that lacks the event that the last tick has noted: that is read first, as logs only grow."""
    noted = _noted(study)
    if noted and not log.holds(*noted):
        raise StudyError(
            f"{study.log}: an older copy was put in its place: it lacks event {noted[0]}, which the last tick has "
            "seen, and steps would run twice; 'maestro-es export -o FILE' it, move it away, and 'maestro-es recover "
            f"{study.root} --from FILE' finds out what has happened since"
        )


def has_shown(study: StudyDir, head: Head) -> bool:
    """Whether ``status.csv`` is there, not emptied by a power cut, and shows the log up to its last event."""
    noted = _noted(study)
    return noted is not None and noted[0] == head.seq and not is_empty(study.status_csv)


def _noted(study: StudyDir) -> tuple[int, bytes] | None:
    try:
        seq, digest = study.last_tick.read_bytes().split()
        return int(seq), bytes.fromhex(digest.decode())
    except (FileNotFoundError, ValueError):
        return None
