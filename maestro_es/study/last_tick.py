"""Reads and writes ``.maestro-es/last-tick``: the host and driver of a tick, and the last event that it has seen.

The modification time of the file is the time of the tick.

The note also says whether ``status.csv`` shows this event. A tick writes the note after ``status.csv``. So if a tick
is killed before that, the next tick writes ``status.csv``.

A log without the event in the note is an older copy. A user has put it there, or the file system has lost data that it
had reported as written. Such a log lacks later attempts, so steps would run twice. `check` refuses such a log.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from maestro_es.core.model import Micros, StudyRecord, StudyStatus
from maestro_es.errors import StudyError
from maestro_es.files import is_empty
from maestro_es.files import read as read_file
from maestro_es.store.event_log import Head
from maestro_es.store.study_log import StudyLog
from maestro_es.study.layout import StudyDir
from maestro_es.study.sharing import group_reads


class Note(NamedTuple):
    """The note of a tick: the last event that it has seen, its host, the name of its `Driver`, and the job around it.

    `shown` says whether ``status.csv`` shows the event. If there is no job around the tick, `job` is empty. `cpus` is
    a mask of the cores that the tick may use (0: unknown).
    """

    seq: int
    digest: bytes
    shown: bool
    host: str
    driver: str
    job: str = ""
    cpus: int = 0


#: The number of bytes of a digest: SHA-256.
_DIGEST = 32
#: A ``status.csv`` of more than `_LARGE` bytes is written again only after a pause. Its length in seconds is the size
#: of the file divided by `_BYTES_A_SECOND`. Writing a megabyte takes half a millisecond.
_LARGE, _BYTES_A_SECOND = 5_000_000, 10_000_000
#: Stands for no job.
_NO_JOB = "-"
#: The words for whether ``status.csv`` shows the last event.
_SHOWN, _LATE = "shown", "late"


def note(study_dir: StudyDir, noted: Note) -> None:
    """Write the note. A full disk is ignored.

    The note overwrites the previous one in place, so that no reader finds the file empty. If the previous note was
    longer, its end stays behind the new line, and is not read.
    """
    with contextlib.suppress(OSError):
        handle = os.open(study_dir.last_tick, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600)
        try:
            if group_reads(study_dir):
                os.fchmod(handle, 0o640)
            seq, digest, shown, host, driver, job, cpus = noted
            who = f"{host} {driver} {job or _NO_JOB} {cpus:x}"
            text = f"{seq} {digest.hex()} {_SHOWN if shown else _LATE} {who}\n"
            os.pwrite(handle, text.encode(), 0)
        finally:
            os.close(handle)


def check(study_dir: StudyDir, log: StudyLog) -> None:
    """Refuse a log without the event in the note. The note is read before the log, because logs only grow."""
    noted = read(study_dir)
    if noted and not log.holds(noted.seq, noted.digest) and not _was_corrected(log, noted.digest):
        raise StudyError(
            f"{study_dir.log}: an older copy was put in its place: it lacks event {noted.seq}, which the last tick "
            "has seen, so steps would run twice; save the copy with 'maestro-es export -o FILE' and move it away; "
            f"then 'maestro-es recover {study_dir.root} --from FILE' finds out what has happened since"
        )


def is_shown(study_dir: StudyDir, noted: Note | None, head: Head) -> bool:
    """Whether ``status.csv`` shows the log up to its last event. A power cut may have emptied the file."""
    return noted is not None and noted.shown and noted.seq == head.seq and not is_empty(study_dir.status_csv)


def puts_off(study_dir: StudyDir, study_record: StudyRecord, now: Micros) -> bool:
    """Return whether a tick leaves ``status.csv`` to a later tick, although the file is older than the log.

    Of the ticks of a cascade, only the last one writes the file. If ticks follow each other closely, a large file is
    written so seldom that writing takes less than 1 % of the time. The file of a study that has ended is always
    written.
    """
    if study_record.cascading:
        return True
    if study_record.status is not StudyStatus.RUNNING:
        return False
    try:
        info = os.stat(study_dir.status_csv)
    except OSError:
        return False
    age = now - info.st_mtime_ns // 1000
    return info.st_size > _LARGE and 0 <= age < info.st_size * 1_000_000 // _BYTES_A_SECOND


def _was_corrected(log: StudyLog, digest: bytes) -> bool:
    """Return whether the log has the event with another digest, because events were corrected."""
    from maestro_es.store.corrections import find_before  # noqa: PLC0415 - such logs are rare, and ticks frequent

    return find_before(log, digest.hex()) is not None


def read(study_dir: StudyDir) -> Note | None:
    """Return the note of the last tick (None: there is no valid note)."""
    try:
        line, _, _ = read_file(study_dir.last_tick).decode().partition("\n")
        seq, digest, shown, host, driver, *more = line.split()
        job, cpus, *_ = *more, *(_NO_JOB, "0")[len(more) :]
        noted = Note(int(seq), bytes.fromhex(digest), shown == _SHOWN, host, driver, job.strip(_NO_JOB), int(cpus, 16))
    except (FileNotFoundError, ValueError):
        return None
    return noted if len(noted.digest) == _DIGEST else None
