"""On a terminal of 80 columns nothing that a person reads is broken into pieces; a pipe gets tables."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import sys
import termios
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

STUDY = """\
description: {name: wide, description: d}
study:
- {name: measure-the-whole-sample, description: d, run: {cmd: "exit 3"}}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a step that has failed."""
    folder = tmp_path_factory.mktemp("screens")
    (folder / "wide.yaml").write_text(STUDY)
    assert maestro_es("run", "-y", "-o", "w", "wide.yaml", cwd=folder).returncode == 0

    def has_ended() -> bool:
        maestro_es("tick", "w", cwd=folder)
        found = json.loads(maestro_es("status", "w", "--json", "--summary", cwd=folder).stdout)
        return bool(found["study"]["status"] == "FAILURE")

    wait_for(has_ended)
    return folder / "w"


def on_a_terminal(*words: str | Path, columns: int) -> list[str]:
    """Run a command on a terminal of this size; returns the lines that it prints, without colours."""
    process, terminal = pty.fork()
    if not process:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
        command = [sys.executable, "-m", "maestro_es", *map(str, words)]
        environment |= {"TERM": "xterm", "PAGER": "cat", "NO_COLOR": "1"}
        os.execve(command[0], command, environment)  # noqa: S606 - arguments are made here
    printed = b""
    while True:
        try:
            printed += os.read(terminal, 65536)
        except OSError:  # it has ended
            break
    os.waitpid(process, 0)
    os.close(terminal)
    return printed.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("words", [[], ["measure*"], ["--state", "FAILED", "--columns", "step,state,why"]])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_status_fits_the_terminal(study: Path, words: list[str], columns: int):
    lines = on_a_terminal("status", study, *words, columns=columns)
    assert any("measure-the-whole-sample" in line for line in lines)
    commands = ("      maestro-es ", str(study))  # commands and paths are not broken, so that they can be copied
    assert [line for line in lines if len(line) > columns and not line.startswith(commands)] == []


@pytest.mark.parametrize("words", ["why", "why measure*", "history", "history measure*", "blame measure*", "doctor"])
@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_broken_by_the_terminal(study: Path, words: str, columns: int):
    command, *step = words.split()
    lines = on_a_terminal(command, study, *step, columns=columns)

    assert lines
    copied = ("      maestro-es ", "  2  ", "    maestro-es ")  # commands, and the head of a row with a command
    long = [line for line in lines if len(line) > columns and not line.startswith(copied)]
    assert [line for line in long if not line.endswith(f"{study}/.maestro-es")] == []  # a path is not broken


def test_status_in_a_pipe_has_the_width_in_the_environment(study: Path):
    narrow = maestro_es("status", study, "measure*", "--columns", "step,workspace", env={"COLUMNS": "40"}).stdout
    assert max(map(len, narrow.splitlines())) <= 40


def test_show_has_a_line_for_each_fact_of_an_attempt_where_its_table_does_not_fit(study: Path):
    narrow = on_a_terminal("show", study, "measure*", columns=80)
    assert "Outcome:   failed with exit code 3" in narrow
    assert all(len(line) <= 80 for line in narrow if str(study) not in line)
    heads = [line.split()[:3] for line in maestro_es("show", study, "measure*").stdout.splitlines()]
    assert ["Attempt", "Kind", "Job"] in heads


def test_the_limits_of_an_environment_continue_on_the_next_line(study: Path):
    lines = on_a_terminal("env", study, columns=80)
    first = next(number for number, line in enumerate(lines) if line.startswith("Limits: "))
    assert lines[first + 1].startswith(" " * 8)
    assert all(len(line) <= 80 for line in lines)
    limits = " ".join(line[8:] for line in lines[first : lines.index("")])
    assert f"Limits: {limits}\n" in maestro_es("env", study).stdout
