"""Command lines are completed by real shells: bash always, zsh and fish where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.cli.commands import COMMANDS
from tests.e2e.command import maestro_es

STUDY = """\
description: {name: names, description: d}
study:
- {name: mesh, description: d, run: {cmd: "true"}}
- {name: merge, description: d, run: {cmd: "true"}}
- {name: plot, description: d, run: {cmd: "true"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the command `maestro-es` in bin, the study `waves`, and a list of studies of its own."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "bin").mkdir()
    script = folder / "bin/maestro-es"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m maestro_es "$@"\n')
    script.chmod(0o755)
    (folder / "names.yaml").write_text(STUDY)
    home = {"MAESTRO_ES_HOME": str(folder / "home")}
    assert maestro_es("run", "-y", "--dry", "-o", "waves", "names.yaml", cwd=folder, env=home).returncode == 0
    return folder


#: For each shell, a program that loads the script and prints what it offers for the command line in $LINE.
ASK = {
    "bash": """
        source <(maestro-es completion bash)
        COMP_WORDS=($LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        compopt() { :; }
        _maestro_es_completion maestro-es; printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": 'maestro-es completion fish | source; complete -C "$LINE"',
}


def offered(shell: str, folder: Path, line: str) -> list[str]:
    """Return what a shell offers for a command line."""
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "MAESTRO_ES_HOME": str(folder / "home"), "PATH": path, "LINE": line}
    ran = subprocess.run(
        [shell, "-c", ASK[shell]], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return [text.split("\t")[0] for text in ran.stdout.splitlines()]


@pytest.mark.parametrize("shell", [shell for shell in ASK if shutil.which(shell)])
def test_a_shell_completes_commands_options_studies_and_steps(shell, folder):
    assert offered(shell, folder, "maestro-es hist") == ["history"]
    assert "--attempt" in offered(shell, folder, "maestro-es logs --att")
    assert "waves" in offered(shell, folder, "maestro-es why wav")
    assert offered(shell, folder, "maestro-es why waves me")[:2] == ["merge", "mesh"]


def test_commands_are_offered_with_a_whole_sentence(folder):
    asking = {"_MAESTRO_ES_COMPLETE": "fish_complete", "COMP_WORDS": "maestro-es rec", "COMP_CWORD": "rec"}
    assert maestro_es(env=asking).stdout.strip() == f"plain,recover\t{COMMANDS['recover']}"


def test_nothing_is_offered_where_nothing_can_be_read(folder):
    assert set(offered("bash", folder, "maestro-es why /nowhere/ m")) <= {"m", ""}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell):
    script = maestro_es("completion", shell).stdout
    assert "_MAESTRO_ES_COMPLETE" in script


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_accepts_its_script():
    ran = subprocess.run(
        ["zsh", "-n"], input=maestro_es("completion", "zsh").stdout, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
