"""A reader that nobody reads from, as ``history | less`` is while a person reads, keeps no tick waiting."""

from __future__ import annotations

import array
import fcntl
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Settings, StudyStatus
from tools.testbed.processes import wait_for
from tools.testbed.studies import Bench, Step

EVENTS = "SELECT seq, type, data FROM event"

#: Pages that a pipe holds before its writer has to wait, less one.
ALMOST_FULL = 60_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """A study of so many steps that no command's answer fits into a pipe."""
    bench = Bench(tmp_path_factory.mktemp("readers") / "study", settings=Settings(local_slots=1))
    bench.create(*(Step(f"step-{number}", "sleep 60") for number in range(1500)))
    return bench


def in_the_pipe(end: int) -> int:
    """Return how many bytes wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(end, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize(
    "words",
    [("history",), ("history", "--follow", "-n", "3000"), ("export",), ("status", "--json"), ("query", EVENTS)],
    ids=" ".join,
)
def test_a_command_whose_output_nobody_reads_lets_ticks_append(bench: Bench, words: tuple[str, ...], tmp_path: Path):
    ours, its = os.pipe()
    command = [sys.executable, "-m", "maestro_es", words[0], str(bench.root), *words[1:]]
    with subprocess.Popen(command, stdout=its, stderr=subprocess.PIPE) as reader:
        try:
            os.close(its)
            wait_for(lambda: in_the_pipe(ours) > ALMOST_FULL or reader.poll() is not None)
            assert reader.poll() is None, reader.communicate()
            with bench.open() as study:
                study.log.wait_for_lock(10)
                study.log.append([(None, e.StudyPaused())])
                study.log.append([(None, e.StudyResumed())])
                assert study.status is StudyStatus.RUNNING
        finally:
            os.close(ours)
            reader.kill()
