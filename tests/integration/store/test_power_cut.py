"""The power is cut: what a commit has acknowledged is in the log afterwards.

The files that a study is made of are looked at in tests/integration/poller/test_power_cut.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.store.verification import verify
from tests.fakes.disk import Disk, new_disk
from tests.integration.store.test_processes import WRITER
from tools.testbed.logs import create, reopen, same

#: Commits an event for each line that it is sent, and says the seq once that is done.
_SAY = "    print(log.head.seq, flush=True)\n"
OBEDIENT = WRITER.replace(_SAY, f"{_SAY}    sys.stdin.readline()\n")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with new_disk(tmp_path) as disk:
        yield disk


def after_the_cut(image: Path, acknowledged: int) -> int:
    """Check the log on an image; returns its last event."""
    disk = Disk(image, image.with_name(f"{image.name}.mounted"))
    try:
        with reopen(disk.place / "events.db") as log:
            assert log.head.seq >= acknowledged
            assert not log.graph.study.paused  # never one of a pair alone
            assert verify(log).events == log.head.seq
            assert same(log)
            return log.head.seq
    finally:
        disk.leave()


def start(script: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(path), "ada", "100000"]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


@pytest.fixture
def path(disk: Disk) -> Path:
    with create(disk.place / "events.db") as log:
        log.append([(None, e.StudyCreated(study_id="cafe", root="/s"))])
    disk.sync()
    return disk.place / "events.db"


def test_a_commit_that_was_acknowledged_survives_a_power_cut(disk: Disk, path: Path):
    cuts = {}
    with start(OBEDIENT, path) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        try:
            for number in range(12):
                writer.stdin.write("go\n")
                writer.stdin.flush()
                acknowledged = int(writer.stdout.readline())
                if number % 3 == 0:
                    cuts[disk.cut(number)] = acknowledged
        finally:
            writer.kill()
    for image, acknowledged in cuts.items():
        assert after_the_cut(image, acknowledged) == acknowledged


def test_a_power_cut_in_the_midst_of_a_commit_leaves_all_of_it_or_nothing(disk: Disk, path: Path):
    cuts = {}
    with start(WRITER, path) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
        try:
            for number in range(5):
                acknowledged = int(writer.stdout.readline())
                time.sleep(0.0007 * number)
                writer.send_signal(signal.SIGSTOP)  # so that the copy is of one moment
                cuts[disk.cut(number)] = acknowledged
                writer.send_signal(signal.SIGCONT)
        finally:
            writer.kill()
    for image, acknowledged in cuts.items():
        after_the_cut(image, acknowledged)
