"""tools/bench on studies of a hundred steps: each measurement works, and gives all its figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.benches.command import MEASUREMENTS
from tools.benches.goals import GOALS

ROOT = Path(__file__).parents[2]

#: One installed wheel is enough, so one worker runs all of these.
pytestmark = pytest.mark.xdist_group("bench")

RunBench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory in which a wheel of this tree is installed."""
    folder = tmp_path_factory.mktemp("bench") / "environments"
    subprocess.run([sys.executable, "-m", "tools.benches.installation", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture
def bench(environments: Path) -> RunBench:
    """Return what calls tools/bench."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, ROOT / "tools/bench", "--environments", environments, *words]
        env = {**os.environ, "TMPDIR": str(environments.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_gives_all_its_figures(name: str, bench: RunBench):
    done = bench("--only", name, "--sizes", "100", "--rounds", "1")

    at_full_size = {"P7.time", "P7.memory"}
    assert done.stderr == ""
    assert done.returncode == ("MISSED" in done.stdout)
    keys = {key for key in GOALS if key.partition(".")[0] == name} - at_full_size
    assert set(re.findall(r"^([PM]\w*\.\w+) ", done.stdout, re.MULTILINE)) == keys


def test_a_measurement_can_be_repeated_in_one_run(bench: RunBench):
    names = ("P1", "P3", "P4", "P5")
    done = bench("--only", *names, *names, "--sizes", "100", "--rounds", "1")

    assert done.stderr == ""
    assert len(re.findall(r"^P4\.replay ", done.stdout, re.MULTILINE)) == 2


def test_a_measured_command_that_fails_is_shown_with_its_message(bench: RunBench, environments: Path):
    program = environments / "ours" / "bin" / "maestro-es"
    works = program.read_text()
    program.write_text("#!/bin/sh\necho something is broken >&2\nexit 7\n")
    try:
        done = bench("--only", "P1")
    finally:
        program.write_text(works)

    assert done.returncode == 1
    assert re.fullmatch(r"P1 +FAILED: \S+/maestro-es run .*: exit code 7\nsomething is broken\n\n", done.stderr)
    assert done.stdout.endswith("bench: FAILED: P1\n")


def test_a_size_that_is_no_study_is_refused(bench: RunBench):
    done = bench("--sizes", "1")

    assert done.returncode == 2
    assert "1: write a number of steps or events, at least 10" in done.stderr
