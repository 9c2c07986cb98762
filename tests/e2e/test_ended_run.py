"""A ``run`` that is ended while it creates a study leaves nothing that a user must remove."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

STEPS = 30_000


def started(
    place: Path, *words: str | Path, steps: int = STEPS, stderr: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a run of many steps below `place`, and wait until it stores them."""
    spec = place / "many.yaml"
    values = ", ".join(map(str, range(steps)))
    spec.write_text(
        "description: {name: many, description: many steps}\n"
        f"env: {{variables: {{OUTPUT_PATH: {place / 'runs'}}}}}\n"
        "study: [{name: a, description: d, run: {cmd: 'true $(N)'}}]\n"
        f"global.parameters: {{N: {{values: [{values}], label: N.%%}}}}\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "maestro_es", "run", "-y", "--dry", *words, spec],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
    )
    wait_for(lambda: [*place.glob("**/events.db.new")], seconds=60)
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_while_a_study_is_created_leaves_nothing(tmp_path: Path, number: signal.Signals):
    run = started(tmp_path)
    os.kill(run.pid, number)

    code = run.wait(60)
    if code == 0:  # the signal came too late, and the study is complete
        assert maestro_es("verify", *(tmp_path / "runs").iterdir()).returncode == 0
        return
    assert code in {128 + number, -number}  # a shell shows the same for both
    assert [path.name for path in tmp_path.iterdir()] == ["many.yaml"]


def test_what_a_killed_run_leaves_is_removed_by_the_next_one(tmp_path: Path):
    run = started(tmp_path)
    run.kill()
    run.wait()
    [abandoned] = (tmp_path / "runs").iterdir()
    (tmp_path / "runs" / "many_20010101-000000").mkdir()  # of a user

    assert maestro_es("run", "-n", tmp_path / "many.yaml").returncode == 0
    assert not abandoned.exists()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["many_20010101-000000"]


def test_what_a_user_has_added_to_an_abandoned_directory_is_kept(tmp_path: Path):
    run = started(tmp_path)
    run.kill()
    run.wait()
    [abandoned] = (tmp_path / "runs").iterdir()
    (abandoned / "notes").touch()

    assert maestro_es("run", "-n", tmp_path / "many.yaml").returncode == 0
    assert (abandoned / "notes").exists()


def test_the_progress_of_a_long_creation_is_shown_on_a_terminal_only(tmp_path: Path):
    ours, theirs = pty.openpty()
    run = started(tmp_path, "-o", tmp_path / "out", steps=60_000, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 4096)

    run.kill()
    run.wait()
    os.close(ours)
    assert shown.startswith(b"\r\x1b[Kcreating the study: ")
    assert b" of 60,000 steps" in shown
