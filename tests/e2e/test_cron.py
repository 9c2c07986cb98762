"""A study that nothing drives but the crontab's line, in cron's environment."""

from __future__ import annotations

import csv
import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.study.layout import StudyDir
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tools.testbed.processes import running_under, wait_for

SPEC = """
description: {name: chain, description: a chain and a fan-out}
env:
    variables: {WORD: hello}
study:
    - {name: first, description: d, run: {cmd: 'echo $(WORD) > word'}}
    - {name: fan, description: d, run: {cmd: 'cat $(first.workspace)/word; echo $(N) > n', depends: [first]}}
    - {name: last, description: d, run: {cmd: 'cat $(fan.workspace)/*/n | sort -n > all', depends: [fan_*]}}
global.parameters:
    N: {values: [3, 1, 2], label: N.%%}
"""


def _cron(home: Path) -> subprocess.CompletedProcess[str]:
    """Run the crontab's command as cron does: its four variables, its directory, no terminal."""
    user = pwd.getpwuid(os.geteuid())
    return subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -I -m maestro_es tick --all"],
        cwd=user.pw_dir,
        env={
            "HOME": user.pw_dir, "LOGNAME": user.pw_name, "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh",
            "MAESTRO_ES_HOME": str(home),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def study(tmp_path, home):
    """A study that has been launched, whose runners can't ask for ticks."""
    (tmp_path / "chain.yaml").write_text(SPEC)
    done = maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "chain.yaml")
    assert done.returncode == 0, done
    stop_own_ticks(tmp_path / "study")
    wait_for(lambda: not running_under(tmp_path / "study"))  # nor is a tick under way that one has asked for
    return tmp_path / "study"


def _status(study: Path) -> list[str]:
    with (study / "status.csv").open() as table:
        return [row["State"] for row in csv.DictReader(table)]


def _tick_to_the_end(study: Path, home: Path) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        done = _cron(home)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        if set(_status(study)) == {"FINISHED"}:
            return
        time.sleep(0.2)
    pytest.fail(f"not finished: {_status(study)}")


def test_a_study_driven_only_by_cron_finishes_without_a_word(study, home):
    _tick_to_the_end(study, home)
    assert (study / "last" / "all").read_text() == "1\n2\n3\n"
    assert maestro_es("verify", study).returncode == 0


def test_one_broken_study_is_complained_about_once_and_does_not_stop_the_others(tmp_path, study, home):
    maestro_es("run", "-y", "-o", tmp_path / "broken", tmp_path / "chain.yaml")
    wait_for(lambda: not running_under(tmp_path / "broken"))
    (tmp_path / "broken" / "events.db").write_bytes(b"this is no database")
    first, second = _cron(home), _cron(home)
    assert first.returncode == 1
    assert first.stderr.count("\n") == 1
    assert str(tmp_path / "broken" / "events.db") in first.stderr
    assert (second.returncode, second.stderr) == (1, "")
    (home / "studies" / _id_of(home, tmp_path / "broken")).unlink()
    _tick_to_the_end(study, home)


def test_an_entry_of_the_registry_that_can_not_be_read_stops_no_study(study, home):
    (home / "studies" / "loop").symlink_to("loop")
    first, second = _cron(home), _cron(home)
    assert (first.returncode, first.stderr.count("\n")) == (75, 1)
    assert str(home / "studies" / "loop") in first.stderr
    assert (second.returncode, second.stderr) == (75, "")
    maestro_es("studies", "--forget", "loop")
    _tick_to_the_end(study, home)


def test_a_lock_around_a_tick_is_not_held_by_the_steps_that_it_starts(tmp_path, home):
    """As in a crontab that says `flock LOCK maestro-es tick`: else there would be no tick until a long step ends."""
    step = f"{{name: long, description: d, run: {{cmd: 'until [ -e {tmp_path}/go ]; do sleep 0.1; done'}}}}"
    (tmp_path / "long.yaml").write_text(f"description: {{name: long, description: d}}\nstudy:\n    - {step}\n")
    run = [sys.executable, "-m", "maestro_es", "run", "-y", "-o", tmp_path / "long", tmp_path / "long.yaml"]
    subprocess.run(["flock", tmp_path / "lock", *run], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert running_under(tmp_path / "long")
    try:
        assert subprocess.run(["flock", "--nonblock", tmp_path / "lock", "true"], check=False).returncode == 0
    finally:
        (tmp_path / "go").touch()
    wait_for(lambda: not running_under(tmp_path / "long"))


def _id_of(home: Path, root: Path) -> str:
    return next(entry.name for entry in (home / "studies").iterdir() if entry.read_text().strip() == str(root))


def test_a_study_whose_lock_is_held_is_left_alone_silently(study):
    with (study / ".maestro-es" / "tick.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with Session(study) as opened:
            before = opened.log.head
        done = maestro_es("tick", study)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with Session(study) as opened:
            assert opened.log.head == before


def test_a_study_that_ends_with_failures_says_so_once(tmp_path, home):
    (tmp_path / "bad.yaml").write_text(SPEC.replace("echo $(WORD) > word", "exit 3"))
    maestro_es("run", "-y", "-o", tmp_path / "bad", tmp_path / "bad.yaml")
    stop_own_ticks(tmp_path / "bad")
    said = ""
    deadline = time.monotonic() + 150
    while not said and time.monotonic() < deadline:
        time.sleep(0.1)
        said = _cron(home).stderr
    assert said == f"maestro-es: {tmp_path / 'bad'}: the study has ended, and 5 of its steps have failed\n"
    assert _cron(home).stderr == ""


def test_a_chain_of_local_steps_needs_no_cron_to_advance(tmp_path, home):
    steps = [
        f"    - {{name: s{n}, description: d, run: {{cmd: 'true', depends: [{f's{n - 1}' if n else ''}]}}}}"
        for n in range(20)
    ]
    text = "description: {name: long, description: d}\nstudy:\n" + "\n".join(steps).replace(", depends: []", "")
    (tmp_path / "long.yaml").write_text(text)
    assert maestro_es("run", "-y", "-o", tmp_path / "long", tmp_path / "long.yaml").returncode == 0
    deadline = time.monotonic() + 250
    while set(_status(tmp_path / "long")) != {"FINISHED"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert _status(tmp_path / "long") == ["FINISHED"] * 20
    told = maestro_es("history", tmp_path / "long", "--type", "InvocationStarted").stdout
    assert f"maestro-es tick --queue {tmp_path}/long (process " in told
    assert "/.." not in told


def test_a_study_that_lost_the_directory_of_our_own_goes_on(study, home):
    with (study / ".maestro-es" / "tick.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that nobody else is at work in it
        shutil.rmtree(study / ".maestro-es")
    done = _cron(home)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1)
    assert f"maestro-es env {study} --refresh" in done.stderr
    assert maestro_es("env", study, "--refresh").returncode == 0
    _tick_to_the_end(study, home)


def test_a_study_that_is_being_created_is_not_complained_about(study, home):
    half_made = study.with_name("half-made")
    half_made.mkdir()
    (home / "studies" / ("0" * 32)).write_text(f"{half_made}\n")
    with StudyDir(half_made).creation_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _cron(home)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = _cron(home)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{half_made}: not a study directory" in done.stderr


def test_a_runner_of_another_version_is_replaced(study, home):
    runner = study / ".maestro-es" / "runner.sh"
    ours = runner.read_bytes()
    runner.write_text("#!/bin/sh\nexit 1\n")
    _tick_to_the_end(study, home)
    assert runner.read_bytes() == ours


def test_all_studies_are_ticked_also_from_a_directory_that_is_gone(study, tmp_path):
    program = Path(sys.executable).with_name("maestro-es")
    gone = f"mkdir gone && cd gone && rmdir ../gone && exec {program} tick --all"
    done = subprocess.run(
        ["/bin/sh", "-c", gone], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _status(study)[0] in {"RUNNING", "FINISHED"}
