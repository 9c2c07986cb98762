"""``wait`` waits for studies that other processes advance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

STUDY = """\
description: {name: slow, description: d}
study:
- {name: slow, description: d, run: {cmd: "touch ready; until [ -e go ]; do sleep 0.1; done; exit $(cat go)"}}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study whose only step runs until its file `go` exists, and ends with the exit code in it."""
    (tmp_path / "slow.yaml").write_text(STUDY)
    assert maestro_es("run", "-y", "-o", "s", "slow.yaml", cwd=tmp_path).returncode == 0
    wait_for((tmp_path / "s/slow/ready").exists)
    return tmp_path / "s"


def end(study: Path, code: str) -> None:
    (study / "slow/code").write_text(code)
    (study / "slow/code").rename(study / "slow/go")


@pytest.mark.parametrize(("code", "expected"), [("0", 0), ("3", 2)])
def test_it_ends_with_the_study_and_its_exit_code(study, code, expected):
    with subprocess.Popen([sys.executable, "-m", "maestro_es", "wait", "s"], cwd=study.parent) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        end(study, code)
        assert waiting.wait(60) == expected
    assert maestro_es("wait", "s", "s", cwd=study.parent).returncode == expected


def test_a_cancelled_study_gives_3(study):
    assert maestro_es("cancel", "-y", "s", cwd=study.parent).returncode == 0
    assert maestro_es("wait", "s", cwd=study.parent).returncode == 3


def test_the_time_may_be_limited(study):
    ran = maestro_es("wait", "s", "--timeout", "0", cwd=study.parent)
    assert (ran.returncode, ran.stdout) == (75, "")
    assert ran.stderr == "maestro-es: the time is up; still running: s\n"
    end(study, "0")


def test_it_runs_no_tick(study):
    before = (study / "events.db").read_bytes()
    assert maestro_es("wait", "s", "--timeout", "1", cwd=study.parent).returncode == 75
    assert (study / "events.db").read_bytes() == before
    end(study, "0")
