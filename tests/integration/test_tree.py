"""What the settings and the documents say of the tree is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maestro_es import spec

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "maestro_es"
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()

#: What stands for many paths.
PATTERNS = {"schema/migrations/NNNN_words.sql"}


def test_programs_in_python_are_checked_like_modules():
    programs = {path for path in (ROOT / "tools").iterdir() if "python" in path.read_text().partition("\n")[0]}
    settings = (ROOT / "pyproject.toml").read_text()

    assert programs
    for path in programs:
        assert settings.count(f'"tools/{path.name}"') == 2, f"{path.name}: ruff's extend-include, mypy's files"


def test_the_map_of_the_architecture_is_the_tree():
    """Of commands there are many, each named like its module; `spec` has a map of its own."""
    found = mapped(ARCHITECTURE.partition("## Where things are\n\n")[2].partition("\n\n")[0])
    found["spec"] = set(re.findall(r"^    (\w+)  ", str(spec.__doc__), re.MULTILINE))
    assert found.pop("cli") == set()

    assert found == {
        name: {path.stem for path in (PACKAGE / name).glob("[!_]*.py")} for name in ("", *packages()) if name != "cli"
    }


def mapped(block: str) -> dict[str, set[str]]:
    """Return the modules of each package, "" for those of none: what stands left, before two blanks."""
    found: dict[str, set[str]] = {"": set()}
    package = ""
    for line in block.splitlines():
        names, _, _ = line.strip().partition("  ")
        if names.endswith("/"):
            package = names.removesuffix("/")
            found[package] = set()
        else:
            found[package if line.startswith("      ") else ""] |= set(names.split(", "))
    return found


def packages() -> list[str]:
    return [path.parent.name for path in PACKAGE.glob("*/__init__.py")]


def test_who_silences_a_linter_says_why():
    silent = re.compile(r"#[ ](?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\])$", re.MULTILINE)
    files = [path for top in ("maestro_es", "tests", "tools") for path in (ROOT / top).rglob("*") if path.is_file()]
    texts = {path: path.read_text() for path in files if path.suffix == ".py" or path.parent.name == "tools"}

    assert not [str(path) for path, text in texts.items() if silent.search(text)]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_each_path_that_is_named_exists(page: str):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`([\w.*-]+/[\w./*-]*)`", text)) - PATTERNS

    assert named
    for name in named:
        assert [*ROOT.glob(name), *PACKAGE.glob(name), *ROOT.glob(f"{name}.*")], name
