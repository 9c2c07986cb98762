"""Several processes on one log, some of them killed: no gap, no loss of what was acknowledged, and it verifies."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.store.verification import verify
from tools.testbed.logs import create, reopen, same

#: Waits for a line, then appends pairs of events and says the seq of the second once the commit has returned.
WRITER = """
import sys, time
from pathlib import Path
from maestro_es.core import events as e
from maestro_es.errors import ConcurrentAppend
from maestro_es.store.study_log import StudyLog

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
identity = e.InvocationStarted(actor=name, host="h", boot_id="b", pid=1, command="test", version="1")
log = StudyLog.open(path, lambda: time.time_ns() // 1000, identity)
done = lost = 0
print("ready", flush=True)
sys.stdin.readline()
log.refresh()
while done < count:
    try:
        log.append([(None, e.StudyPaused(reason=f"{name} {done}")), (None, e.StudyResumed(reason=f"{name} {done}"))])
    except ConcurrentAppend:
        lost += 1
        log.refresh()
        continue
    done += 1
    print(log.head.seq, flush=True)
print("lost", lost, flush=True)
"""


#: So many that the writers meet: SQLite lets one that waits sleep for a while, and another may be done by then.
ROUNDS = 300


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Start a writer and wait until it has opened the log."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def output_of(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.split()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "events.db"
    with create(path) as log:
        log.append([(None, e.StudyCreated(study_id="cafe", root="/s"))])
    return path


def test_processes_that_append_at_the_same_time_leave_no_gap_and_lose_nothing(path: Path):
    names = ["ada", "bob", "eve"]
    writers = [writer(path, name, ROUNDS) for name in names]

    for process in writers:
        go(process)
    outputs = [output_of(process) for process in writers]

    assert sum(int(output[-1]) for output in outputs) > 0, "they never met: the test shows nothing"
    with reopen(path) as log:
        assert verify(log).events == 2 + 3 + 3 * ROUNDS * 2
        found = [recorded.event for recorded in log.events()]
        for name in names:
            reasons = [
                event.reason for event in found if isinstance(event, e.StudyPaused) and event.reason.startswith(name)
            ]
            assert reasons == [f"{name} {index}" for index in range(ROUNDS)]
        # The two events of a transaction stand together, whoever else was writing.
        for first, second in itertools.pairwise(found):
            if isinstance(first, e.StudyPaused):
                assert isinstance(second, e.StudyResumed)
                assert second.reason == first.reason
        assert same(log)


def test_what_was_acknowledged_survives_the_kill_of_its_writer(path: Path):
    acknowledged = 2
    for number in range(12):
        process = writer(path, f"w{number}", 100_000)
        go(process)
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(number)]
        time.sleep(0.001 * number)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        acknowledged = max([acknowledged, *seen, *map(int, output.rpartition("\n")[0].split())])

        with reopen(path) as log:
            assert log.head.seq >= acknowledged
            assert not log.graph.study.paused  # never one of a pair alone
            assert verify(log).events == log.head.seq
            assert same(log)
    assert acknowledged > 50


def test_a_writer_waits_for_another_that_is_about_to_commit(path: Path):
    with reopen(path) as log:
        with log.transaction():
            log.record([(None, e.StudyPaused())])
            other = writer(path, "patient", 1)
            go(other)
            time.sleep(0.5)
            assert other.poll() is None
        output = output_of(other)

        log.refresh()
        assert int(output[0]) == log.head.seq == 7
        assert verify(log).events == 7


def test_processes_that_open_a_log_whose_projection_lags_catch_up_once_each(path: Path):
    with reopen(path) as log:
        log.append([(None, e.StepTemplateAdded(name="s", description="", run={}))])
        log.append([(n, e.StepAdded(name=f"s{n}", template="s", workspace="w")) for n in range(1, 2001)])
        log._connection.execute("UPDATE projection SET reducer_version = 0")
    command = [sys.executable, "-c", WRITER, str(path), "eve", "1"]
    writers = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]

    assert [output_of(process)[0] for process in writers] == ["ready"] * 3

    with reopen(path) as log:
        assert log.graph.study.steps == 2000
        assert same(log)
