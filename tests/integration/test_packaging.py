"""What is built is what is in the tree: a file that is forgotten in setup.cfg is missed here and not at a user's."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib import resources
from pathlib import Path

import pytest

import maestro_es

ROOT = Path(__file__).parents[2]
SOURCES = ("bin", "examples", "maestro_es", "man", "schema", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

#: One wheel is enough, so one worker runs all of these.
pytestmark = pytest.mark.xdist_group("packaging")


def shipped_files() -> set[str]:
    """Every file of the trees, by its name in the wheel. The page about the examples is for the repository only."""
    names = {path: path.relative_to(ROOT) for path in (ROOT / "maestro_es").rglob("*")}
    for tree in ("examples", "schema"):
        names |= {path: Path("maestro_es") / path.relative_to(ROOT) for path in (ROOT / tree).rglob("*")}
    names.pop(ROOT / "examples/README.md")
    return {name.as_posix() for path, name in names.items() if path.is_file() and "__pycache__" not in name.parts}


def wheel_script(wheel: Path) -> str:
    """The start script, by its name in the wheel."""
    return f"maestro_es-{wheel.name.split('-')[1]}.data/scripts/maestro-es"


def man_pages(wheel: Path) -> set[str]:
    """The manual pages, by their names in the wheel."""
    folder = f"maestro_es-{wheel.name.split('-')[1]}.data/data/share/man/man1"
    return {f"{folder}/{path.name}" for path in (ROOT / "man").iterdir()}


def listed_packages() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return set(config["options"]["packages"].split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy: a `build` directory of long ago would add what the tree no longer has."""
    copy = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = (copy / "dist").glob("*.whl")
    return path


def test_the_list_of_packages_is_the_tree():
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "maestro_es").rglob("*.py")}

    assert listed_packages() == found | {"maestro_es.examples", "maestro_es.schema"}


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == shipped_files() | {wheel_script(wheel)} | man_pages(wheel)


def test_the_start_script_is_ours_and_pip_is_to_write_its_first_line(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        first, _, rest = archive.read(wheel_script(wheel)).decode().partition("\n")
        assert not [name for name in archive.namelist() if name.endswith("entry_points.txt")]

    assert first == "#!python"
    assert rest == (ROOT / "bin/maestro-es").read_text().partition("\n")[2]


def test_the_wheel_carries_the_licence_and_the_version(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert wheel.name.startswith(f"maestro_es-{maestro_es.__version__}-")
    assert [name for name in names if name.endswith("LICENSE")]


def test_the_schema_is_found_where_this_test_runs():
    found = {path.name for path in resources.files("maestro_es.schema").iterdir()}

    assert found == {path.name for path in (ROOT / "schema").iterdir()}


def _install(wheel: Path, place: Path) -> Path:
    """Install a wheel into an environment of its own, without what it depends on; returns the environment's Python."""
    venv.create(place, symlinks=True)
    [site] = place.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return place / "bin" / "python"


#: A program of a user's, with what the types must say of it.
PROGRAM = """
from maestro_es import ExecutionGraph, State, StudyStatus, StudyStep

graph = ExecutionGraph.create("./two-steps")
graph.add_description("two-steps", "one step after the other")
graph.add_step("greet", StudyStep("greet", "says hello", {"cmd": "echo hello"}), "greet", 0)
status: StudyStatus = graph.execute_ready_steps()
reveal_type(graph)
reveal_type(graph.status)
reveal_type([event.seq for event in graph.history("greet")])
reveal_type(State.FINISHED.name)
graph.add_step(1, "greet", "greet", 0)
"""

REVEALED = (
    'Revealed type is "maestro_es.execution_graph.graph.ExecutionGraph"',
    'Revealed type is "maestro_es.core.model.StudyStatus"',
    'Revealed type is "list[int]"',
    "Revealed type is \"Literal['FINISHED']?\"",
)


def test_a_program_is_checked_against_the_types_of_the_installed_wheel(wheel: Path, tmp_path: Path):
    python = _install(wheel, tmp_path / "venv")
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")  # its own .pth files don't count
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={python}", "program.py"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stdout + done.stderr
    notes = [line for line in done.stdout.splitlines() if ": note: " in line]
    assert [line.partition(": note: ")[2] for line in notes] == list(REVEALED), done.stdout
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in errors] == ["12", "12"], done.stdout
    assert all("[arg-type]" in line for line in errors)


def test_an_installed_wheel_finds_the_schema(wheel: Path, tmp_path: Path):
    python = _install(wheel, tmp_path / "venv")
    program = "from importlib import resources as r; print(*[p.name for p in r.files('maestro_es.schema').iterdir()])"
    command = [str(python), "-c", program]

    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert set(found.stdout.split()) >= {path.name for path in (ROOT / "schema").iterdir() if path.is_file()}
