"""``run --wait`` killed at any moment: what it leaves is no study yet, or one that ticks bring to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.core.events import JobSubmitted
from maestro_es.core.model import StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.store.verification import verify
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es

SPEC = """
description: {name: many, description: short steps}
env: {variables: {SIGN: 'echo $MAESTRO_ES_TOKEN >> $(OUTPUT_PATH)/ledger'}}
study:
    - {name: first, description: d, run: {cmd: $(SIGN)}}
    - {name: many, description: d, run: {cmd: '$(SIGN) # $(N)', depends: [first]}}
    - {name: last, description: d, run: {cmd: $(SIGN), depends: [many_*]}}
global.parameters:
    N: {values: [VALUES], label: N.%%}
""".replace("VALUES", ", ".join(map(str, range(60))))


def _killed_run(root: Path, spec: Path, after: float) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "maestro_es", "run", "-y", "--wait", "-o", root, spec],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()


@pytest.mark.parametrize("after", [0.05, 0.15, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0, 1.5])
def test_a_killed_run_leaves_no_study_or_one_that_ticks_finish(tmp_path, after):
    spec = tmp_path / "many.yaml"
    spec.write_text(SPEC)
    root = tmp_path / "study"
    _killed_run(root, spec, after)
    if not (root / "events.db").exists():
        assert maestro_es("run", "-y", "--wait", "-o", root, spec).returncode == 0
    deadline = time.monotonic() + 150
    with Session(root) as study:
        while study.status is StudyStatus.RUNNING and time.monotonic() < deadline:
            tick(study)
            time.sleep(0.02)
        assert study.status is StudyStatus.FINISHED
        verify(study.log)
        submitted = [r.event.token for r in study.log.events() if isinstance(r.event, JobSubmitted)]
    ledger = (root / "ledger").read_text().split()
    assert len(ledger) >= 62
    assert sorted(ledger) == sorted(set(ledger))
    assert set(ledger) <= set(submitted)
