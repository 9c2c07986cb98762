"""``cron --scrontab`` and ``--systemd``. Scripts stand in for the commands, and a real systemd reads the files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.drivers.crontab import BEGIN, END, how_ticks_come
from maestro_es.drivers.systemd import unit_files
from maestro_es.import_path import own_command
from maestro_es.study.invocation import Runtime

#: As in the source of Slurm: the message for an empty scrontab goes to standard output.
SCRONTAB = """
[ ! -e {folder}/off ] || {{ echo 'scrontab: fatal: scrontab is disabled on this cluster' >&2; exit 1; }}
case $1 in
-l) if [ -e {folder}/tab ]; then cat {folder}/tab; else echo 'no crontab for me'; exit 1; fi ;;
-r) rm {folder}/tab ;;
*) cat "$1" >{folder}/tab ;;
esac
"""

#: A timer that is enabled runs. Without the file `bus`, there is no systemd.
SYSTEMCTL = """
[ -e {folder}/bus ] || {{ echo 'Failed to connect to bus: No medium found' >&2; exit 1; }}
echo "$*" >>{folder}/calls
case "$2" in
enable) : >{folder}/runs ;;
disable) rm {folder}/runs ;;
is-active) [ -e {folder}/runs ] ;;
esac
"""

LOGINCTL = "cat {folder}/linger"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with commands that stand in for the real ones, and a home."""
    (tmp_path / "bin").mkdir()
    for name, text in (("scrontab", SCRONTAB), ("systemctl", SYSTEMCTL), ("loginctl", LOGINCTL)):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh{text if text[0] == chr(10) else chr(10) + text}\n".format(folder=tmp_path))
        program.chmod(0o755)
    for name in ("sh", "cat", "rm", "head", "env"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "bus").touch()
    (tmp_path / "linger").write_text("Linger=yes\n")
    return tmp_path


def test_the_scrontab_gets_an_entry_and_keeps_its_other_lines(run, place):
    (place / "tab").write_text("#SCRON -t 1\n0 3 * * * backup\n")
    ran = run("cron", "install", "--scrontab", "-q", "workflow", "-A", "abc")
    assert (ran.code, ran.out, ran.err) == (0, "scrontab runs a tick for your studies every minute\n", "")
    text = (place / "tab").read_text()
    assert text.startswith(f"#SCRON -t 1\n0 3 * * * backup\n{BEGIN}\n#SCRON --job-name=maestro-es-tick\n")
    assert "#SCRON --qos=workflow\n#SCRON --account=abc\n" in text
    assert text.endswith(f" tick --all\n{END}\n")
    assert how_ticks_come(Runtime()) == "scrontab runs a tick for it every minute"

    again = run("cron", "install", "--scrontab")
    assert (again.out, (place / "tab").read_text()) == (
        "scrontab runs a tick for your studies every minute; it did so before\n",
        text,
    )
    assert "#SCRON --qos=workflow" in run("cron", "show").out
    assert run("cron", "remove", "--scrontab").out == "Removed from your scrontab\n"
    assert (place / "tab").read_text() == "#SCRON -t 1\n0 3 * * * backup\n"
    assert run("cron", "remove", "--scrontab").out == "Not in your scrontab\n"


def test_a_scrontab_that_was_not_there_is_not_there_again(run, place):
    run("cron", "install", "--scrontab")
    assert (place / "tab").exists()
    run("cron", "remove", "--scrontab")
    assert not (place / "tab").exists()


def test_check_finds_a_disabled_entry_and_install_enables_it(run, place):
    run("cron", "install", "--scrontab", "-p", "service")
    assert run("cron", "check").code == 0
    text = (place / "tab").read_text()
    lines = text.splitlines()
    (place / "tab").write_text("\n".join([lines[0], *(f"#DISABLED: {line}" for line in lines[1:-1]), lines[-1], ""]))
    ran = run("cron", "check")
    assert ran.code == 1
    assert "Problem:    the entry is disabled, because its job was cancelled by you or your site" in ran.out
    run("cron", "install", "--scrontab")
    assert (place / "tab").read_text() == text


def test_a_driver_that_is_missing_is_named_with_those_that_are_there(run, place):
    (place / "off").touch()
    ran = run("cron", "install", "--scrontab")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "scrontab is disabled on this cluster; what runs ticks here: 'maestro-es cron install --systemd'" in ran.err
    (place / "bus").unlink()
    ran = run("cron", "install", "--systemd")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "Failed to connect to bus: No medium found; what runs ticks here: 'maestro-es drive'" in ran.err
    ran = run("cron", "install")
    assert ran.err.startswith("maestro-es: this host has no crontab command; what runs ticks here: 'maestro-es drive'")


def test_a_timer_of_systemd_is_installed_checked_and_removed(run, place):
    units = place / ".config/systemd/user"
    ran = run("cron", "install", "--systemd")
    assert (ran.code, ran.out, ran.err) == (0, "systemd runs a tick for your studies every minute\n", "")
    assert (place / "calls").read_text().splitlines()[-3:] == [
        "--user daemon-reload",
        "--user enable --now maestro-es-tick.timer",
        "--user is-active --quiet maestro-es-tick.timer",
    ]
    assert {file.name: file.read_text() for file in units.iterdir()} == unit_files(own_command(), str(place / "home"))
    assert run("cron", "check").code == 0
    assert "Installed:  in your systemd units" in run("cron", "check").out

    (place / "linger").write_text("Linger=no\n")
    ran = run("cron", "check", "--systemd")
    assert (ran.code, "Problem:    the timer ends when you log out; 'loginctl enable-linger'" in ran.out) == (1, True)
    (place / "runs").unlink()
    assert "the timer is not running on this host" in run("cron", "check").out
    (place / "runs").touch()
    assert run("cron", "remove", "--systemd").out == "Removed from your systemd units\n"
    assert [*units.iterdir()] == []


def test_a_unit_of_another_program_is_left_alone(run, place):
    other = place / ".config/systemd/user/maestro-es-tick.service"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    ran = run("cron", "install", "--systemd")
    assert (ran.code, ran.err.count("\n"), other.read_text()) == (1, 1, "[Service]\n")


def test_options_of_the_scrontab_are_for_it_alone(run, place):
    assert run("cron", "install", "-q", "workflow").err.startswith("maestro-es: -q, -p and -A need --scrontab.")
    assert not (place / "tab").exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
@pytest.mark.parametrize("home", ["/home/me", '/home/50% of $me "or" it\'s \\ me'])
def test_systemd_can_read_the_unit_files(tmp_path, home):
    for name, text in unit_files([sys.executable, "-c", "$HOME %h \\ \"'"], home).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *sorted(map(str, tmp_path.glob("maestro-es-tick.*")))],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
