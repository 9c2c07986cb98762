"""A ticket for the file system that has expired under cron: nothing is concluded, and a tick says so."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.drivers.cron_tick import TRY_AGAIN
from maestro_es.study.layout import StudyDir
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.fakes.faults import with_fault
from tools.testbed.processes import end_all_under, wait_for

SPEC = """
description: {name: chain, description: a chain}
study:
    - {name: first, description: d, run: {cmd: 'until [ -e $(SPECROOT)/go ]; do sleep 0.02; done'}}
    - {name: last, description: d, run: {cmd: 'true', depends: [first]}}
"""

TICK = ("-m", "maestro_es", "tick")
ERRORS = ("EACCES", "EKEYEXPIRED")
PLACES = (".", "events.db", ".maestro-es", ".maestro-es/tick.lock", ".maestro-es/inbox")
HINT = "ticket"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield tmp_path / "home" / "studies"
    end_all_under(tmp_path)


@pytest.fixture
def study(tmp_path, home):
    """A study whose first step has ended and reported, which no tick has seen yet."""
    (tmp_path / "chain.yaml").write_text(SPEC)
    assert maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "chain.yaml").returncode == 0
    stop_own_ticks(tmp_path / "study")
    (tmp_path / "go").touch()
    wait_for(lambda: list((tmp_path / "study/.maestro-es/inbox").glob("*.exit.0")))
    return tmp_path / "study"


def everything(study: Path) -> list[Path]:
    """All paths of a study that a tick touches, and the directory that it is in."""
    return [study, *study.rglob("*"), study / "events.db-journal", study / "last", study / "last/last.sh"]


def check(study: Path) -> None:
    """Check that the study goes on to its end as if nothing had been."""
    with Session(study) as opened:
        assert opened.status is StudyStatus.RUNNING
        assert opened.graph.study.states.get(State.FAILED.name, 0) == 0

    def ended() -> bool:
        assert maestro_es("tick", study).returncode in (0, TRY_AGAIN)
        with Session(study) as opened:
            return opened.status is not StudyStatus.RUNNING

    wait_for(ended)
    with Session(study) as opened:
        assert opened.status is StudyStatus.FINISHED
        assert [r.event for r in opened.log.events() if isinstance(r.event, (e.StepFailed, e.HardwareFailed))] == []


def test_a_tick_that_is_not_let_in_ends_with_75_and_one_line_and_has_written_nothing(study):
    with Session(study) as opened:
        before = opened.log.head
    for place, error in itertools.product(PLACES, ERRORS):
        done = with_fault([study / place], "%file,read,pread64,getdents64,flock", error, *TICK, study)
        assert (done.returncode, done.stdout) == (TRY_AGAIN, ""), place
        [line] = done.stderr.splitlines()
        assert line.startswith(f"maestro-es: {study}")
        assert HINT in line
    with Session(study) as opened:
        assert opened.log.head == before
    check(study)


@pytest.mark.parametrize("option", ["--queue", "--dry"])
def test_every_kind_of_tick_says_the_same_of_a_place_that_does_not_let_it_in(study, option):
    done = with_fault([study / "events.db"], "%file", "EACCES", *TICK, option, study)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (TRY_AGAIN, "", 1)
    assert HINT in done.stderr
    check(study)


def test_a_ticket_may_expire_at_any_moment_of_a_tick(study):
    codes = []
    for call in (3, 9, 20, 33, 47, 70):
        done = with_fault(everything(study), "%file,pread64,getdents64", "EKEYEXPIRED", *TICK, study, when=f"{call}+")
        assert done.returncode in (0, TRY_AGAIN), done.stderr
        assert len(done.stderr.splitlines()) == (done.returncode != 0), done.stderr
        codes.append(done.returncode)
    assert codes[0] == codes[1] == TRY_AGAIN
    check(study)


@pytest.mark.parametrize("error", ERRORS)
def test_studies_that_can_not_be_listed_are_not_taken_for_none(study, home, error):
    done = with_fault([home], "%file,getdents64", error, *TICK, "--all")
    [line] = done.stderr.splitlines()
    assert (done.returncode, HINT in line, str(home) in line) == (TRY_AGAIN, True, True)


def test_a_complaint_that_can_not_be_kept_stops_no_other_study(study, home):
    (broken,) = home.iterdir()
    other = broken.with_name("0" * 32)
    other.write_text(f"{study.with_name('gone')}\n")
    (home / f".{other.name}.complaint").mkdir()  # so that nothing can be written there
    done = maestro_es("tick", "--all")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    with Session(study) as opened:
        assert opened.graph.step(1).state is State.FINISHED


@pytest.mark.parametrize("error", ERRORS)
def test_a_workspace_that_does_not_let_us_in_does_not_fail_its_step(study, error):
    done = with_fault([study / "last", study / "last/last.sh"], "%file", error, *TICK, study)
    assert (done.returncode, done.stderr.count("\n")) == (TRY_AGAIN, 1)
    assert "last: it is not yet known whether it was submitted" in done.stderr
    with Session(study) as opened:
        assert opened.graph.step(2).state is State.PENDING
    assert StudyDir(study).path("last").exists() is False
    check(study)


@pytest.mark.parametrize("error", [*ERRORS, "EIO"])
def test_a_copy_of_a_study_that_can_not_be_read_now_is_ticked_later(study, error):
    copy = study.with_name("copy")
    shutil.copytree(study, copy, symlinks=True)
    calls = "pread64,read" if error == "EIO" else "%file"
    for words in ((copy,), ("--dry", copy)):
        done = with_fault([study / "events.db"], calls, error, *TICK, *words)
        assert (done.returncode, done.stdout) == (TRY_AGAIN, ""), done
        [line] = done.stderr.splitlines()
        assert "it is unknown whether this study is a copy of it" in line
    with Session(copy) as opened:
        assert opened.graph.step(1).state is not State.FINISHED
    check(study)


def test_a_study_that_can_not_be_read_now_is_not_thrown_away(study):
    again = ("-m", "maestro_es", "run", "-y", "-o", study, study.with_name("chain.yaml"))
    done = with_fault([study / "events.db"], "pread64,read", "EIO", *again)
    assert (done.returncode, done.stdout, "disk I/O error" in done.stderr) == (TRY_AGAIN, "", True), done
    with contextlib.closing(sqlite3.connect(study / "events.db")) as log:
        known = log.execute("PRAGMA user_version").fetchone()[0]
        log.execute("PRAGMA user_version = 999")
        done = maestro_es(*again[2:])
        assert (done.returncode, "and only that build can read it" in done.stderr) == (1, True), done
        log.execute(f"PRAGMA user_version = {known}")
    check(study)
