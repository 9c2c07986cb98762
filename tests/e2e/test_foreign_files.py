"""Files that another user or program has made: none is changed, none runs anything, none keeps anybody waiting."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es.store.log_file import LOG_NAME
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.fakes.faults import leave_out, traced
from tools.testbed.processes import end_all_under, running_under, wait_for

SPEC = """
description: {name: pair, description: d}
study:
    - {name: a, description: d, run: {cmd: 'true'}}
    - {name: b, description: d, run: {cmd: 'echo done > done', depends: [a]}}
"""


def endless(name: str, what: str) -> str:
    """Return a view that has no last row."""
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    return f"CREATE VIEW {name} AS {rows} SELECT {what} FROM n"  # noqa: S608 - this is one, and meant to be


COLUMNS = (
    "i AS seq, 1 AS recorded_at, 1 AS invocation, NULL AS step, 'x' AS type, 1 AS version, '' AS data, '' AS digest"
)

HOSTILE = {
    "event": endless("event", COLUMNS),
    "step": endless("step", "i AS number"),
    "projection": endless("projection", "max(i) AS applied_seq"),
    "template": "CREATE TABLE template (name TEXT, data TEXT AS (hex(zeroblob(400000000))), unfinished INTEGER)",
    "v_attempt": endless("v_attempt", "count(*)"),
    "a trigger": "CREATE TRIGGER other AFTER INSERT ON event BEGIN DELETE FROM step; END",
}

COMMANDS = (
    ("status", "{}"), ("history", "{}"), ("show", "{}", "a"), ("why", "{}", "a"), ("blame", "{}", "a"),
    ("verify", "{}"),
    ("diff", "{}", "1"), ("tick", "{}"), ("tick", "--dry", "{}"), ("hold", "{}", "b"), ("export", "{}"),
    ("status", "--at", "2", "{}"), ("rebuild", "{}"), ("cancel", "-y", "{}"),
    ("query", "{}", "SELECT * FROM v_attempt"),
)  # fmt: skip


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A study that has been launched, whose runners can't ask for ticks."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    (tmp_path / "pair.yaml").write_text(SPEC)
    assert maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "pair.yaml").returncode == 0
    stop_own_ticks(tmp_path / "study")
    wait_for(lambda: not running_under(tmp_path / "study"))
    yield tmp_path / "study"
    end_all_under(tmp_path)


def give_away(*paths: Path) -> None:
    """Let another user own what is there."""
    if os.geteuid() != 0:
        leave_out("nothing can be given to another user")
    for path in paths:
        os.chown(path, 12345, 12345, follow_symlinks=False)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_log_whose_tables_are_not_ours_is_refused_before_it_is_asked_anything(study: Path, what: str):
    log = sqlite3.connect(study / LOG_NAME)
    if what != "a trigger":
        kind = "VIEW" if what.startswith("v_") else "TABLE"
        log.execute(f"DROP {kind} {what}")
    log.execute(HOSTILE[what])
    log.commit()
    log.close()
    before = (study / LOG_NAME).read_bytes()
    for words in COMMANDS:
        done = maestro_es(*(word.format(study) for word in words))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), (words, done)
        assert "these are not the tables of an event log: another program has created the" in done.stderr
    assert (study / LOG_NAME).read_bytes() == before


def test_a_view_that_claims_to_be_of_a_later_version_is_not_read(study: Path):
    """A later version may have changed it, so it does not shut anybody out; it has no last row."""
    log = sqlite3.connect(study / LOG_NAME)
    log.execute("DROP VIEW v_attempt")
    log.execute(endless("v_attempt /* maestro-es views 999 */", "count(*)"))
    log.commit()
    log.close()
    for words in COMMANDS:
        if words[0] not in ("hold", "cancel", "query"):  # the steps may have ended
            done = maestro_es(*(word.format(study) for word in words))  # its time is limited
            assert (done.returncode, done.stderr) == (0, ""), (words, done)
    done = maestro_es("query", study, "SELECT * FROM v_attempt")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the view 'v_attempt' of this log is not one of this version of maestro-es" in done.stderr
    assert maestro_es("query", study, "SELECT count(*) > 9 AS n FROM event", "--csv").stdout == "n\n1\n"


def test_a_file_of_another_program_in_a_parent_directory_stays_as_it_is(tmp_path: Path):
    """SQLite would turn it from WAL to a rollback journal, and fold its WAL into it."""
    other = sqlite3.connect(tmp_path / LOG_NAME, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY)")
    (tmp_path / "work").mkdir()
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))
    copy = tmp_path.with_name(f"{tmp_path.name}-copy")
    other.close()
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    assert set(before) > {LOG_NAME}
    for words in (("status",), ("history",), ("tick",), ("verify",), ("hold", "a")):
        done = maestro_es(*words, cwd=copy / "work")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
        assert "an SQLite file, but not an event log of maestro-es" in done.stderr
    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()} == before


def _pipe(root: Path) -> None:
    os.mkfifo(root / LOG_NAME)


def _endless(root: Path) -> None:
    log = sqlite3.connect(root / LOG_NAME)
    log.execute(f"PRAGMA application_id = {0x6D657331}")
    log.execute(HOSTILE["event"])
    log.close()


def _closed(root: Path) -> None:
    (root / LOG_NAME).write_bytes(b"x" * 5000)
    root.chmod(0o700)


@pytest.mark.parametrize("fill", [_pipe, _endless, _closed])
def test_a_directory_that_was_purged_and_made_again_by_another_user_stops_no_other_study(
    study: Path, tmp_path: Path, fill: Callable[[Path], None]
):
    assert maestro_es("run", "-y", "-o", tmp_path / "purged", tmp_path / "pair.yaml").returncode == 0
    stop_own_ticks(tmp_path / "purged")
    wait_for(lambda: not running_under(tmp_path / "purged"))
    shutil.rmtree(tmp_path / "purged")
    (tmp_path / "purged").mkdir()
    fill(tmp_path / "purged")
    give_away(tmp_path / "purged", tmp_path / "purged" / LOG_NAME)

    first = maestro_es("tick", "--all")
    assert (first.returncode, first.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path / 'purged'}: belongs to another user (uid 12345)" in first.stderr
    assert "studies --forget" in first.stderr

    def goes_on() -> bool:
        assert maestro_es("tick", "--all").stderr == ""
        return (study / "b/done").exists()

    wait_for(goes_on)


def test_a_tick_does_not_open_what_another_user_owns(study: Path, tmp_path: Path):
    give_away(study)
    with pytest.raises(subprocess.CalledProcessError):
        traced(study / LOG_NAME, "openat", tmp_path / "trace", "-m", "maestro_es", "tick", "--all")
    assert (tmp_path / "trace").read_text() == ""


def _interrupted(study: Path) -> None:
    """Leave a log as a writer leaves it that is killed in the midst of a commit."""
    log = sqlite3.connect(study / LOG_NAME, isolation_level=None)
    log.execute("PRAGMA cache_size = 1")
    log.execute("BEGIN")
    log.execute("CREATE TABLE filler (text)")
    log.execute("INSERT INTO filler SELECT hex(zeroblob(5000)) FROM step, step, step, step")
    for name in (LOG_NAME, f"{LOG_NAME}-journal"):
        shutil.copy(study / name, study / f"copy-of-{name}")
    log.execute("ROLLBACK")
    log.close()
    for name in (LOG_NAME, f"{LOG_NAME}-journal"):
        (study / f"copy-of-{name}").replace(study / name)


@pytest.mark.parametrize("command", ["status", "history", "verify", "tick"])
def test_a_journal_that_only_the_owner_can_roll_back_is_explained(study: Path, command: str):
    _interrupted(study)
    journal = (study / f"{LOG_NAME}-journal").read_bytes()
    assert len(journal) > 512
    give_away(study, study / LOG_NAME)
    done = maestro_es(command, study)
    if command == "tick":
        assert "belongs to another user (uid 12345)" in done.stderr
    else:
        assert "a write to it was interrupted and must be undone before it can be read" in done.stderr
        assert "only its owner (uid 12345) can do that" in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (1 if command == "tick" else 75, 1)
    assert (study / f"{LOG_NAME}-journal").read_bytes() == journal

    for path in (study, study / LOG_NAME):
        os.chown(path, 0, 0)
    assert maestro_es(command, study).returncode == 0


@pytest.mark.parametrize("name", [f"{LOG_NAME}-journal", f"{LOG_NAME}-wal"])
def test_a_pipe_in_the_place_of_a_journal_keeps_nobody_waiting(study: Path, name: str):
    (study / name).unlink(missing_ok=True)
    os.mkfifo(study / name)
    give_away(study, study / name)
    done = maestro_es("status", study)
    assert (done.returncode, done.stderr) == (
        1,
        f"maestro-es: {study / name}: not a file, and SQLite would wait for it; remove it\n",
    )


def test_pipes_in_the_place_of_all_other_files_keep_nobody_waiting(study: Path):
    """As an archive may hold them that a person has unpacked."""
    for path in [path for path in study.rglob("*") if path.is_file() and path.name not in {LOG_NAME, "pair.yaml"}]:
        path.unlink()
        os.mkfifo(path)
    (study / f"{LOG_NAME}-journal").unlink(missing_ok=True)
    for name in (".cancel.lock", ".study.update.lock"):
        os.mkfifo(study / name)
    for words in (*COMMANDS, ("env", "{}"), ("status",), ("studies",), ("tick", "--all")):
        done = maestro_es(*(word.format(study) for word in words), cwd=study)  # its time is limited
        assert "Traceback" not in done.stderr, words


def test_the_studies_of_another_user_are_read_and_not_written(study: Path):
    give_away(study, study / LOG_NAME)
    before = (study / LOG_NAME).read_bytes()
    assert maestro_es("status", study).returncode == 0
    assert maestro_es("verify", study).returncode == 0
    done = maestro_es("hold", study, "b")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "belongs to another user (uid 12345)" in done.stderr
    assert (study / LOG_NAME).read_bytes() == before
    assert {path.name for path in study.iterdir()} >= {LOG_NAME}


def test_others_see_nothing_of_the_list_of_studies(study: Path, tmp_path: Path):
    for folder in (tmp_path / "home", tmp_path / "home/studies"):
        assert folder.stat().st_mode & 0o777 == 0o700
    done = subprocess.run(
        [sys.executable, "-m", "maestro_es", "tick", "--all"],
        env={**os.environ, "MAESTRO_ES_BY_CRON": "1"},
        umask=0,
        check=True,
    )
    assert done.returncode == 0
    assert (tmp_path / "home/crontabs").stat().st_mode & 0o777 == 0o700
