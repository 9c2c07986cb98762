"""A secret of the environment of a study gets into its one private file, and nowhere else."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under, wait_for

SPEC = """
description: {name: secret, description: a study that fails, is refused and is repaired}
batch: {type: slurm, host: h, bank: b, queue: q}
study:
    - {name: near, description: d, run: {cmd: 'test -n "$API_TOKEN"'}}
    - {name: far, description: d, run: {procs: 1, cmd: 'true', depends: [near]}}
"""

NAMES = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "API_TOKEN", "GITHUB_TOKEN", "HF_TOKEN", "DB_PASSWORD", "PGPASSWORD",
    "SSH_AUTH_SOCK", "KRB5CCNAME", "SLURM_JWT", "MAESTRO_ES_PASSWORD", "SLURM_SECRET", "FLUX_SECURITY_KEY",
)  # fmt: skip

#: What belongs to one login or one job.
LEFT_OUT = {"SSH_AUTH_SOCK", "FLUX_SECURITY_KEY"}


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    """Secrets by their variables; the scheduler's commands, which know them too, say something and fail."""
    found = {name: f"hush{number}{os.urandom(6).hex()}" for number, name in enumerate(NAMES)}
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
        (folder / name).write_text("#!/bin/sh\necho 'no answer' >&2\nexit 1\n")
        (folder / name).chmod(0o755)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield found
    end_all_under(tmp_path)


def test_no_secret_of_the_environment_is_written_anywhere_else(secrets, tmp_path):
    (tmp_path / "secret.yaml").write_text(SPEC)
    study = tmp_path / "study"
    given = f"ALL,GIVEN={secrets['API_TOKEN']}"
    assert maestro_es("run", "-y", "--export", given, "-o", study, tmp_path / "secret.yaml").returncode == 0

    def submitted() -> bool:
        maestro_es("tick", "--all")
        with Session(study) as opened:
            return any(isinstance(recorded.event, e.SubmissionUncertain) for recorded in opened.log.events())

    wait_for(submitted)  # so the step on this host had the secret, and the scheduler's command was called
    for words in (["hold", "far"], ["cancel", "-y"], ["export", "-o", f"{study}/export.jsonl"], ["verify"]):
        assert maestro_es(words[0], study, *words[1:]).returncode in (0, 75), words
    with Session(study) as opened:
        assert opened.status is StudyStatus.RUNNING
        recorded = opened.graph.study.environment
    [kept] = (study / ".maestro-es").glob("environment.*")
    assert recorded.variables.keys() & set(NAMES) == set(NAMES) - LEFT_OUT
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    assert found_in(tmp_path, "no answer") != []  # so that the search is known to find something
    for name, secret in secrets.items():
        assert found_in(tmp_path, secret) == ([] if name in LEFT_OUT else [str(kept)]), name


def found_in(folder: Path, text: str) -> list[str]:
    """Return the files below a directory that hold a text."""
    done = subprocess.run(["grep", "-rlaF", "--", text, folder], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()
