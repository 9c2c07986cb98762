"""Maestro's own ``status``, ``cancel`` and ``update`` on our study directories, as users type them."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import time
from pathlib import Path
from typing import TypeVar

import pytest

from maestro_es.core import events as e
from maestro_es.core.file_names import CANCEL, UPDATE
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es

Kind = TypeVar("Kind", bound=e.Event)

pytest.importorskip("maestrowf", reason="compares with Maestro itself")

SPEC = """
description: {name: clients, description: seen by Maestro}
study:
    - {name: fine, description: d, run: {cmd: 'echo $(N)'}}
    - {name: wrong, description: d, run: {cmd: 'exit 3', depends: [fine_*]}}
    - {name: never, description: d, run: {cmd: 'true', depends: [wrong]}}
global.parameters:
    N: {values: ['1,2', '3'], label: N.%%}
    M: {values: ['a', 'b'], label: M.%%}
"""

LONG = """
description: {name: long, description: d}
study:
    - {name: first, description: d, run: {cmd: 'sleep 60', restart: 'true'}}
    - {name: second, description: d, run: {cmd: 'true', depends: [first]}}
"""


def maestro(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``maestro`` with these arguments to its end."""
    return subprocess.run(
        ["maestro", *map(str, words)],
        env={**os.environ, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


def _launch(folder: Path, spec: str, *words: str) -> Path:
    (folder / "spec.yaml").write_text(spec)
    done = maestro_es("run", "-y", *words, "-o", folder / "study", folder / "spec.yaml")
    assert done.returncode in (0, 2), done
    return folder / "study"


@pytest.fixture
def running(tmp_path):
    """A study whose first step takes long."""
    study = _launch(tmp_path, LONG)
    yield study
    maestro_es("cancel", "-y", study)


# -- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["flat", "legacy", "narrow"])
def test_maestros_status_shows_our_table_in_each_layout(tmp_path, layout):
    study = _launch(tmp_path, SPEC, "--wait")

    shown = maestro("status", "--layout", layout, "--disable-theme", "--disable-pager", study)

    assert shown.returncode == 0, shown
    for words in ("fine_N.3", "wrong", "never", "FINISHED", "FAILED", str(study)):
        assert words in shown.stdout
    assert shown.stdout.count("FINISHED") == 2
    assert shown.stdout.count("FAILED") == 2


@pytest.mark.parametrize("layout", ["flat", "legacy", "narrow"])
def test_a_comma_in_a_parameter_is_shown_by_maestros_status(tmp_path, layout):
    study = _launch(tmp_path, SPEC, "--wait")

    shown = maestro("status", "--layout", layout, "--disable-theme", "--disable-pager", study)

    assert "fine_N.1\u201a2" in shown.stdout
    exact = maestro_es("status", "--json", study)
    assert "fine_N.1,2" in [step["name"] for step in json.loads(exact.stdout)["steps"]]


# -- cancel -----------------------------------------------------------------------------------------------------------


def _events(study: Path, kind: type[Kind]) -> list[Kind]:
    with Session(study) as opened:
        return [recorded.event for recorded in opened.log.events() if isinstance(recorded.event, kind)]


def _tick_until(study: Path, word: str) -> None:
    end = time.monotonic() + 120
    while word not in maestro_es("status", "--summary", study).stdout:
        assert time.monotonic() < end, maestro_es("status", study).stdout
        maestro_es("tick", study)
        time.sleep(0.1)


def test_maestros_cancel_cancels_our_study_and_the_log_says_who_did(running):
    asked = maestro("cancel", "-y", running)

    assert asked.returncode == 0, asked
    assert (running / CANCEL).exists()
    _tick_until(running, "CANCELLED")
    assert not (running / CANCEL).exists()
    [request] = _events(running, e.CancelRequested)
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert request.reason.startswith(f"Maestro's request file .cancel.lock, left by {user} at 20")


def test_maestros_cancel_of_a_study_that_has_ended_is_refused_in_one_line(tmp_path):
    study = _launch(tmp_path, SPEC, "--wait")
    maestro("cancel", "-y", study)

    said = maestro_es("tick", study)

    assert said.stderr.count("\n") == 1
    assert f"{study}/.cancel.lock: refused: the study has ended (FAILURE)" in said.stderr
    assert not (study / CANCEL).exists()
    assert not _events(study, e.CancelRequested)


# -- update -----------------------------------------------------------------------------------------------------------


def test_maestros_update_changes_our_settings(running):
    asked = maestro("update", running, "--throttle", "7", "--rlimit", "4")

    assert (running / UPDATE).exists(), asked
    assert maestro_es("tick", running).returncode == 0
    assert not (running / UPDATE).exists()
    changes = {event.what: (event.after, event.reason) for event in _events(running, e.SettingsChanged)}
    assert {what: after for what, (after, _) in changes.items()} == {"submission_throttle": 7, "restart_limit": 4}
    assert all(".study.update.lock, left by" in reason for _, reason in changes.values())


def test_garbage_in_maestros_update_file_is_one_line_and_moved_aside(running):
    (running / UPDATE).write_text("{throttle: [1, 2")

    said, after = maestro_es("tick", running), maestro_es("tick", running)

    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "it is not YAML" in said.stderr
    assert (running / f"{UPDATE}.bad").read_text() == "{throttle: [1, 2"
    assert (after.returncode, after.stderr) == (0, "")
