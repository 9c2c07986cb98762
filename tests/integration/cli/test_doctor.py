"""``doctor``, ``cron check --all`` and ``status --json`` say whether ticks come, and can do their work."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.study import registry
from maestro_es.study.file_probe import mount_of
from tests.fakes.faults import needs_strace

HOST = os.uname().nodename


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path, monkeypatch):
    """No command that could start ticks is on the PATH."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def known(study):
    """The study, in the list of studies."""
    registry.register("cafe" * 8, study)
    (study / ".maestro-es").mkdir(exist_ok=True)
    return study


def tick_seconds_ago(study: Path, seconds: float) -> None:
    (study / ".maestro-es/last-tick").touch()
    os.utime(study / ".maestro-es/last-tick", (time.time() - seconds,) * 2)


def note_driver(name: str, seconds: float) -> None:
    registry.note_cron(name, "boot", int((time.time() - seconds) * 1e6))


def test_without_studies_all_is_well(run):
    assert "you have no studies; 'maestro-es doctor DIRECTORY' checks a place for studies" in run("doctor").out
    assert (run("doctor").code, run("cron", "check", "--all").out) == (0, "OK: 0 of 0 running studies overdue\n")


def test_a_study_that_nothing_ticks_is_critical_everywhere(run, known):
    ran = run("cron", "check", "--all")
    first, driver, ticks = ran.out.splitlines()
    assert (ran.code, first) == (2, "CRITICAL: 1 of 1 running studies overdue")
    assert driver.split(None, 2)[:2] == ["WARNING", "driver"]
    assert "no crontab, scrontab or timer runs ticks; 'maestro-es cron install'" in driver
    assert ticks.startswith(f"CRITICAL  ticks        {known}: no tick has run yet; 'maestro-es tick {known}'")
    ran = run("doctor")
    assert (ran.code, ticks in ran.out.splitlines()) == (2, True)
    status = run("status", known, "--json")
    assert (status.code, json.loads(status.out)["study"]["overdue"]) == (2, True)
    assert run("status", known).code == 0


def test_an_overdue_study_is_critical_by_any_of_its_paths(run, known, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(known)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    for path in (known, tmp_path / "link", Path("link"), tmp_path / "below/.." / known.relative_to(tmp_path)):
        ran = run("doctor", path)
        assert (ran.code, "no tick has run yet" in ran.out) == (2, True), path


def test_a_study_that_is_ticked_names_what_ticks_it_and_where(run, known, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_BY_CRON", "systemd")
    run("tick", "--all")
    ran = run("cron", "check", "--all")
    assert f"OK        ticks        {known}: systemd on {HOST} ticked it 0 s ago" in ran.out.splitlines()
    assert f"OK        driver       systemd on {HOST}: last tick 0 s ago" in ran.out.splitlines()
    assert run("status", known, "--json").code == 0
    study = json.loads(run("status", known, "--json").out)["study"]
    assert (study["last_tick_host"], study["last_tick_driver"]) == (HOST, "systemd")

    run("tick", known)
    assert f"{known}: person on {HOST} ticked it " in run("doctor", known).out


def test_drivers_of_all_hosts_are_listed_and_a_dead_one_is_a_warning(run, known):
    for name, seconds in (("login1", 30), ("login2", 7200), (".scrontab", 40), (".systemd-login3", 50)):
        note_driver(name, seconds)
    tick_seconds_ago(known, 30)
    ran = run("cron", "check", "--all")
    drivers = [line.split(None, 2) for line in ran.out.splitlines() if " driver " in line]
    assert [(level, text.partition(": last tick")[0]) for level, _, text in drivers[:4]] == [
        ("OK", "scrontab"),
        ("OK", "systemd on login3"),
        ("OK", "crontab on login1"),
        ("WARNING", "crontab on login2"),
    ]
    assert "last tick 2 h ago; run 'maestro-es cron install' there, or delete " in ran.out
    assert ran.code == 1


def test_a_line_that_is_gone_from_this_host_is_noticed(run, known, tmp_path):
    (tmp_path / "bin").mkdir()
    crontab = tmp_path / "bin/crontab"
    crontab.write_text("#!/bin/sh\necho 'no crontab for me' >&2\nexit 1\n")
    crontab.chmod(0o755)
    note_driver(HOST, 30)
    tick_seconds_ago(known, 30)
    ran = run("doctor")
    assert "maestro-es is no longer in your crontab on this host; 'maestro-es cron install'" in ran.out
    assert ran.code == 1


def test_a_study_that_can_not_be_read_is_unknown(run, known):
    (known / "events.db").write_bytes(b"")
    ran = run("cron", "check", "--all")
    assert (ran.code, ran.out.splitlines()[0]) == (3, "UNKNOWN: 0 of 0 running studies overdue, 1 can't be read")
    assert run("doctor", "--json").code == 3


def test_a_process_that_holds_the_lock_is_named(run, known):
    tick_seconds_ago(known, 30)
    with (known / ".maestro-es/tick.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert f"{known}: process {os.getpid()} has held the tick lock for up to " in run("doctor", known).out
    assert f"{known}: the tick lock is free" in run("doctor", known).out


def test_a_last_tick_in_the_future_is_a_warning(run, known):
    tick_seconds_ago(known, -3600)
    ran = run("doctor", known)
    assert ran.code == 1
    assert "is 59 min in the future; let NTP set the clocks of both hosts" in ran.out


def test_a_directory_is_checked_as_a_place_for_studies(run, tmp_path):
    ran = run("doctor", tmp_path, "--json")
    results = [json.loads(line) for line in ran.out.splitlines()]
    assert [(one["area"], one["level"]) for one in results] == [("files", "OK"), ("clock", "OK")]
    assert ran.code == 0
    assert [path.name for path in tmp_path.iterdir() if "probe" in path.name] == []
    ran = run("doctor", tmp_path / "nothing")
    assert (ran.code, ran.out.startswith("CRITICAL  files")) == (2, True)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("symlink:retval=0", "processes have created 25 symbolic links, so a step might start twice"),
        ("flock:retval=0", "locks (flock) do not exclude other processes"),
        ("flock:error=ENOLCK", "locks (flock) fail with ENOLCK"),
    ],
)
def test_a_file_system_without_the_guarantees_is_refused(tmp_path, monkeypatch, call, problem):
    """strace lets the system calls of the probing processes lie or fail."""
    monkeypatch.undo()
    needs_strace()
    folder = tmp_path / "studies"
    folder.mkdir()
    name = call.partition(":")[0]
    tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={call}"]
    words = [*tracer, sys.executable, "-m", "maestro_es", "doctor", str(folder)]
    environment = {**os.environ, "MAESTRO_ES_HOME": str(tmp_path / "home")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, problem in done.stdout) == (2, True), done
    assert "don't keep studies here" in done.stdout


def test_the_options_of_a_mount_say_whether_other_hosts_see_its_locks():
    table = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home rw,relatime - nfs4 server:/home rw,vers=4.2,local_lock=none\n"
        "31 22 0:41 / /old\\040home rw - nfs server:/old rw,vers=3,nolock,local_lock=all\n"
        "32 22 0:42 / /scratch rw - lustre mgs:/scratch rw,localflock\n"
        "33 22 0:43 / /memory rw - tmpfs tmpfs rw,size=1g\n"
    )
    seen = {
        path: mount_of(Path(path), table) for path in ("/x", "/home/you", "/old home/you", "/scratch/a", "/memory")
    }
    assert {path: mount and mount.local_locks for path, mount in seen.items()} == {
        "/x": "", "/home/you": "", "/old home/you": "nolock", "/scratch/a": "localflock", "/memory": "",
    }  # fmt: skip
    assert {path for path, mount in seen.items() if mount and mount.in_memory} == {"/memory"}


def test_a_server_that_does_not_respond_is_no_answer(tmp_path, study, monkeypatch):
    """As a soft mount of NFS does when its server is lost."""
    monkeypatch.undo()
    needs_strace()
    home = tmp_path / "home"
    (home / "studies").mkdir(parents=True)
    cases = (
        (["doctor"], home / "studies", "openat:error=EIO", 2, "Input/output error"),
        (["status", study], study / "events.db", "/^(new)?[fl]?stat(at|x)?$:error=ESTALE", 75, "Stale file handle"),
    )
    for words, path, fault, expected, message in cases:
        calls = fault.partition(":")[0]
        inject = ["-P", str(path), "-e", f"trace={calls}", "-e", f"inject={fault}"]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", *inject, sys.executable, "-m", "maestro_es"]
        environment = {**os.environ, "MAESTRO_ES_HOME": str(home)}
        done = subprocess.run(
            [*command, *map(str, words)], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, (done.stdout + done.stderr).count("\n")) == (expected, 1), done
        assert message in done.stdout + done.stderr
