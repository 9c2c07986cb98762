"""The lock of a study: where a file system has none, nobody goes on as if there were one."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.study.locks import hold
from tests.fakes.faults import with_fault
from tools.testbed.studies import Bench, Step

HOLD = """
import sys; from pathlib import Path
from maestro_es.errors import StudyError
from maestro_es.study.locks import hold
try:
    with hold(Path(sys.argv[1])) as ours:
        print(ours)
except (StudyError, OSError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("error", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_a_file_system_without_locks_gives_none_and_no_soft_one_instead(tmp_path: Path, error: str):
    path = tmp_path / "tick.lock"
    done = with_fault([path], "flock", error, "-c", HOLD, path)
    assert done.stdout.startswith(f"StudyError {path}: can't be locked (")
    assert done.stdout.endswith("is the file system mounted without locks?\n")
    with hold(path) as ours:  # nothing was left behind that would keep anybody out
        assert ours


def test_a_tick_on_a_file_system_without_locks_does_nothing_and_says_why_in_one_line(bench: Bench):
    bench.create(Step("a", bench.sign))
    with bench.open() as study:
        before = study.log.head
    done = with_fault([bench.dir.tick_lock], "flock", "ENOSYS", "-m", "maestro_es", "tick", bench.root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "is the file system mounted without locks?" in done.stderr
    with bench.open() as study:
        assert study.log.head == before
    assert bench.signed() == []


def test_a_log_that_can_not_be_locked_is_neither_read_nor_written(bench: Bench):
    """Lustre that is mounted without flock refuses SQLite's locks, too."""
    bench.create(Step("a", bench.sign))
    with bench.open() as study:
        before = study.log.head
    done = with_fault([bench.dir.log], "fcntl", "ENOSYS", "-m", "maestro_es", "tick", bench.root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1)
    assert "mounted with locks" in done.stderr
    with bench.open() as study:
        assert study.log.head == before


IMPATIENT = """
import sys
from maestro_es.cli.main import main
from maestro_es.store import log_file
log_file._BUSY_SECONDS = 0.1
sys.argv[1:] = ["tick", sys.argv[1]]
main()
"""


def test_a_lock_service_that_does_not_run_is_not_taken_for_another_process(bench: Bench):
    bench.create(Step("a", bench.sign))
    bench.finish()
    log = bench.dir.log
    done = with_fault([log, log.with_name(f"{log.name}-journal")], "fcntl", "ENOLCK", "-c", IMPATIENT, bench.root)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == (
        f"maestro-es: {log}: nothing was written: the file system provides no locks; "
        "check that its lock service is running, and try again\n"
    )
    with contextlib.closing(sqlite3.connect(log)) as other:
        other.execute("BEGIN EXCLUSIVE")
        words = [sys.executable, "-c", IMPATIENT, str(bench.root)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (75, "")
    assert "another process has held it" in done.stderr


def test_a_lock_that_is_held_is_left_to_its_holder(tmp_path: Path):
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with hold(tmp_path / "lock") as ours:
            assert not ours
