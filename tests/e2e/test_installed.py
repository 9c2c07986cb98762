"""What the README's installation gives a user, and what it leaves alone."""

from __future__ import annotations

import shutil
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


@pytest.mark.parametrize("words", ["--version", "studies", "tick --all"])
def test_the_installed_command_runs_no_module_of_the_users_path(installed: Installed, tmp_path: Path, words: str):
    for name in ("re", "enum", "functools", "signal", "json"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a module of the user')\n")

    _shell(installed, f"PYTHONPATH={tmp_path} maestro-es {words}", tmp_path)


@pytest.mark.parametrize("command", ["python3", "python", "pip", "pip3", "mypy", "sqlite-utils"])
def test_no_other_command_of_the_user_is_another_one_afterwards(installed: Installed, tmp_path: Path, command: str):
    before = f"PATH={installed.path.partition(':')[2]}; command -v {command} || echo none"

    assert _shell(installed, f"command -v {command} || echo none", tmp_path) == _shell(installed, before, tmp_path)
    assert [entry.name for entry in (installed.home / ".local" / "bin").iterdir()] == ["maestro-es"]


def test_the_line_for_cron_names_the_interpreter_of_the_installation(installed: Installed, tmp_path: Path):
    said = _shell(installed, "maestro-es cron show || :", tmp_path)

    assert not said or f"{installed.home}/.local/share/maestro-es/bin/python" in said


GENERATOR = """\
from maestrowf.datastructures.core import ParameterGenerator
from maestrowf.datastructures.environment import Variable
from maestrowf.utils import csvtable_to_dict

def get_custom_generator(env, **kwargs):
    env.add(Variable("SEASON", "spring"))
    made = ParameterGenerator()
    with open(kwargs["SPECROOT"].value + "/table.csv") as table:
        made.add_parameter("ROWS", csvtable_to_dict(table)["rows"], "ROWS.%%")
    return made
"""


def test_a_generator_runs_where_maestro_is_not_installed(installed: Installed, tmp_path: Path):
    (tmp_path / "study.yaml").write_text(
        "description: {name: garden, description: d}\n"
        'study: [{name: plant, description: d, run: {cmd: "echo $(ROWS) $(SEASON)"}}]\n'
    )
    (tmp_path / "table.csv").write_text("rows,soil\n2,clay\n")
    (tmp_path / "made.py").write_text(GENERATOR)
    said = _shell(installed, "maestro-es run -y --wait -o out -s 1 -p made.py study.yaml", tmp_path)

    assert said.splitlines()[-1] == "Study ended: FINISHED"
    assert [file.read_text() for file in (tmp_path / "out" / "plant").glob("*/*.out")] == ["2 spring\n"]


def test_a_package_that_a_generator_lacks_is_named_with_the_python_that_lacks_it(installed: Installed, tmp_path: Path):
    (tmp_path / "study.yaml").write_text(
        "description: {name: sieve, description: d}\nstudy: [{name: a, description: d, run: {cmd: echo $(GRIT)}}]\n"
    )
    (tmp_path / "made.py").write_text("import a_package_that_nobody_has\n" + GENERATOR)
    said = _shell(installed, "maestro-es validate -p made.py study.yaml 2>&1 && exit 1 || :", tmp_path)

    python = f"{installed.home}/.local/share/maestro-es/bin/python3"
    assert said.replace(f"{python[:-1]} -m", f"{python} -m") == (
        "maestro-es: made.py:1: The parameter generator needs a_package_that_nobody_has, which the Python that runs "
        f"maestro-es lacks. Install it there: '{python} -m pip install a_package_that_nobody_has'.\n"
    )


PROGRAM = """\
import sys
from maestrowf.conductor import Conductor
from maestrowf.datastructures.core import ParameterGenerator, Study, StudyEnvironment, StudyStep

step = StudyStep()
step.name, step.description = "a", "says hello"
step.run["cmd"] = "echo $(WORD) > here"
words = ParameterGenerator()
words.add_parameter("WORD", ["hello", "bye"])
about = {"name": "two", "description": "two words"}
study = Study("two", about, StudyEnvironment(), words, [step], out_path=sys.argv[1])
study.setup_workspace()
study.setup_environment()
study.configure_study()
conductor = Conductor(study)
conductor.initialize({"type": "local"}, 1)
sys.exit(conductor.monitor_study().value)
"""


def test_a_program_for_maestro_runs_where_maestro_is_not_installed(installed: Installed, tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    python = installed.home / ".local" / "share" / "maestro-es" / "bin" / "python"
    _shell(installed, f"{python} -m maestro_es.compat program.py out", tmp_path)

    assert sorted(file.read_text() for file in tmp_path.glob("out/a/*/here")) == ["bye\n", "hello\n"]
    (tmp_path / "lacks.py").write_text("try:\n    import maestrowf\nexcept ImportError:\n    print('there is none')\n")
    assert _shell(installed, f"{python} lacks.py", tmp_path) == "there is none\n"


@pytest.mark.skipif(not shutil.which("man"), reason="there is no program man")
def test_each_command_has_a_manual_page(installed: Installed, tmp_path: Path):
    pages = installed.home / ".local/share/maestro-es/share/man"
    names = sorted(path.stem for path in (pages / "man1").iterdir())
    listed = _shell(installed, "maestro-es --help", tmp_path).partition("\nCommands:\n")[2]

    assert {"maestro-es", *(f"maestro-es-{line.split()[0]}" for line in listed.splitlines())} <= {*names}
    for name in names:
        shown = _shell(installed, f"MANWIDTH=80 man --warnings -M {pages} {name} 2>&1", tmp_path)
        assert shown.startswith(f"{name.upper()}(1)")
        assert "warning" not in shown.partition("\nNAME\n")[0]
