"""What the documentation says is so: its commands exist, its examples run."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import maestro_es.execution_graph
from maestro_es.adapters import schedulers
from maestro_es.cli.commands import COMMANDS, cli
from maestro_es.core.exported_variables import LAUNCHER, LOGIN
from tests.e2e.command import maestro_es as run_command

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SOURCES = [file for file in (ROOT / "maestro_es").rglob("*.*") if file.suffix in {".py", ".sh"}]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example_that_it_understands(name, tmp_path):
    done = run_command(name, "--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) < 80
    assert [line for line in lines if line.endswith("-")] == []  # no option is broken at its hyphen
    [title] = {"  Example:", "  Examples:"} & set(lines)
    examples = lines[lines.index(title) + 1 :]
    assert (len(examples) > 1) is title.endswith("s:")
    command = cli.get_command(None, name)  # type: ignore[arg-type]  # ours takes none
    assert command is not None
    for example in examples:
        words = shlex.split(example)
        assert words[:2] == ["maestro-es", name]
        command.make_context(name, words[2:])


#: The commands whose examples read a study and end at once.
_READERS = ("blame", "diff", "export", "graph", "history", "map", "query", "show", "status", "verify", "why")


def test_the_examples_in_help_texts_that_read_a_study_work_on_the_example_study(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    texts = [text for name in COMMANDS for text in _examples(name)]
    asking = [shlex.split(text) for text in texts if "./pi" in text or "pi.yaml" in text]
    [create] = [words for words in asking if words[1:4] == ["run", "-y", "-o"]]
    env = {"MAESTRO_ES_HOME": str(tmp_path / "home")}
    for words in (create, ["", "run", "--wait", "./pi"]):
        assert run_command(*words[1:], cwd=tmp_path, env=env).returncode == 0
    for words in asking:
        if words[1] in _READERS and "--at" not in words:
            done = run_command(*words[1:], cwd=tmp_path, env=env)
            assert (done.returncode, done.stderr) == (0, ""), words
            assert done.stdout or "-o" in words or "failed" in words, words


def _examples(name):
    command = cli.get_command(None, name)  # type: ignore[arg-type]  # ours takes none
    assert command is not None
    assert command.epilog
    return [line.strip() for line in command.epilog.splitlines()[2:]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_in_the_code_of_the_documentation_exists(page):
    code = re.findall(r"^```[\s\S]*?^```$|^    .*|`[^`\n]+`", page.read_text(), re.MULTILINE)
    named = set(re.findall(r"maestro-es ([a-z]+)\b", "\n".join(code)))
    assert named <= set(COMMANDS)


def test_each_command_stands_in_the_readme():
    assert {name for name in COMMANDS if f"maestro-es {name}" not in README} == set()


def test_each_variable_that_is_left_out_or_read_stands_on_the_page_about_the_environment():
    page = (ROOT / "docs" / "environment.md").read_text()
    ours = {name for file in SOURCES for name in re.findall(r"\bMAESTRO_ES_[A-Z]+(?=[^A-Z])", file.read_text())}
    ours -= {"MAESTRO_ES_N"}  # of the runner alone
    read = {name for file in SOURCES for name in re.findall(r"environ(?:\.get\(|\[)[\"'](\w+)", file.read_text())}
    of_jobs = {name for found in schedulers.ALL for name in (*found.of_job, *found.job_ids, *found.protocol)}
    known = {*LOGIN, *LAUNCHER, *of_jobs, *ours, *read}
    assert {"MAESTRO_ES_TOKEN", "MAESTRO_ES_FUNCTION", "LESS"} <= known
    assert sorted(name for name in known if f"`{name}" not in page) == []


def test_the_example_in_the_readme_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("FINISHED [")
    assert (tmp_path / "two-steps" / "greet" / "hello.txt").read_text() == "hello\n"


def test_the_page_about_python_runs(tmp_path):
    """Its code has the form of doctest, so its results are compared too."""
    program = "import doctest as d, sys; print(d.testfile(sys.argv[1], False, optionflags=d.ELLIPSIS))"
    done = subprocess.run(
        [sys.executable, "-c", program, ROOT / "docs" / "in-python.md"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"TestResults\(failed=0, attempted=\d\d\)\n", done.stdout), done.stdout


def test_the_example_in_the_docstring_of_the_graph_runs(tmp_path):
    text = str(maestro_es.execution_graph.__doc__).partition("::\n")[2]
    example = "import time\n" + "\n".join(line.removeprefix("    ") for line in text.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hello" / "greet" / "hello.txt").read_text() == "hello\n"


#: What takes long to import, and a tick can do without. `inspect` is what typing_extensions imports.
NEEDLESS = {
    "click", "dataclasses", "filelock", "inspect", "jinja2", "jsonschema", "pluggy", "rich", "sqlite_utils", "yaml",
}  # fmt: skip


def test_a_tick_imports_nothing_that_it_does_not_need(tmp_path):
    spec = ROOT / "examples" / "hello_world" / "hello_world.yaml"
    assert run_command("run", "-y", "-o", tmp_path / "study", spec).returncode == 0
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "maestro_es", "tick", "study"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"maestro_es", "msgspec", "sqlite3"} <= loaded
    assert not loaded & NEEDLESS


def test_each_fault_on_the_page_about_reliability_names_a_test_that_there_is():
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = page.partition("| what goes wrong |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    named = [row for row in rows if not row[0].startswith("**")]
    assert len(named) > 40
    assert [row for row in named if len(row) != 3 or not all(row)] == []
    assert [row[2] for row in named if not _is_a_test(row[2].strip("`"))] == []


def _is_a_test(name: str) -> bool:
    """Whether pytest collects a test of this name from its file."""
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file() or not function.startswith("test_"):
        return False
    return any(
        isinstance(node, ast.FunctionDef) and node.name == function
        for node in ast.parse((ROOT / path).read_text()).body
    )
