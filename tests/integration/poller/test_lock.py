"""The lock of a study: where a file system has none, nobody goes on as if there were one."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from maestro_es.poller.lock import hold
from tests.fakes.faults import with_fault
from tests.fakes.studies import Bench, Step

HOLD = """
import sys; from pathlib import Path
from maestro_es.errors import StudyError
from maestro_es.poller.lock import hold
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


def test_a_lock_that_is_held_is_left_to_its_holder(tmp_path: Path):
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with hold(tmp_path / "lock") as ours:
            assert not ours
