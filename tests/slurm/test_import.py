"""A study that the real Maestro submitted to a real Slurm, whose conductor is killed, and that is taken over."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.maestro import kill_conductor, launch, states
from tools.testbed.processes import wait_for

pytest.importorskip("maestrowf", reason="makes its studies with Maestro itself")

SPEC = """
description: {name: study, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
    - {name: before, description: d, run: {cmd: 'echo before >> $(OUTPUT_PATH)/ledger', procs: 1}}
    - {name: during, description: d, run: {cmd: 'echo during >> $(OUTPUT_PATH)/ledger; WAIT go', procs: 1}}
    - {name: between, description: d, run: {cmd: 'echo between >> $(OUTPUT_PATH)/ledger; WAIT now', procs: 1}}
    - {name: after, description: d, run: {cmd: 'echo after >> $(OUTPUT_PATH)/ledger', depends: [during, between], procs: 1}}
"""  # noqa: E501 - YAML


def _ledger(root: Path) -> Counter[str]:
    try:
        return Counter((root / "ledger").read_text().split())
    except FileNotFoundError:
        return Counter()


@pytest.fixture
def study(cluster, tmp_path, monkeypatch):
    """A study with a step that has ended, one that ended since the conductor's last look, and one that runs."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    text = SPEC
    for word in ("go", "now"):
        text = text.replace(f"WAIT {word}", f"until [ -e $(OUTPUT_PATH)/{word} ]; do sleep 0.1; done")
    (tmp_path / "study.yaml").write_text(text)
    root = tmp_path / "study"
    launch(tmp_path / "study.yaml", root, env={"USER": "root"})
    expected = {"before": "FINISHED", "during": "RUNNING", "between": "RUNNING", "after": "INITIALIZED"}
    wait_for(lambda: states(root) == expected)
    kill_conductor(root)
    (root / "now").touch()
    return root


def _tick_until_ended(root: Path) -> StudyStatus:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert maestro_es("tick", root).returncode in (0, 75)
        with Session(root) as opened:
            if opened.status is not StudyStatus.RUNNING:
                return opened.status
        time.sleep(0.2)
    pytest.fail(maestro_es("status", root).stdout)


def test_jobs_of_maestros_are_adopted_and_none_runs_twice(study):
    taken = maestro_es("import", study)
    assert taken.returncode == 0, taken
    assert taken.stdout.count("adopted") == 2
    (study / "go").touch()

    assert _tick_until_ended(study) is StudyStatus.FINISHED

    assert _ledger(study) == {"before": 1, "during": 1, "between": 1, "after": 1}
    with Session(study) as opened:
        submitted = [r.event for r in opened.log.events() if isinstance(r.event, e.JobSubmitted)]
        assert {step.state for step in opened.graph.steps()} == {State.FINISHED}
    assert sorted(event.adopted for event in submitted) == [False, True, True]
    assert maestro_es("verify", study).returncode == 0


def test_an_adopted_job_is_cancelled_like_any_other(study):
    assert maestro_es("import", study).returncode == 0

    maestro_es("cancel", "-y", study)

    assert _tick_until_ended(study) is StudyStatus.CANCELLED
    with Session(study) as opened:
        found = {step.name: step.state for step in opened.graph.steps()}
    assert found["during"] is State.CANCELLED
    assert found["before"] is State.FINISHED
