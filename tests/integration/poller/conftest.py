"""Fixtures for studies that are ticked for real: SQLite files, processes, and faults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maestro_es.core.model import Settings
from maestro_es.study import maintenance
from tools.testbed.studies import Bench


def pytest_runtest_setup() -> None:
    """Leave the tests of this directory out where there is no /proc."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")


@pytest.fixture(autouse=True)
def _own_home(own_home: Path) -> None:
    """Let each test have a home of its own, and leave nothing behind."""


@pytest.fixture
def hasty_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runners wait for a fraction of a second before they kill what they have told to end, and report again."""
    text = maintenance._RUNNER.read_text()
    for slow, fast in (("kill_wait=10", "kill_wait=0.2"), ("in 0 1 2 4 8;", "in 0 0.1 0.2;")):
        assert slow in text
        text = text.replace(slow, fast)
    hasty = tmp_path / "hasty-runner.sh"
    hasty.write_text(text)
    monkeypatch.setattr(maintenance, "_RUNNER", hasty)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a study whose steps are local."""
    return Bench(tmp_path / "a study")


@pytest.fixture
def cluster(tmp_path: Path) -> Bench:
    """Return a study whose scheduled steps go to the fake scheduler."""
    adapter = {"type": "fake", "folder": str(tmp_path / "scheduler")}
    return Bench(tmp_path / "a study", adapter=adapter, settings=Settings(submission_attempts=3))
