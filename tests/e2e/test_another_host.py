"""A local step whose host is another one than that of the ticks: hosts of their own names, by UTS namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under

SPEC = """\
description: {name: otherhost, description: d}
study:
- {name: a, description: d, run: {cmd: "sleep 300"}}
"""

OTHER = "otherhost"


def _there(words: list[str], where: Path) -> str:
    """Run maestro-es on a host that is called otherhost."""
    script = f'hostname {OTHER} && exec "$@"'
    command = ["unshare", "--uts", "sh", "-c", script, "sh", sys.executable, "-m", "maestro_es", *words]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in done.stderr and "CI" not in os.environ:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done
    return done.stdout


def test_why_says_which_host_must_tick(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(SPEC)
    study = tmp_path / "s"
    _there(["run", "-y", "-o", "s", "study.yaml"], tmp_path)
    end_all_under(tmp_path)
    assert maestro_es("tick", study).returncode == 0

    here = os.uname().nodename
    said = maestro_es("why", study, "a").stdout.splitlines()[0]
    sees = f"on {OTHER}; only a tick on {OTHER} can see whether it is still running"
    assert f"{sees}, but the last tick ran on {here}: " in said
    assert said.endswith(
        f"run 'maestro-es tick {study}' there; if that host or container is gone for good, "
        f"use 'maestro-es retry {study} a --lost'"
    )

    said = _there(["why", str(study), "a"], tmp_path).splitlines()[0]
    assert said.endswith(
        f"; its process has ended, but the last tick ran on {here}, which can't see that: "
        f"run 'maestro-es tick {study}' here"
    )
    _there(["tick", str(study)], tmp_path)
    assert "its process has ended" not in _there(["why", str(study), "a"], tmp_path)

    _there(["cancel", "-y", str(study)], tmp_path)
    end_all_under(tmp_path)
