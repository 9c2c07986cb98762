"""Modules of a user's that are called like ours, wherever Python would find them: none is ever imported."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.testbed.processes import end_all_under, wait_for

ROOT = Path(__file__).parents[2]
PACKAGES = Path(site.getsitepackages()[0])

#: What cron's own command does, as far as it is used here.
CRONTAB = """#!/bin/sh
if [ "$1" != -l ]; then exec cp "$1" {folder}/tab; fi
if ! cat {folder}/tab 2>/dev/null; then echo 'no crontab for me' >&2; exit 1; fi
"""

CHAIN = """
description: {name: chain, description: d}
study:
    - {name: a, description: d, run: {cmd: 'cp -r $(SPECROOT)/traps/. .'}}
    - {name: b, description: d, run: {cmd: 'echo done > done', depends: [a]}}
"""

GENERATOR = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from maestrowf.datastructures.core import ParameterGenerator
import neighbour
import sqlite_utils
assert sqlite_utils.NAME == 'the user has a module of this name'

def get_custom_generator(env, **kwargs):
    import in_pythonpath
    generator = ParameterGenerator()
    generator.add_parameter("P", [neighbour.FIRST, in_pythonpath.SECOND], "P.%%")
    return generator
"""


def modules(*words: str, cwd: Path, python: str = sys.executable) -> set[str]:
    """Return what a command imports, by the names that a file in a directory could have."""
    done = subprocess.run(
        [python, "-X", "importtime", *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    names = [line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line]
    return set(names) - {"imported package", "maestro_es"}


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A directory with a module of every name that our commands import: each notes that it was run, and fails."""
    folder, study = tmp_path / "traps", tmp_path / "study.yaml"
    folder.mkdir()
    study.write_text(CHAIN)
    commands = [
        ["run", "-y", "-o", "first", str(study)],
        ["tick", "first"],
        ["status", "first"],
        ["validate", str(study)],
    ]
    names = set.union(*(modules("-m", "maestro_es", *words, cwd=tmp_path) for words in commands))
    assert {"click", "json", "msgspec", "signal", "sqlite3", "types", "yaml"} <= names
    wait_for((tmp_path / "first/b/done").exists)
    for name in names:
        note = f"open({str(tmp_path / 'sprung')!r}, 'a').write({name!r} + '\\n')"
        (folder / f"{name}.py").write_text(f"{note}\nraise RuntimeError('a module of the user')\n")
    return folder


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    command = tmp_path / "bin/crontab"
    command.parent.mkdir()
    command.write_text(CRONTAB.format(folder=tmp_path))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    yield
    end_all_under(tmp_path)


def sprung(tmp_path: Path) -> list[str]:
    note = tmp_path / "sprung"
    return note.read_text().split() if note.exists() else []


def command(*words: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_next_tick_imports_nothing_from_a_workspace(tmp_path, traps):
    done = command("maestro-es", "run", "-y", "-o", "study", "study.yaml", cwd=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    wait_for((tmp_path / "study/b/done").exists)
    assert (tmp_path / "study/a/sqlite3.py").exists()
    assert sprung(tmp_path) == []


def test_the_line_of_the_crontab_imports_nothing_from_home(tmp_path, traps):
    assert command("maestro-es", "cron", "install", cwd=tmp_path).returncode == 0
    [line] = [line for line in (tmp_path / "tab").read_text().splitlines() if "tick" in line]
    done = command("/bin/sh", "-c", line.removeprefix("* * * * * "), cwd=traps, HOME=str(traps))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sprung(tmp_path) == []


@pytest.mark.parametrize("words", ["tick first", "validate study.yaml", "status first", "run -y -o second study.yaml"])
@pytest.mark.parametrize("start", ["module", "script"])
def test_a_command_imports_nothing_from_the_current_directory_or_pythonpath(tmp_path, traps, words, start):
    """What Python imports before our first line comes from PYTHONPATH, like in any program."""
    early = modules("-c", "import maestro_es.__main__", cwd=tmp_path)
    for name in early:
        (traps / f"{name}.py").unlink(missing_ok=True)
    assert (traps / "sqlite3.py").exists()
    maestro_es = [sys.executable, "-m", "maestro_es"] if start == "module" else ["maestro-es"]
    arguments = [
        str(tmp_path / word) if "." in word or word in {"first", "second"} else word for word in words.split()
    ]
    done = command(*maestro_es, *arguments, cwd=traps, PYTHONPATH=str(traps))
    assert (done.stderr, done.returncode) == ("", 0)
    assert sprung(tmp_path) == []


def test_a_parameter_generator_imports_what_the_user_has_and_leaves_none_of_it(tmp_path):
    (tmp_path / "study.yaml").write_text(
        CHAIN.replace("run: {cmd: 'cp -r $(SPECROOT)/traps/. .", "run: {cmd: 'echo $(P)")
    )
    (tmp_path / "pgen.py").write_text(GENERATOR)
    (tmp_path / "neighbour.py").write_text("FIRST = 'one'\n")
    (tmp_path / "sqlite_utils.py").write_text("NAME = 'the user has a module of this name'\n")
    (tmp_path / "path").mkdir()
    (tmp_path / "path/in_pythonpath.py").write_text("SECOND = 'two'\n")
    words = ("maestro-es", "run", "-y", "-o", "study", "-p", "pgen.py", "study.yaml")
    done = command(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path / "path"))
    assert (done.stderr, done.returncode) == ("", 0)
    shown = command("maestro-es", "status", "study", "--csv", cwd=tmp_path).stdout
    assert "a_P.one" in shown
    assert "a_P.two" in shown


def _interpreter() -> str:
    """Return the interpreter that this environment was made from, which does not know of maestro-es."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _install(folder: Path) -> None:
    """Put maestro-es into a directory as pip does."""
    shutil.copytree(ROOT / "maestro_es", folder / "maestro_es", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "schema", folder / "maestro_es/schema")
    (folder / "maestro_es-0.1.0.dist-info").mkdir()


def _install_dependencies(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in PACKAGES.iterdir():
        if not entry.name.endswith(".pth") and "maestro_es" not in entry.name:
            (folder / entry.name).symlink_to(entry)


@pytest.mark.parametrize("how", ["pythonpath", "user site", "editable in the user site"])
def test_an_installation_in_a_place_of_the_user_works_everywhere(tmp_path, traps, how):
    python, env = _interpreter(), {"HOME": str(tmp_path)}
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = tmp_path / ".local/lib" / version / "site-packages"
    if how == "pythonpath":
        _install(tmp_path / "apps/ours")
        _install_dependencies(tmp_path / "apps/others")
        env = {"PYTHONPATH": f"{traps}:{tmp_path}/apps/ours:{tmp_path}/apps/others", "PYTHONNOUSERSITE": "1"}
        for name in modules("-m", "this_module_is_not_there", cwd=tmp_path, python=python):
            (traps / f"{name}.py").unlink(missing_ok=True)
    elif how == "user site":
        _install_dependencies(folder)
        _install(folder)
    else:
        _install_dependencies(folder)
        for entry in PACKAGES.glob("*maestro_es*"):
            (folder / entry.name).symlink_to(entry)
    done = command(python, "-m", "maestro_es", "run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml",
                   cwd=ROOT.parent, **env)  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    wait_for((tmp_path / "study/b/done").exists)
    assert command(python, "-m", "maestro_es", "cron", "install", cwd=ROOT.parent, **env).returncode == 0
    [line] = [line for line in (tmp_path / "tab").read_text().splitlines() if "tick" in line]
    done = command("/bin/sh", "-c", line.removeprefix("* * * * * "), cwd=traps, HOME=str(traps))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sprung(tmp_path) == []
