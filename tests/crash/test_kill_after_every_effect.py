"""Whenever a tick is killed, the next ones end the study: no step is lost, and no attempt runs twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.core.events import StudyReopened
from maestro_es.core.model import Cause, Settings, State, StudyStatus
from tests.crash.lives import new_bench
from tools.testbed.processes import arguments, running_under, send, wait_for
from tools.testbed.studies import Bench, Step

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"), pytest.mark.usefixtures("own_home"),
]  # fmt: skip

REPOSITORY = Path(__file__).parents[2]

#: How many studies are under way at the same time: they wait for walltimes and grace times most of the while.
AT_ONCE = 8


def run_lives(folder: Path, mode: str, *choices: Sequence[object]) -> list[tuple[str, str, str]]:
    """Run the program for these arguments at the same time; returns what it printed: N, effect, status."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.crash.lives", str(folder), mode, *map(str, choice)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for choice in choices
    ]
    said = [program.communicate()[0] for program in programs]
    assert [program.returncode for program in programs] == [0] * len(programs)
    rows = [line.split() for text in said for line in text.splitlines()]
    return [(number, effect, status) for number, effect, status in rows]


def kill_after_each(folder: Path, mode: str, at_once: int, effects: set[str]) -> list[tuple[str, str, str]]:
    """Kill after the first, the second ... effect, and after each of these effects that this has missed by chance."""
    rows = run_lives(folder, mode, *((first, at_once) for first in range(1, at_once + 1)))
    missed = effects - {effect for _, effect, _ in rows}
    rows += run_lives(folder, mode, *((effect,) for effect in sorted(missed)))

    assert {effect for _, effect, _ in rows} >= effects | {"-"}
    return rows


def check_ledger(bench: Bench, steps: int) -> None:
    """Check that the log and the ledger tell the same: each step has run, and no attempt twice."""
    bench.check()
    assert sorted(bench.signed()) == bench.started(), bench.root
    assert {int(token.split("-")[1]) for token in bench.signed()} == set(range(1, steps + 1)), bench.root


@pytest.mark.parametrize("mode", ["tick", "drive"])
def test_a_study_killed_after_any_effect_ends_with_every_attempt_run_once(tmp_path: Path, mode: str):
    rows = kill_after_each(tmp_path, mode, AT_ONCE, {"append", "script", "submit", "remove", "status", "rename"})

    assert {status for _, _, status in rows} == {"FINISHED"}
    assert len(rows) > 40
    for number, _, _ in rows:
        check_ledger(new_bench(tmp_path / f"{mode}-{number}", mode), 20)


def test_a_study_killed_while_it_is_cancelled_leaves_nothing_running(tmp_path: Path):
    rows = kill_after_each(tmp_path, "cancel", 4, {"append", "script", "submit", "end", "remove", "status"})

    assert {status for _, _, status in rows} == {"CANCELLED"}
    for number, _, _ in rows:
        bench = new_bench(tmp_path / f"cancel-{number}", "cancel")
        bench.check()
        assert sorted(bench.signed()) == bench.started()
    wait_for(lambda: not running_under(tmp_path))


def test_a_study_killed_while_it_is_repaired_runs_again_what_failed_and_nothing_else(tmp_path: Path):
    rows = kill_after_each(tmp_path, "retry", 4, {"append", "script", "submit", "remove", "status"})

    assert {status for _, _, status in rows} == {"FINISHED"}
    for number, _, _ in rows:
        bench = new_bench(tmp_path / f"retry-{number}", "retry")
        bench.check()
        assert sorted(bench.signed()) == bench.started()
        assert sorted(int(token.split("-")[1]) for token in bench.signed()) == [1, 1, 2, 3, 4]
        assert len(bench.events(StudyReopened)) == 1


def test_a_study_killed_again_and_again_gets_there(tmp_path: Path):
    rows = run_lives(tmp_path, "random", *((seed, AT_ONCE) for seed in range(1, AT_ONCE + 1)))

    assert [status for _, _, status in rows] == ["FINISHED"] * AT_ONCE
    assert all(effects.count("+") >= 3 for _, effects, _ in rows)
    for number, _, _ in rows:
        check_ledger(new_bench(tmp_path / f"random-{number}", "random"), 20)


def tick_and_kill(bench: Bench, dice: random.Random, victims: int, enough: Path) -> None:
    """Tick to the end, and kill so many processes of runners and steps meanwhile; make a file once that is done."""
    end = time.monotonic() + 200
    while bench.status is StudyStatus.RUNNING and time.monotonic() < end:
        bench.tick()
        runners = [pid for pid in running_under(bench.root) if any(b"runner.sh" in word for word in arguments(pid))]
        if runners and victims:
            session = process.session_members(dice.choice(runners))
            send(dice.choice(session or runners), signal.SIGKILL)
            victims -= 1
        if not victims:
            enough.touch()
        time.sleep(0.05)


@pytest.mark.parametrize("seed", range(3))
def test_killed_runners_and_steps_cost_attempts_and_never_two_at_once(tmp_path: Path, seed: int):
    """Each attempt holds a lock in all its processes as long as any of them lives, and notes if it did not get it."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    bench = Bench(tmp_path / "study", settings=Settings(local_slots=4, hardware_limit=0, abandon_limit=0))
    wait = f"until [ -e '{tmp_path}/enough' ]; do sleep 0.02; done"
    cmd = f"exec 9>lock; flock -n 9 || touch '{tmp_path}/two-at-once'; {bench.sign}; ({wait}) & {wait}"
    steps = [Step(f"s{n}", cmd) for n in range(10)]
    steps += [Step(f"t{n}", cmd, parents=(f"s{n}",)) for n in range(10)]
    bench.create(*steps)
    tick_and_kill(bench, dice, 10, tmp_path / "enough")

    assert bench.status in (StudyStatus.FINISHED, StudyStatus.FAILURE), bench.story()
    assert (tmp_path / "enough").exists()
    bench.check()
    assert set(bench.signed()) <= set(bench.started())
    assert not (tmp_path / "two-at-once").exists()
    for step in (bench.step(step.name) for step in steps):
        fine = step.state is State.FINISHED or (step.cause, step.exit_code) == (Cause.EXIT_CODE, 137)
        assert fine or step.cause is Cause.UPSTREAM, step
    wait_for(lambda: not running_under(bench.root))
