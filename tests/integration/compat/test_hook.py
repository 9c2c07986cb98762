"""Programs that import Maestro run unchanged with ours in its place, with or without Maestro installed."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.compat.modules import HOME_OF, MODULES

PROGRAM = """\
import sys
import maestrowf
from maestrowf.datastructures.core import Study
print(Study.__module__, maestrowf.__version__, sys.argv[1:], __name__, sys.path[0])
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "program.py").write_text(PROGRAM)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_program_runs_unchanged(tmp_path: Path):
    done = python("-m", "maestro_es.compat", "programs/program.py", "a", "-b")

    assert done.stdout == f"maestro_es.compat.study 1.2.1 ['a', '-b'] __main__ {tmp_path / 'programs'}\n", done.stderr


def test_a_module_runs_unchanged(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = python("-m", "maestro_es.compat", "-m", "program", "a")

    assert done.stdout.startswith("maestro_es.compat.study 1.2.1 ['a'] __main__ "), done.stderr


def test_a_command_on_the_path_runs_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command = tmp_path / "bin" / "command"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\n{PROGRAM}")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))

    assert python("-m", "maestro_es.compat", "command").stdout.startswith("maestro_es.compat.study 1.2.1 [] ")


def test_a_directory_runs_as_with_python(tmp_path: Path):
    (tmp_path / "programs" / "__main__.py").write_text(PROGRAM)

    assert python("-m", "maestro_es.compat", "programs").stdout.startswith("maestro_es.compat.study 1.2.1 [] ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], ".: there is no such program"),
        ([""], "'': there is no such program"),
        (["-m", "nosuch"], "nosuch: there is no such module"),
        (["-m", "programs"], "programs.__main__: there is no such module"),
        (["-m", "no.such"], "no.such: this module can't be run: No module named 'no'"),
        (["-m", ""], "'': there is no such module"),
        (
            ["-m", "maestrowf"],
            "maestrowf.__main__: this module can't be run: maestro-es has no maestrowf.__main__",
        ),
    ],
)
def test_what_can_not_be_run_is_reported_in_one_line(arguments: list[str], message: str):
    done = python("-m", "maestro_es.compat", *arguments)

    assert (done.stderr, done.returncode) == (f"{message}\n", 1)


def test_one_line_in_a_program_is_enough():
    done = python("-c", f"import maestro_es.compat.as_maestrowf\n{PROGRAM}")

    assert done.stdout.startswith("maestro_es.compat.study 1.2.1"), done.stderr


def test_after_maestro_itself_the_hook_is_refused():
    pytest.importorskip("maestrowf")
    done = python("-c", "import maestrowf.utils, maestro_es.compat.as_maestrowf")

    assert done.stderr.splitlines()[-1] == (
        "ImportError: maestrowf is imported already; import maestro_es.compat.as_maestrowf before the first import of "
        "maestrowf"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import maestrowf.nothing", "ModuleNotFoundError: maestro-es has no maestrowf.nothing"),
        ("from maestrowf import nothing", "ModuleNotFoundError: maestro-es has no maestrowf.nothing"),
        ("from maestrowf.utils import nothing", "ModuleNotFoundError: maestro-es has no maestrowf.utils.nothing"),
        (
            "from maestrowf.datastructures import YAMLSpecification",
            (
                "ModuleNotFoundError: maestro-es has no maestrowf.datastructures.YAMLSpecification, but it has "
                "maestrowf.specification.YAMLSpecification"
            ),
        ),
    ],
)
def test_what_has_no_counterpart_is_one_line(line: str, message: str):
    done = python("-c", f"import maestro_es.compat.as_maestrowf\n{line}")

    assert done.stderr.splitlines()[-1] == message


def test_without_a_program_the_usage_is_shown():
    assert (python("-m", "maestro_es.compat").returncode, python("-m", "maestro_es.compat", "--help").returncode) == (
        2,
        0,
    )
    done = python("-m", "maestro_es.compat", "nowhere.py")
    assert (done.returncode, done.stderr) == (1, "nowhere.py: there is no such program\n")


@pytest.mark.filterwarnings("ignore")  # Maestro's own imports
def test_each_public_module_and_name_of_maestros_has_a_counterpart():
    maestro = pytest.importorskip("maestrowf")
    found = {module.name for module in pkgutil.walk_packages(maestro.__path__, "maestrowf.", lambda _: None)}
    public = {name for name in found if "._" not in name}

    assert public | {"maestrowf"} == {f"maestrowf.{name}".rstrip(".") for name in MODULES}
    for module, names in MODULES.items():
        for name in names:
            assert hasattr(importlib.import_module(f"maestrowf.{module}".rstrip(".")), name)
            assert hasattr(importlib.import_module(HOME_OF[name]), name)
