"""A log that is lost while jobs wait and run on a real Slurm, made again from an older export."""

from __future__ import annotations

import collections
import time
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.creation.recover import recover
from maestro_es.poller.tick import tick
from maestro_es.store.log_export import ExportReader
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es

STUDY = """
description: {name: study, description: a study whose log is lost}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
  - {name: sim, description: d, run: {procs: 1, cmd: 'echo $MAESTRO_ES_TOKEN >> "$(OUTPUT_PATH)/ledger"; sleep $(N)'}}
  - name: post
    description: d
    run: {procs: 1, cmd: 'echo $MAESTRO_ES_TOKEN >> "$(OUTPUT_PATH)/ledger"', depends: [sim]}
  - name: end
    description: d
    run: {procs: 1, cmd: 'echo $MAESTRO_ES_TOKEN >> "$(OUTPUT_PATH)/ledger"', depends: [post_*]}
global.parameters: {N: {values: [0, 1, 3, 2], label: N.%%}}
"""


def go_on(root: Path, seconds: float) -> StudyStatus:
    """Tick for so long, or to the study's end."""
    deadline = time.monotonic() + seconds
    with Session(root) as study:
        while study.status is StudyStatus.RUNNING and time.monotonic() < deadline:
            tick(study)
            time.sleep(0.2)
        verify(study.log)
        return study.status


@pytest.mark.parametrize("seconds", [0.5, 4.0])
@pytest.mark.parametrize("kind", ["cluster", "accounting_cluster"])
@pytest.mark.parametrize("table", [True, False], ids=["with status.csv", "without"])
def test_no_job_runs_twice_and_each_step_runs(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, seconds: float, *, table: bool
):
    request.getfixturevalue(kind)
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(STUDY)
    assert maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml").returncode == 0
    go_on(root, 0.1)
    assert maestro_es("export", root, "-o", tmp_path / "log.jsonl").returncode == 0
    go_on(root, seconds)
    (root / "events.db").unlink()
    if not table:
        (root / "status.csv").unlink()

    plan = recover(ExportReader(tmp_path / "log.jsonl"), root, Runtime(), "the disk died")

    assert "held" not in {found.becomes for found in plan.recoveries}
    assert go_on(root, 90) is StudyStatus.FINISHED
    tokens = (root / "ledger").read_text().split()
    assert len(set(tokens)) == len(tokens)
    assert collections.Counter(int(token.split("-")[1]) for token in tokens) == dict.fromkeys(range(1, 10), 1)


def test_a_job_that_waits_in_the_queue_is_found_by_the_token_on_its_command_line(cluster, tmp_path):
    root = tmp_path / "a study"
    (tmp_path / "study.yaml").write_text(STUDY.replace("[0, 1, 3, 2]", "[0]"))
    assert maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml").returncode == 0
    assert maestro_es("export", root, "-o", tmp_path / "log.jsonl").returncode == 0
    lines = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
    added = max(index for index, text in enumerate(lines) if '"type":"StepAdded"' in text)
    (tmp_path / "log.jsonl").write_text("".join(lines[: added + 1]))
    go_on(root, 0.1)
    (root / "events.db").unlink()

    plan = recover(ExportReader(tmp_path / "log.jsonl"), root, Runtime(), "")

    assert plan.recoveries[0].becomes in {"adopted", "FINISHED"}
    assert go_on(root, 60) is StudyStatus.FINISHED
    with Session(root) as study:
        [lost] = [recorded.event for recorded in study.log.events() if isinstance(recorded.event, e.LogRecovered)]
    assert lost.head == plan.head
    tokens = (root / "ledger").read_text().split()
    assert len(set(tokens)) == len(tokens) == 3
