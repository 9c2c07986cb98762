"""What a step has used is in the log and on the screen: `run --wait` measures it, and otherwise the runner."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

BYTES = 200_000_000
STUDY = f"""
description: {{name: use, description: d}}
batch: {{type: local}}
study:
  - name: big
    description: needs memory and time
    run:
      cmd: |
        {sys.executable} -c '
        import time
        memory = b"1" * {BYTES}
        while time.process_time() < 0.3: pass
        '
        exit 3
      walltime: "00:10:00"
"""


@pytest.mark.parametrize("wait", [["--wait"], []], ids=["measured by run --wait", "measured by the runner"])
def test_what_a_local_step_has_used_is_recorded_with_its_end_and_shown(tmp_path: Path, wait: list[str]):
    (tmp_path / "use.yaml").write_text(STUDY)
    maestro_es("run", "-y", *wait, "-o", "use", "use.yaml", cwd=tmp_path)

    step: dict[str, Any] = wait_for(lambda: ended(tmp_path))

    used = step["usage"]
    assert used["memory"] > BYTES
    assert 0.3 <= used["cpu_seconds"] < 60
    assert (used["nodes"], used["walltime_seconds"]) == (1, 600)
    [row] = json.loads(maestro_es("query", "use", "SELECT * FROM v_attempt", "--json", cwd=tmp_path).stdout)
    assert {name: row[name] for name in used} == used
    shown = maestro_es("show", "use", "big", cwd=tmp_path).stdout
    [line] = [line for line in shown.splitlines() if line.startswith("Used:")]
    assert "MiB of memory, 1 node" in line
    columns = ("--columns", "step,cpu,memory,nodes,node-hours")
    assert "MiB" in maestro_es("status", "use", "big", *columns, cwd=tmp_path).stdout
    assert not list((tmp_path / "use/.maestro-es/inbox").iterdir())


@pytest.mark.parametrize("wait", [["--wait"], []], ids=["measured by run --wait", "measured by the runner"])
def test_a_small_step_does_not_get_the_memory_of_the_process_that_started_it(tmp_path: Path, wait: list[str]):
    study = "description: {name: s, description: d}\nstudy: [{name: big, description: d, run: {cmd: exit 3}}]\n"
    (tmp_path / "use.yaml").write_text(study)
    maestro_es("run", "-y", *wait, "-o", "use", "use.yaml", cwd=tmp_path)

    step: dict[str, Any] = wait_for(lambda: ended(tmp_path))

    memory = step["usage"]["memory"]
    assert memory is None if wait else memory < 16 * 2**20


def ended(folder: Path) -> dict[str, Any] | None:
    """Return the step once it has ended and what it used is known."""
    step = json.loads(maestro_es("show", "use", "big", "--json", cwd=folder).stdout)
    return step if step["state"] == "FAILED" and step["usage"] else None
