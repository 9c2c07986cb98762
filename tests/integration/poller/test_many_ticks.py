"""Many ticks of one study at the same moment, and ticks that sleep through everything."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from tools.testbed.processes import DEADLINE, wait_for
from tools.testbed.studies import Bench, Step

REPOSITORY = Path(__file__).parents[3]


def start_tick(bench: Bench, *options: str) -> subprocess.Popen[str]:
    """Start a tick as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.one_tick", str(bench.root), *options],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(started: subprocess.Popen[str]) -> tuple[int, str]:
    said = started.communicate(timeout=DEADLINE)[0]
    return started.returncode, said


def frozen(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("lock", [True, False], ids=["with the lock", "without it"])
def test_of_ten_ticks_at_once_one_advances_and_the_others_do_no_harm(bench: Bench, lock: bool):
    bench.create(*(Step(f"s{n}", bench.sign) for n in range(4)), Step("post", bench.sign, funnels=("s0", "s3")))
    gun = bench.root.with_name("gun")
    options = ["--start", str(gun), *(["--lock"] if lock else [])]
    ticks = [start_tick(bench, *options) for _ in range(10)]
    wait_for(lambda: sum("events.db" in _open_files(tick.pid) for tick in ticks) == 10)
    gun.touch()
    outcomes = [outcome(tick) for tick in ticks]

    assert {code for code, _ in outcomes} == {0}
    assert {said for _, said in outcomes} <= {"RUNNING", "FINISHED", "left", "ConcurrentAppend"}
    assert len([event for event in bench.events(e.SubmissionRequested) if event.attempt == 1]) <= 5
    assert bench.finish() is StudyStatus.FINISHED
    assert sorted(bench.signed()) == bench.started()
    assert len(bench.signed()) == 5
    bench.check()


def _open_files(pid: int) -> str:
    names = []
    for file in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.path.basename(os.readlink(file.path)))
    return " ".join(names)


@pytest.mark.parametrize("moment", ["append", "script"])
def test_a_tick_that_slept_through_its_own_submission_starts_nothing(bench: Bench, moment: str):
    """It has requested two steps and is frozen; others give its attempts up, make new ones, and end the study."""
    bench.create(Step("a", bench.sign), Step("b", bench.sign), Step("c", bench.sign, parents=("a", "b")))
    sleeper = start_tick(bench, "--freeze", moment)
    wait_for(lambda: frozen(sleeper.pid))
    assert len(bench.events(e.SubmissionRequested)) == 2
    assert bench.finish() is StudyStatus.FINISHED
    before = bench.signed()

    os.kill(sleeper.pid, signal.SIGCONT)
    assert outcome(sleeper)[0] == 0
    abandoned = [event.token for event in bench.events(e.AttemptAbandoned)]
    wait_for(lambda: len(list(bench.dir.inbox.iterdir())) == len(abandoned) == 2)
    assert bench.signed() == before
    assert len(before) == 3
    assert set(before).isdisjoint(abandoned)
    bench.check()


def test_a_tick_that_slept_while_its_study_was_moved_starts_nothing(bench: Bench):
    """Others have given its attempt up. Their claim has moved with the study, so a new workspace would not have it."""
    bench.create(Step("a", bench.sign))
    sleeper = start_tick(bench, "--freeze", "append")
    wait_for(lambda: frozen(sleeper.pid))
    assert bench.finish() is StudyStatus.FINISHED
    before = bench.signed()
    os.rename(bench.root, bench.root.with_name("moved"))

    os.kill(sleeper.pid, signal.SIGCONT)
    assert outcome(sleeper) == (0, "LogUnavailable")
    assert not bench.root.exists()
    assert bench.signed() == before


def test_a_tick_that_slept_after_its_submission_finds_it_adopted(bench: Bench):
    bench.create(Step("a", bench.sign))
    sleeper = start_tick(bench, "--freeze", "submit")
    wait_for(lambda: frozen(sleeper.pid))
    assert bench.finish() is StudyStatus.FINISHED
    os.kill(sleeper.pid, signal.SIGCONT)

    assert outcome(sleeper) == (0, "FINISHED")
    assert [event.adopted for event in bench.events(e.JobSubmitted)] == [True]
    assert bench.signed() == [event.token for event in bench.events(e.SubmissionRequested)]
    bench.check()


def test_a_tick_frozen_with_the_lock_is_waited_for_by_nobody(bench: Bench):
    bench.create(Step("a", bench.sign))
    sleeper = start_tick(bench, "--lock", "--freeze", "append")
    wait_for(lambda: frozen(sleeper.pid))

    assert outcome(start_tick(bench, "--lock")) == (0, "left")
    os.kill(sleeper.pid, signal.SIGKILL)
    sleeper.communicate()
    assert outcome(start_tick(bench, "--lock")) == (0, "RUNNING")


@pytest.mark.parametrize("jump", [-7200, 7200, 10 * 365 * 86400])
def test_a_clock_that_jumps_starts_nothing_twice(bench: Bench, jump: int):
    bench.create(
        Step("a", f"{bench.sign}; until [ -e '{bench.root}/go' ]; do sleep 0.01; done"),
        Step("b", bench.sign),
        Step("c", bench.sign, parents=("a", "b")),
    )
    bench.tick()
    now = bench.step("a").requested_at or 0

    def jumped() -> int:
        return now + jump * 1_000_000

    bench.tick(now=jumped)
    bench.tick(now=jumped)
    (bench.root / "go").touch()
    wait_for(lambda: bench.tick(now=jumped) is StudyStatus.FINISHED)
    assert len(bench.signed()) == 3
    bench.check()


def test_a_clock_that_jumps_back_while_an_attempt_is_in_doubt_loses_nothing(cluster: Bench):
    cluster.create(Step("a", cluster.sign, scheduled=True))
    cluster.scheduler.plan("late")
    cluster.tick()
    now = cluster.step("a").requested_at or 0
    cluster.tick(now=lambda: now - 3_600_000_000)
    cluster.scheduler.deliver()
    cluster.scheduler.start()

    assert cluster.finish() is StudyStatus.FINISHED
    assert len(cluster.signed()) == 1
    cluster.check()
