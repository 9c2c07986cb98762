"""A study can be named by its path, its id, the beginning of its id, its name, or "last"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es

STUDY = """\
description: {name: NAME, description: d}
study:
- {name: only, description: d, run: {cmd: "true"}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with the studies `early` in a/one and `late` in a/two, and a directory that is in no study."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "state"))
    (tmp_path / "a").mkdir()
    for name, folder in (("early", "one"), ("late", "two")):
        (tmp_path / f"{name}.yaml").write_text(STUDY.replace("NAME", name))
        assert maestro_es("run", "-y", "--dry", "-o", f"a/{folder}", f"{name}.yaml", cwd=tmp_path).returncode == 0
    return tmp_path


def path_of(name: str | Path, folder: Path, command: str = "status") -> str:
    """Return the path of the study that a name stands for."""
    shown = maestro_es(command, name, "--json", "--summary", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    return str(json.loads(shown.stdout)["study"]["path"])


def ids(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in maestro_es("studies", "--json", cwd=folder).stdout.splitlines()]


def test_each_kind_of_name_stands_for_its_study(home):
    early, late = ids(home)
    one, two = str(home / "a/one"), str(home / "a/two")
    assert [path_of(name, home) for name in ("early", "one", early, early[:8])] == [one] * 4
    assert [path_of(name, home) for name in ("late", "two", late, late[:8], "last")] == [two] * 5


@pytest.mark.parametrize(
    "command",
    [
        ["pause", "late"],
        ["update", "late", "--throttle", "3"],
        ["tick", "late"],
        ["why", "late", "only"],
        ["history", "late"],
        ["verify", "late"],
        ["query", "late", "SELECT 1"],
        ["env", "late"],
        ["tick", "--dry", "late"],
    ],
)
def test_commands_take_names(home, command):
    ran = maestro_es(*command, cwd=home)
    assert ran.returncode == 0 or "the study has ended (FINISHED)" in ran.stderr


def test_a_directory_takes_precedence(home):
    (home / "late").mkdir()
    ran = maestro_es("status", "late", cwd=home)
    assert (ran.returncode, ran.stdout) == (1, "")


def test_a_name_of_two_studies_is_refused(home):
    assert maestro_es("run", "-y", "--dry", "-o", "a/three", "late.yaml", cwd=home).returncode == 0
    ran = maestro_es("status", "late", cwd=home)
    assert ran.returncode == 1
    assert ran.stderr == (
        f"maestro-es: late: 2 studies have this name: {home / 'a/two'}, {home / 'a/three'}; give the path of one\n"
    )


def test_a_name_of_no_study_is_refused(home):
    ran = maestro_es("status", "latest", cwd=home)
    assert ran.returncode == 1
    assert ran.stderr.startswith("maestro-es: latest: there is no such directory, no study has this name")
    assert "latest: there is no such directory" in maestro_es("pause", "latest", cwd=home).stderr
