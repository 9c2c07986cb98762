"""File systems that are full, or not there: nothing is concluded, nothing is lost, and all goes on with room."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.errors import LogUnavailable, MaestroError, Unreachable
from tests.e2e.command import maestro_es
from tests.fakes.faults import leave_out
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

Mount = Callable[[Path, str], None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return what puts a small file system of its own on a directory."""
    mounted = []

    def put(place: Path, options: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", str(place)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            leave_out("no full file system, because none can be mounted")
        mounted.append(place)

    yield put
    end_all_under(tmp_path)
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)


def fill(place: Path) -> Path:
    """Take all room and all inodes; returns a directory that holds it all."""
    ballast = place / "ballast"
    ballast.mkdir()
    try:
        with (ballast / "room").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass
    try:
        for number in range(10_000):
            (ballast / str(number)).touch()
    except OSError:
        pass
    return ballast


def empty(ballast: Path) -> None:
    for path in ballast.iterdir():
        path.unlink()


def test_a_full_inbox_is_no_failure_of_the_step(bench: Bench, mount: Mount):
    mount(bench.root / ".maestro-es/inbox", "size=64k,nr_inodes=8")
    bench.create(Step("a", f"{bench.sign}; touch '{bench.root}/ended'"), Step("b", bench.sign, parents=("a",)))
    ballast = fill(bench.dir.inbox)
    bench.tick()
    wait_for((bench.root / "ended").exists)
    bench.tick()
    assert bench.step("a").state is State.RUNNING

    empty(ballast)
    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.signed()) == 2


def test_a_study_on_a_full_file_system_changes_nothing_and_goes_on_once_there_is_room(bench: Bench, mount: Mount):
    mount(bench.root, "size=1m,nr_inodes=200")
    bench.create(*(Step(f"s{n}", bench.sign) for n in range(12)), Step("post", bench.sign, funnels=("s0",)))
    ballast = fill(bench.root)
    for _ in range(3):
        with contextlib.suppress(LogUnavailable, Unreachable, OSError):
            bench.tick()
    assert bench.events(e.StepFailed) == []

    empty(ballast)
    assert bench.finish() is StudyStatus.FINISHED, bench.story()
    assert len(bench.signed()) == 13
    bench.check()


def test_a_file_system_that_fills_up_in_mid_run_costs_attempts_and_never_a_double_run(bench: Bench, mount: Mount):
    mount(bench.root, "size=1m,nr_inodes=200")
    bench.create(Step("pre", bench.sign), *(Step(f"s{n}", bench.sign, parents=("pre",)) for n in range(8)))
    bench.tick()
    wait_for(lambda: any(bench.dir.inbox.iterdir()))
    ballast = fill(bench.root)
    for _ in range(5):
        with contextlib.suppress(MaestroError, OSError):
            bench.tick()
    empty(ballast)

    bench.finish()
    bench.check()
    assert [event for event in bench.events(e.StepFailed) if event.exit_code is None] == []


def test_a_workspace_that_takes_no_claim_starts_nothing(bench: Bench, mount: Mount):
    mount(bench.root / "a", "size=64k,nr_inodes=8")
    bench.create(Step("a", bench.sign))
    (bench.root / "a/a.sh").write_text(f"#!/bin/bash\n\n{bench.sign}\n")
    (bench.root / "a/a.sh").chmod(0o744)
    ballast = fill(bench.root / "a")
    for _ in range(3):
        with contextlib.suppress(Unreachable):
            bench.tick()
    assert bench.signed() == []
    assert bench.events(e.StepFailed) == []

    empty(ballast)
    assert bench.finish() is StudyStatus.FINISHED, bench.story()
    assert len(bench.signed()) == 1
    bench.check()


@pytest.mark.parametrize(
    ("words", "room"), [("run -y -o {}/study study.yaml", "64k"), ("example monte_carlo_pi --out {}/study", "8k")]
)
def test_a_file_for_which_there_is_no_room_is_named(tmp_path: Path, mount: Mount, words: str, room: str):
    folder = tmp_path / "small"
    mount(folder, f"size={room}")
    long = "x" * 100_000
    (tmp_path / "study.yaml").write_text(
        f"description: {{name: s, description: {long}}}\nstudy: [{{name: a, description: d, run: {{cmd: 'true'}}}}]\n"
    )

    done = maestro_es(*words.format(folder).split(), cwd=tmp_path)
    assert (done.returncode != 0, done.stdout, done.stderr.count("\n")) == (True, "", 1), done
    assert done.stderr.startswith(f"maestro-es: {folder}/study/"), done
    assert done.stderr.endswith(": No space left on device\n"), done
