"""The short form of `tools/kill-matrix`: ticks and commands are killed, and calls of commands fail."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.faults import NOT_TRIED
from tools.kill_matrix.campaign import Campaign
from tools.kill_matrix.clusters import SCHEDULERS


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory where daemons of other users may look."""
    made = Path(tempfile.mkdtemp(prefix="kills-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("variable", SCHEDULERS, ids=lambda name: SCHEDULERS[name].kind)
def test_nothing_is_lost_or_run_twice_whatever_is_killed(folder: Path, variable: str):
    if not os.environ.get(variable):
        pytest.skip(f"{NOT_TRIED}: {variable} is not set")
    campaign = Campaign(folder, SCHEDULERS[variable].kind, kills=30, workers=2, seed=1)
    said: list[str] = []
    campaign.say = said.append
    campaign.run()

    assert campaign.good, said
    assert campaign.kills.total() >= 30
