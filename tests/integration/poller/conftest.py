"""Fixtures for studies with real ticks: SQLite files, processes, and faults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maestro_es.core.model import Settings
from maestro_es.study import maintenance
from tools.testbed.studies import Bench


def pytest_runtest_setup() -> None:
    """Skip the tests of this directory if there is no /proc."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")


@pytest.fixture(autouse=True)
def _own_home(own_home: Path) -> None:
    """Give each test a separate home, and end its processes afterwards."""


@pytest.fixture
def hasty_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten two waits of runners to a fraction of a second: before a kill, and before the next try to report."""
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
