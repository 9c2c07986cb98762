"""The crash matrix notices a broken program: for each promise one that breaks it, under a fault of the matrix."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tools.crash_matrix.campaign import REPOSITORY, read_row
from tools.crash_matrix.sabotage import SABOTAGES
from tools.crash_matrix.trial import Task


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_program_that_breaks_a_promise_is_noticed(name: str, tmp_path_factory: pytest.TempPathFactory):
    sabotage = SABOTAGES[name]
    folder: Path = tmp_path_factory.mktemp("x")
    task = Task(sabotage.fault, "", seed=1, sabotage=name, seconds=8)
    trial = ["unshare", "--mount", sys.executable, "-m", "tools.crash_matrix.trial", str(folder)]

    done = subprocess.run(
        trial, input=json.dumps(asdict(task)), capture_output=True, text=True, cwd=REPOSITORY, check=True
    )

    row = read_row(done.stdout)
    assert not row.error
    assert row.tried
    assert row.outcome[sabotage.shows_as], row


def test_each_promise_has_a_program_that_breaks_it():
    assert {sabotage.shows_as for sabotage in SABOTAGES.values()} == {"lost", "doubled", "wrongly_failed", "broken"}
