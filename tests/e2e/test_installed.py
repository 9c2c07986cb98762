"""What the README's installation gives a user, and what it leaves alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Installed

pytestmark = pytest.mark.xdist_group("installed")


def _shell(installed: Installed, script: str, where: Path) -> str:
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=where, env=installed.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_runs_a_study_without_the_checkout(installed: Installed, tmp_path: Path):
    (tmp_path / "study.yaml").write_text(
        "description: {name: s, description: d}\nstudy: [{name: a, description: d, run: {cmd: echo hello}}]\n"
    )
    said = _shell(installed, "command -v maestro-es; maestro-es run -y --wait -o out -s 1 study.yaml", tmp_path)

    assert said.splitlines()[0] == f"{installed.home}/.local/bin/maestro-es"
    assert said.splitlines()[-1] == "Study ended: FINISHED"
    assert [file.read_text() for file in (tmp_path / "out" / "a").glob("a.*.out")] == ["hello\n"]


@pytest.mark.parametrize("command", ["python3", "python", "pip", "pip3", "mypy", "sqlite-utils"])
def test_no_other_command_of_the_user_is_another_one_afterwards(installed: Installed, tmp_path: Path, command: str):
    before = f"PATH={installed.path.partition(':')[2]}; command -v {command} || echo none"

    assert _shell(installed, f"command -v {command} || echo none", tmp_path) == _shell(installed, before, tmp_path)
    assert [entry.name for entry in (installed.home / ".local" / "bin").iterdir()] == ["maestro-es"]


def test_the_line_for_cron_names_the_interpreter_of_the_installation(installed: Installed, tmp_path: Path):
    said = _shell(installed, "maestro-es cron show || :", tmp_path)

    assert not said or f"{installed.home}/.local/share/maestro-es/bin/python" in said
