"""Fixtures for studies that are ticked for real: SQLite files, processes, and faults."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.adapters import process
from maestro_es.core.model import Settings
from maestro_es.poller import state_dir
from tests.fakes.processes import end_all_under
from tests.fakes.studies import Bench


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="looks into /proc"))


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield
    end_all_under(tmp_path)
    process.reap()


@pytest.fixture
def hasty_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runners wait for a fraction of a second before they kill what they have told to end, and report again."""
    text = state_dir._RUNNER.read_text()
    for slow, fast in (("kill_wait=10", "kill_wait=0.2"), ("in 0 1 2 4 8;", "in 0 0.1 0.2;")):
        assert slow in text
        text = text.replace(slow, fast)
    hasty = tmp_path / "hasty-runner.sh"
    hasty.write_text(text)
    monkeypatch.setattr(state_dir, "_RUNNER", hasty)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a study whose steps are local."""
    return Bench(tmp_path / "a study")


@pytest.fixture
def cluster(tmp_path: Path) -> Bench:
    """Return a study whose scheduled steps go to the fake scheduler."""
    adapter = {"type": "fake", "folder": str(tmp_path / "scheduler")}
    return Bench(tmp_path / "a study", adapter=adapter, settings=Settings(submission_attempts=3))
