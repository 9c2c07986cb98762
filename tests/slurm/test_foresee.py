"""What a tick would do with a real Slurm: the commands are those that are run then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from maestro_es.core import requests
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tools.testbed.foreseen import picture
from tools.testbed.processes import wait_for

STUDY = """
description: {name: study, description: "a study, on Slurm"}
batch: {type: slurm, host: here, bank: mine, queue: debug, args: {nice: 10}}
study:
    - {name: first, description: d, run: {cmd: "true", procs: 1, walltime: "00:05:00"}}
    - {name: a long one, description: it's the second, run: {cmd: sleep 60, nodes: 1, procs: 1, depends: [first]}}
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have each call of sbatch and scancel written down, one a line, and in `queries` those of squeue and sacct."""
    folder = tmp_path / "bin"
    folder.mkdir()
    files = {"sbatch": "calls", "scancel": "calls", "squeue": "queries", "sacct": "queries"}
    for name, file in files.items():
        real = shutil.which(name)
        note = f"{{ printf '{name}'; printf '\\t%s' \"$@\"; echo; }} >>'{tmp_path}/{file}'"
        (folder / name).write_text(f'#!/bin/sh\n{note}\nexec {real} "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "calls"


def looked_ahead(root: Path, *words: str) -> dict[str, Any]:
    """Return what the next tick would do; nothing of the study has changed."""
    before = picture(root)
    done = maestro_es("tick", "--dry", "--json", *words, root)
    assert picture(root) == before
    assert done.returncode == 0, done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def take_queries(folder: Path) -> int:
    """Return how many queries were written down, and forget them."""
    count = (folder / "queries").read_text().count("\n")
    (folder / "queries").write_text("")
    return count


def kinds(found: dict[str, Any]) -> list[tuple[str | None, str]]:
    return [(event["step"], event["type"]) for event in found["events"]]


@pytest.mark.usefixtures("cluster")
def test_sbatch_and_scancel_are_called_as_foreseen(tmp_path: Path, calls: Path):
    (tmp_path / "study.yaml").write_text(STUDY)
    root = tmp_path / "study"
    assert maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml").returncode == 0
    wait_for(lambda: any(".exit.0" in path.name for path in (root / ".maestro-es" / "inbox").iterdir()))
    wait_for(lambda: subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout == b"")
    assert kinds(looked_ahead(root, "--what-if", "paused=yes"))[-1] == ("first", "StepFinished")

    found = looked_ahead(root)
    assert kinds(found)[-1] == ("a long one", "SubmissionRequested")
    assert maestro_es("tick", root).returncode == 0
    submitted = calls.read_text().splitlines()[-1].split("\t")
    [command] = found["commands"]
    token = submitted[-4]
    assert command["step"] == "a long one"
    assert command["argv"] == [word.replace(token, f"{token.rpartition('-')[0]}-dry") for word in submitted]

    with Session(root) as study:
        study.request(requests.cancel)
    wait_for(lambda: b" R " in subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout)
    wait_for(lambda: any(".started" in path.name for path in (root / ".maestro-es" / "inbox").iterdir()))
    take_queries(tmp_path)
    [ending] = looked_ahead(root)["commands"]
    asked = take_queries(tmp_path)
    calls.unlink()
    assert maestro_es("tick", root).returncode == 0
    assert 1 <= asked <= take_queries(tmp_path)
    assert ending["argv"] == calls.read_text().splitlines()[0].split("\t")
