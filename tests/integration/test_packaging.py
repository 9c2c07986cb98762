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
SOURCES = ("maestro_es", "schema", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

#: One wheel is enough, so one worker runs all of these.
pytestmark = pytest.mark.xdist_group("packaging")


def shipped_files() -> set[str]:
    """Every file of the two trees, by its name in the wheel."""
    package = {path: path.relative_to(ROOT) for path in (ROOT / "maestro_es").rglob("*")}
    schema = {path: Path("maestro_es") / path.relative_to(ROOT) for path in (ROOT / "schema").rglob("*")}
    names = {**package, **schema}
    return {name.as_posix() for path, name in names.items() if path.is_file() and "__pycache__" not in name.parts}


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

    assert listed_packages() == found | {"maestro_es.schema"}


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == shipped_files()


def test_the_wheel_carries_the_licence_and_the_version(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert wheel.name.startswith(f"maestro_es-{maestro_es.__version__}-")
    assert [name for name in names if name.endswith("LICENSE")]


def test_the_schema_is_found_where_this_test_runs():
    found = {path.name for path in resources.files("maestro_es.schema").iterdir()}

    assert found == {path.name for path in (ROOT / "schema").iterdir()}


def test_an_installed_wheel_finds_the_schema(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "venv", symlinks=True)
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = "from importlib import resources as r; print(*[p.name for p in r.files('maestro_es.schema').iterdir()])"
    command = [str(tmp_path / "venv" / "bin" / "python"), "-c", program]

    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert set(found.stdout.split()) >= {path.name for path in (ROOT / "schema").iterdir() if path.is_file()}
