"""The crontab of a user, kept by a command that stands in for the real one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.drivers.crontab import BEGIN, END, how_ticks_come
from maestro_es.import_path import own_command
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime

HOST = os.uname().nodename

#: What cron's own command does: list, remove, or take a file, with its messages (Debian's cron 3.0pl1).
CRONTAB = """#!/bin/sh
tab={folder}/tab
if [ -e {folder}/denied ]; then
    echo 'You (me) are not allowed to use this program (crontab)' >&2
    echo 'See crontab(1) for more information' >&2
    exit 1
fi
case $1 in
-l) if [ -e "$tab" ]; then cat "$tab"; else echo 'no crontab for me' >&2; exit 1; fi ;;
-r) rm "$tab" ;;
*) echo write >>{folder}/writes; cat "$1" >"$tab" ;;
esac
"""


@pytest.fixture
def tab(tmp_path, monkeypatch):
    """Return the file that holds the crontab; there is none yet. A process that is called cron runs meanwhile."""
    command = tmp_path / "bin" / "crontab"
    command.parent.mkdir()
    command.write_text(CRONTAB.format(folder=tmp_path))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    daemon = tmp_path / "daemon" / "cron"
    daemon.parent.mkdir()
    shutil.copy("/bin/sleep", daemon)
    with subprocess.Popen([daemon, "600"]) as running:
        while Path(f"/proc/{running.pid}/comm").read_text() != "cron\n":
            time.sleep(0.01)
        yield tmp_path / "tab"
        running.kill()


@pytest.fixture
def line(tmp_path):
    variables = f"MAESTRO_ES_HOME={tmp_path}/home MAESTRO_ES_BY_CRON=1"
    return f"* * * * * /usr/bin/env {variables} {shlex.join(own_command())} tick --all"


def test_install_puts_the_line_behind_what_is_there(run, tab, line):
    tab.write_bytes(b"# caf\xe9\n0 3 * * * backup")
    ran = run("cron", "install")
    assert (ran.code, ran.out, ran.err) == (0, f"cron on {HOST} runs a tick for your studies every minute\n", "")
    assert tab.read_bytes() == f"# caf\udce9\n0 3 * * * backup\n{BEGIN}\n{line}\n{END}\n".encode(
        errors="surrogateescape"
    )


def test_a_second_install_writes_nothing(run, tab):
    run("cron", "install")
    assert (
        run("cron", "install").out == f"cron on {HOST} runs a tick for your studies every minute; it did so before\n"
    )
    assert tab.with_name("writes").read_text() == "write\n"


def test_install_replaces_the_line_of_another_installation(run, tab, line):
    tab.write_text(f"a\n{BEGIN}\n* * * * * /old/python3 -m maestro_es tick --all\n{END}\nb\n")
    assert run("cron", "check").code == 1
    assert run("cron", "show").out == (
        f"In your crontab on {HOST}:\n* * * * * /old/python3 -m maestro_es tick --all\n"
        f"'maestro-es cron install' puts into your crontab on {HOST}:\n{line}\n"
    )
    assert "another line is installed" in how_ticks_come(Runtime())
    run("cron", "install")
    assert tab.read_text() == f"a\n{BEGIN}\n{line}\n{END}\nb\n"


def test_remove_leaves_what_was_there_before(run, tab):
    tab.write_bytes(b"\xff\n")
    run("cron", "install")
    assert run("cron", "remove").out == f"Removed from your crontab on {HOST}\n"
    assert tab.read_bytes() == b"\xff\n"
    ran = run("cron", "remove")
    assert (ran.code, ran.out) == (0, f"Not in your crontab on {HOST}\n")


def test_a_crontab_that_was_not_there_is_not_there_again(run, tab):
    run("cron", "install")
    run("cron", "remove")
    assert not tab.exists()


def test_show_prints_what_is_or_would_be_installed(run, tab, line):
    would = run("cron", "show")
    assert would.out == f"'maestro-es cron install' puts into your crontab on {HOST}:\n{line}\n"
    run("cron", "install")
    assert run("cron", "show").out == f"In your crontab on {HOST}:\n{line}\n"


def test_how_ticks_come_is_one_line(run, tab):
    assert how_ticks_come(Runtime()) == (
        "Each 'maestro-es tick --all' advances it; 'maestro-es cron install' lets cron run that every minute"
    )
    run("cron", "install")
    assert how_ticks_come(Runtime()) == "cron runs a tick for it every minute"
    tab.with_name("denied").touch()
    assert "no crontab can be used here" in how_ticks_come(Runtime())


@pytest.mark.parametrize("subcommand", ["install", "show", "check", "remove"])
def test_who_may_not_use_crontab_is_told_so_in_one_line(run, tab, subcommand):
    tab.with_name("denied").touch()
    ran = run("cron", subcommand)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "maestro-es: can't read your crontab: You (me) are not allowed to use this program (crontab); "
        "See crontab(1) for more information\n"
    )


@pytest.mark.parametrize("subcommand", ["install", "show", "check", "remove"])
def test_where_there_is_no_crontab_command_it_is_said_in_one_line(run, tab, subcommand, monkeypatch):
    monkeypatch.setenv("PATH", str(tab.with_name("nothing")))
    ran = run("cron", subcommand)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("maestro-es: this host has no crontab command")


@pytest.mark.parametrize("subcommand", ["install", "check", "remove"])
def test_a_crontab_with_broken_markers_is_left_alone(run, tab, subcommand):
    tab.write_text(f"a\n{BEGIN}\nb\n")
    ran = run("cron", subcommand)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert tab.read_text() == f"a\n{BEGIN}\nb\n"


def test_what_crontab_refuses_is_said_in_its_words(run, tab):
    tab.parent.joinpath("bin", "crontab").write_text(
        '#!/bin/sh\n[ "$1" = -l ] && { echo no crontab for me >&2; exit 1; }\necho "the disk is full" >&2\nexit 1\n'
    )
    assert run("cron", "install").err == "maestro-es: can't change your crontab: the disk is full\n"


@pytest.mark.parametrize("subcommand", ["install", "show", "check", "remove"])
def test_each_subcommand_has_help_with_an_example(run, subcommand):
    assert f"Example:\n    maestro-es cron {subcommand}" in run("cron", subcommand, "--help").out


def _tick_seconds_ago(study, seconds):
    registry.register("cafe" * 8, study)
    state = study / ".maestro-es"
    state.mkdir(exist_ok=True)
    (state / "last-tick").touch()
    os.utime(state / "last-tick", (time.time() - seconds,) * 2)


def test_all_is_well_when_installed_and_the_last_tick_was_just_now(run, tab, study):
    run("cron", "install")
    _tick_seconds_ago(study, 50)
    ran = run("cron", "check")
    where, cron, when, missed = ran.out.splitlines()
    assert ran.code == 0
    assert cron.startswith("Cron:       has run no tick since the line was installed ")
    assert where == f"Installed:  on this host, {HOST}"
    assert when.startswith("Last tick:  5")
    assert missed == "Missed:     0"


def test_missed_ticks_are_counted(run, tab, study):
    run("cron", "install")
    _tick_seconds_ago(study, 3600.5)
    ran = run("cron", "check")
    assert (ran.code, ran.out.splitlines()[-1]) == (1, "Missed:     59")


def test_cron_that_is_dead_is_noticed_though_a_person_ticks(run, tab, study, monkeypatch):
    run("cron", "install")
    _tick_seconds_ago(study, 5)
    os.utime(registry.cron_note(HOST), (time.time() - 600.5,) * 2)
    run("cron", "install")
    run("tick", "--all")
    ran = run("cron", "check")
    assert (ran.code, ran.out.splitlines()[-1]) == (1, "Missed:     9")
    assert "has run no tick since the line was installed 10 min" in ran.out

    monkeypatch.setenv("MAESTRO_ES_BY_CRON", "1")
    run("tick", "--all")
    ran = run("cron", "check")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "Missed:     0")
    assert "Cron:       last tick " in ran.out


def test_a_line_that_obeys_another_home_is_noticed_and_replaced(run, tab, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MAESTRO_ES_HOME")
    tab.write_text(f"HOME=/elsewhere\n{BEGIN}\n* * * * * {sys.executable} -m maestro_es tick --all\n{END}\n")
    ran = run("cron", "check")
    assert (ran.code, ran.out.splitlines()[1]) == (1, "            'maestro-es cron install' replaces it")
    run("cron", "install")
    assert f" MAESTRO_ES_HOME={tmp_path}/.local/state/maestro-es " in tab.read_text()
    assert run("cron", "check").code == 0


def test_a_running_study_that_was_never_ticked_is_not_well(run, tab, study):
    run("cron", "install")
    registry.register("cafe" * 8, study)
    ran = run("cron", "check")
    assert (ran.code, ran.out.splitlines()[2:]) == (1, ["Last tick:  never", "Missed:     0"])


def test_without_a_running_study_it_is_enough_to_be_installed(run, tab):
    assert run("cron", "check").code == 1
    run("cron", "install")
    ran = run("cron", "check")
    where, _, when, missed = ran.out.splitlines()
    assert (ran.code, where, when) == (0, f"Installed:  on this host, {HOST}", "Last tick:  no study is running")
    assert missed == "Missed:     0"
    run("cron", "remove")
    assert run("cron", "check").code == 1


def test_another_host_where_it_was_installed_is_named(run, tab, study):
    run("cron", "install")
    notes = registry.folder().with_name("crontabs")
    (notes / HOST).rename(notes / "login2")
    tab.unlink()
    _tick_seconds_ago(study, 5)
    ran = run("cron", "check")
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"Installed:  on login2, not on this host, {HOST}")


def test_a_study_that_can_not_be_read_is_not_taken_for_one_that_does_not_run(run, tab, study):
    run("cron", "install")
    registry.register("cafe" * 8, study)
    (study / "events.db").write_bytes(b"")
    ran = run("cron", "check")
    assert ran.code == 1
    assert ran.out.splitlines()[2:-1] == [
        "Unknown:    1 of your studies can't be read; 'maestro-es studies' says why",
        "Last tick:  no other study is running",
    ]
