"""A file that is no whole log gives one clear error, and is left as it was found."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.errors import DamagedLog, LogUnavailable, MaestroError, NewerLog, NotAStudy
from maestro_es.store.migrations import APPLICATION_ID, SCHEMA_VERSION
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from tests.fakes.faults import leave_out
from tools.testbed.logs import IDENTITY, create, meddle, reopen, same, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "events.db").close()
    return tmp_path / "events.db"


def refused(path: Path, kind: type[MaestroError], words: str) -> None:
    """Check that opening a file gives one error of one line, and changes not a byte of it."""
    before = path.read_bytes()
    with pytest.raises(kind, match=words) as caught:
        reopen(path)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


# -- files that are no log -------------------------------------------------------------------------------------------


def test_an_empty_file_was_cut_off(path: Path):
    os.truncate(path, 0)

    refused(path, DamagedLog, "the event log is empty: it was truncated or never written; restore it from a copy")


@pytest.mark.parametrize("text", ["x", "description: demo\n", "SQLite format 3\0"])
def test_a_file_too_short_for_a_log_was_cut_off(path: Path, text: str):
    path.write_text(text)

    refused(path, DamagedLog, "the event log is empty: it was truncated or never written; restore it from a copy")


@pytest.mark.parametrize(
    "text", ["description: demo\n" * 99, "SQLite format 3\0" + "x" * 5000], ids=["yaml", "header"]
)
def test_a_file_of_text_is_no_log(path: Path, text: str):
    path.write_text(text)

    refused(path, DamagedLog, "not readable as an event log .*; restore it from a copy")


def test_a_database_of_somebody_else_is_no_log(path: Path):
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY)")
    other.close()

    refused(path, NotAStudy, "an SQLite file, but not an event log of maestro-es")


def test_a_log_of_a_later_version_names_that_version(path: Path):
    meddle(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    refused(path, NewerLog, "written by maestro-es 1.0; install that version or a later one to read it")


def test_an_event_of_a_later_version_is_not_folded(path: Path):
    meddle(path, "UPDATE event SET version = 2 WHERE seq = 10", "UPDATE projection SET reducer_version = 0")
    before = path.read_bytes()

    with pytest.raises(NewerLog, match=r"event 10 is a .* of version 2, which this version of maestro-es can't read"):
        reopen(path)
    assert path.read_bytes() == before


def test_a_type_of_a_later_version_is_not_folded(path: Path):
    meddle(path, "UPDATE event SET type = 'StepDreamt' WHERE seq = 10", "DELETE FROM projection")
    before = path.read_bytes()

    with pytest.raises(NewerLog, match="event 10 is a StepDreamt of version 1"):
        reopen(path)
    assert path.read_bytes() == before


def test_a_log_that_can_not_be_folded_says_where(path: Path):
    meddle(path, "UPDATE event SET type = 'StudyPaused', data = '{}' WHERE seq = 4", "DELETE FROM projection")
    before = path.read_bytes()

    with pytest.raises(MaestroError, match=r"event 6: step 'sim_SIZE[.]10' is not new, or its number"):
        reopen(path)
    assert path.read_bytes() == before


def test_a_log_without_its_tables_is_damaged(path: Path):
    meddle(path, "DROP TABLE event")

    refused(path, DamagedLog, "no such table: event")


@pytest.mark.parametrize("part", range(3))
def test_a_file_that_was_cut_off_anywhere_is_found_out(path: Path, part: int):
    whole = path.read_bytes()
    pages = range(0, len(whole), 4096)
    lengths = {*pages, *range(1, 130, 7), *(page + 1000 for page in pages), len(whole) - 1, len(whole) - 4095} - {0}
    for length in sorted(lengths)[part::3]:
        path.write_bytes(whole[:length])
        with pytest.raises(MaestroError), reopen(path) as log:
            verify(log)
        assert path.read_bytes() == whole[:length]


def test_a_file_with_a_page_of_zeros_is_found_out(path: Path):
    whole = path.read_bytes()
    for page in range(4096, len(whole), 4096):
        path.write_bytes(whole[:page] + bytes(4096) + whole[page + 4096 :])
        with pytest.raises(MaestroError), reopen(path) as log:
            verify(log)


# -- a file system that does not take it -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "mode=755,size=256k", "maestro-es-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        leave_out("no full file system, because none can be mounted")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    """Fill a file system but for so many bytes; returns what fills it."""
    ballast = place / "ballast"
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    ballast.write_bytes(bytes(max(free - leave, 0)))
    return ballast


@pytest.mark.parametrize("leave", [0, 4096, 20_480, 40_960])
def test_a_full_disk_takes_the_whole_append_or_nothing(small_disk: Path, leave: int):
    log = written(small_disk / "events.db")
    head = log.head
    before = (small_disk / "events.db").read_bytes()
    ballast = fill(small_disk, leave)

    with pytest.raises(LogUnavailable, match="nothing was written: database or disk is full; make room and try again"):
        log.append([(None, e.StudyPaused(reason="x" * 500)) for _ in range(300)])

    assert log.head == head
    assert not log.graph.study.paused
    assert same(log)
    assert (small_disk / "events.db").read_bytes() == before
    ballast.unlink()
    log.append([(None, e.StudyPaused())])
    assert verify(log).events == head.seq + 1
    log.close()
    with reopen(small_disk / "events.db") as again:
        assert again.head.seq == head.seq + 1


def test_a_log_that_does_not_fit_on_the_disk_is_not_made(small_disk: Path):
    fill(small_disk, 8192)

    with pytest.raises(LogUnavailable, match="database or disk is full; make room"):
        create(small_disk / "events.db")


def read_only(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def test_a_log_that_can_not_be_written_can_be_read(small_disk: Path):
    path = small_disk / "events.db"
    written(path).close()
    read_only(small_disk, "ro")
    try:
        with reopen(path) as log:
            assert same(log)
            assert verify(log).events == log.head.seq
            head = log.head
            with pytest.raises(LogUnavailable, match="check who owns the file and its directory"):
                log.append([(None, e.StudyPaused())])
            assert log.head == head
            assert same(log)
            with pytest.raises(LogUnavailable, match="check who owns the file and its directory"):
                log.rebuild()
            assert same(log)
    finally:
        read_only(small_disk, "rw")


def test_a_directory_that_can_not_be_written_takes_no_log(small_disk: Path):
    read_only(small_disk, "ro")
    try:
        with pytest.raises(OSError, match="Read-only file system"):
            create(small_disk / "events.db")
    finally:
        read_only(small_disk, "rw")


# -- journals that were left behind ----------------------------------------------------------------------------------


def test_a_journal_of_a_writer_that_died_is_rolled_back(path: Path, tmp_path: Path):
    """The file and its journal as a power cut in the midst of a commit leaves them."""
    before = path.read_bytes()
    died = tmp_path / "died.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = TRUNCATE")
    writer.execute("PRAGMA cache_size = 1")  # so that pages go to the file before the commit
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE step SET message = 'half done' || hex(randomblob(3000))")
    died.write_bytes(path.read_bytes())
    journal = path.with_name("events.db-journal").read_bytes()
    died.with_name("died.db-journal").write_bytes(journal)
    writer.rollback()
    writer.close()
    assert len(journal) > 512
    assert died.read_bytes() != before

    with reopen(died) as log:
        assert same(log)
        assert verify(log).events == log.head.seq
    assert died.read_bytes() == before


def test_the_file_tells_what_it_is(path: Path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert APPLICATION_ID.to_bytes(4, "big") == b"mes1"
    connection.close()


def test_a_failed_open_leaves_no_file_open(path: Path):
    meddle(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    open_before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(NewerLog):
            StudyLog.open(path, lambda: 0, IDENTITY)

    assert len(os.listdir("/proc/self/fd")) == open_before
