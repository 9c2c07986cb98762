"""The power is cut: what a commit has acknowledged is in the log afterwards.

The file system is an ext4 image on a loop device. What it has written lies in the image at any moment, and nothing
else: so a copy of the image is what a disk holds after a cut.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.store.verification import verify
from tests.fakes.faults import leave_out
from tests.integration.store.logs import create, reopen, same
from tests.integration.store.test_processes import WRITER

MEGABYTES = 16
TOOLS = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}

#: Commits an event for each line that it is sent, and says the seq once that is done.
_SAY = "    print(log.head.seq, flush=True)\n"
OBEDIENT = WRITER.replace(_SAY, f"{_SAY}    sys.stdin.readline()\n")


class Disk:
    """An image and where it is mounted."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-o", "loop,commit=300", image, place], env=TOOLS, capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            leave_out(f"no power is cut, because no image can be mounted: {mounted.stderr.strip()}")

    def leave(self) -> None:
        subprocess.run(["umount", self.place], env=TOOLS, check=True)

    def cut(self, number: int) -> Path:
        """Return the image as a cut leaves it now."""
        return Path(shutil.copyfile(self.image, self.image.with_suffix(f".{number}")))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    subprocess.run(["mkfs.ext4", "-q", image], env=TOOLS, check=True)
    disk = Disk(image, tmp_path / "disk")
    yield disk
    disk.leave()


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
    subprocess.run(["sync", "--file-system", disk.place], check=True)
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
