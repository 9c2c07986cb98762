"""The log says what has started each process that wrote to it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.core.model import StudyStatus
from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

STUDY = """
description: {name: study, description: d}
batch: {type: local}
study:
    - {name: first, description: d, run: {cmd: "true"}}
    - {name: second, description: d, run: {cmd: "true", depends: [first]}}
"""


@pytest.fixture(autouse=True)
def _own_home(own_home: Path) -> None:
    """Have a registry of our own."""


def launch(folder: Path, *options: str) -> Path:
    (folder / "study.yaml").write_text(STUDY)
    done = maestro_es("run", "-y", *options, "-o", folder / "study", folder / "study.yaml")
    assert done.returncode == 0, done
    return folder / "study"


def drivers(study: Path) -> list[str]:
    with sqlite3.connect(study / "events.db") as connection:
        return [row[0] for row in connection.execute("SELECT driver FROM v_invocation ORDER BY invocation")]


def test_a_person_launches_a_study_and_its_runners_go_on_with_it(tmp_path):
    study = launch(tmp_path)
    wait_for(lambda: "FINISHED" in maestro_es("status", "--summary", study).stdout.split("Steps")[0])
    assert drivers(study)[0] == "person"
    assert set(drivers(study)[1:]) <= {"person", "runner"}
    assert "runner" in drivers(study)
    shown = maestro_es("history", study, "second").stdout
    assert " (runner)" in shown
    assert "(person)" not in shown
    counted = maestro_es("history", study, "--count-by", "driver").stdout
    assert "runner" in counted
    entries = [json.loads(line) for line in maestro_es("history", study, "--json").stdout.splitlines()]
    assert {entry["driver"] for entry in entries} == {"person", "runner"}


def test_cron_is_told_from_a_person(tmp_path):
    study = launch(tmp_path)
    wait_for(lambda: "FINISHED" in maestro_es("status", "--summary", study).stdout.split("Steps")[0])
    maestro_es("retry", study, "first", "--descendants")
    done = maestro_es("tick", "--all", env={"MAESTRO_ES_BY_CRON": "1"})
    assert done.returncode == 0, done
    assert drivers(study)[-2:] in (["person", "cron"], ["cron", "runner"])
    assert " (cron)" in maestro_es("history", study, "first").stdout


def test_run_that_waits_and_programs_are_told_apart(tmp_path):
    study = launch(tmp_path, "--wait")
    assert set(drivers(study)) == {"run --wait"}

    with ExecutionGraph.create(tmp_path / "made") as graph:
        graph.add_step("a", StudyStep("a", "d", {"cmd": "true"}), "a", 0)
        wait_for(lambda: graph.execute_ready_steps() is StudyStatus.FINISHED)
    assert "program" in drivers(tmp_path / "made")
    assert "run --wait" not in drivers(tmp_path / "made")
