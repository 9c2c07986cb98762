"""``watch`` on a real terminal: pages of 80 x 24, and keys."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

STUDY = """\
description: {name: mixed, description: d}
study:
- name: slow
  description: d
  run: {cmd: "echo here it is; touch ready; until [ -e go ]; do sleep 0.1; done", walltime: "1:00:00"}
- {name: bad, description: d, run: {cmd: "echo the mesh is inverted >&2; exit 3"}}
- {name: good, description: d, run: {cmd: "true"}}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study with a step that runs, one that has failed and one that has finished."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "mixed.yaml").write_text(STUDY)
    assert maestro_es("run", "-y", "-o", "s", "mixed.yaml", cwd=folder).returncode == 0

    def is_mixed() -> bool:
        maestro_es("tick", "s", cwd=folder)
        states = json.loads(maestro_es("status", "s", "--json", "--summary", cwd=folder).stdout)["study"]["states"]
        return bool(states == {"RUNNING": 1, "FAILED": 1, "FINISHED": 1})

    wait_for(is_mixed)
    yield folder / "s"
    (folder / "s/slow/go").touch()


class Terminal:
    """A terminal of 80 x 24 in which ``watch`` runs."""

    def __init__(self, *words: str | Path, term: str = "xterm-256color") -> None:
        self.process, self._terminal = pty.fork()
        if not self.process:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            command = [sys.executable, "-m", "maestro_es", "watch", *map(str, words)]
            os.execve(command[0], command, {**os.environ, "TERM": term})  # noqa: S606 - arguments are made here
        self.text = ""

    def page(self) -> list[str]:
        """Return the lines of the last whole page, without colours."""
        *_, last = [part for part in self.text.split("\x1b[H") if part.endswith("\x1b[J")] or [""]
        return re.sub(r"\x1b\[[0-9;]*[mKJ]", "", last).replace("\r", "").split("\n")

    def shows(self, words: str) -> list[str]:
        """Wait for a page with these words, and return it."""
        end = time.monotonic() + 60
        while not any(words in line for line in self.page()):
            assert time.monotonic() < end, self.text[-3000:]
            self.text += os.read(self._terminal, 65536).decode()
        return self.page()

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def end(self) -> int:
        """Return the exit code, once the program has ended."""
        while True:
            try:
                self.text += os.read(self._terminal, 65536).decode()
            except OSError:  # it has ended
                break
        _, status = os.waitpid(self.process, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)


def test_the_page_fits_the_terminal_and_shows_what_runs_and_what_failed(study):
    terminal = Terminal(study)
    page = terminal.shows("Running (1)")
    terminal.press("q")
    assert terminal.end() == 0
    assert len(page) <= 24
    assert max(map(len, page)) <= 80
    assert page[0].startswith("mixed: RUNNING, last tick ")
    assert page[1] == "[##############XXXXXXXXXXXXXRRRRRRRRRRRRR] 1 finished, 1 failed, 1 running"
    assert re.fullmatch(r"> slow  \[ {12}\] 0:\d\d of 1:00:00", page[page.index("Running (1)") + 1])
    assert page[page.index("Failed (1)") + 1] == "  bad  exit code 3"
    assert all(re.match(r"\d\d:\d\d:\d\d \w", line) for line in page[page.index("Events") + 1 : -1] if line)
    assert page[-1].startswith("q quit")


def test_keys_choose_a_step_and_show_why_and_its_output(study):
    terminal = Terminal(study)
    terminal.shows("Running (1)")
    terminal.press("o")
    terminal.shows("here it is")
    terminal.press("q")
    terminal.shows("> slow")
    terminal.press("\x1b[B")
    terminal.shows("> bad")
    terminal.press("w")
    page = terminal.shows("the mesh is inverted")
    assert any(line.startswith("bad failed at ") for line in page)
    terminal.press("qq")
    assert terminal.end() == 0


def test_a_filter_leaves_out_other_steps(study):
    terminal = Terminal(study)
    terminal.shows("Failed (1)")
    terminal.press("/slow\r")
    page = terminal.shows("steps like slow")
    assert not any("bad" in line for line in page[page.index("Running (1)") :])
    terminal.press("q")
    assert terminal.end() == 0


def test_the_terminal_is_as_before_afterwards(study):
    terminal = Terminal(study)
    terminal.shows("Running (1)")
    terminal.press("\x03")
    assert terminal.end() == 0
    assert terminal.text.endswith("\x1b[?25h\x1b[?1049l")


def test_a_study_that_is_gone_is_said_on_the_page(study, tmp_path):
    terminal = Terminal(tmp_path / "gone")
    terminal.shows("there is no such directory")
    terminal.press("q")
    assert terminal.end() == 0


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_without_codes_gets_lines(study, term):
    terminal = Terminal(study, term=term)
    while "bad: failed with exit code 3" not in terminal.text:
        terminal.text += os.read(terminal._terminal, 65536).decode()
    terminal.press("\x03")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text


def test_a_pipe_gets_lines_until_the_study_has_ended(study):
    command = [sys.executable, "-m", "maestro_es", "watch", str(study), "-n", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as watching:
        (study / "slow/go").touch()
        out, _ = watching.communicate(timeout=60)
        assert watching.returncode == 0
    assert "bad: failed with exit code 3" in out
    assert "the study has ended: FAILURE" in out
    assert "\x1b" not in out
