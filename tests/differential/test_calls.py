"""The same calls of Maestro's classes and ours have the same results and errors. All differences are listed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.differential.calls import BEFORE, CALLS, DIFFERENT

pytest.importorskip("maestrowf", reason="compares with Maestro itself")
pytestmark = pytest.mark.xdist_group("calls")

WORKER = """\
import contextlib, enum, io, json, os, pathlib, sys, tempfile, traceback

def plain(value):
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__

before = compile(open("before.py").read(), "before", "exec")
found = {}
for name, text in json.load(open("calls.json")).items():
    place = os.path.realpath(tempfile.mkdtemp(dir="."))
    os.chdir(place)
    names = {"__name__": "call"}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(before, names)
            exec(compile(text, name, "exec"), names)
        found[name] = ["value", plain(names.get("found"))]
    except Exception as error:
        found[name] = ["raises", [kind.__name__ for kind in type(error).__mro__], traceback.format_exc()]
    os.chdir("..")
    found[name] = json.loads(json.dumps(found[name]).replace(place, "HERE"))
json.dump(found, open("found.json", "w"))
"""


def run(folder: Path, *words: str) -> dict[str, Any]:
    folder.mkdir()
    (folder / "before.py").write_text(BEFORE)
    (folder / "calls.json").write_text(json.dumps(CALLS))
    (folder / "worker.py").write_text(WORKER)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words, "worker.py"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("theirs") / "calls")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("ours") / "calls", "-m", "maestro_es.compat")


def is_same(theirs: list[Any], ours: list[Any]) -> bool:
    """Return whether a program that handles one outcome handles the other. Our error may have more base classes."""
    if theirs[0] == ours[0] == "raises":
        return theirs[1][0] in ours[1]
    return theirs[:2] == ours[:2]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_does_the_same(theirs: dict[str, Any], ours: dict[str, Any], name: str):
    if name in DIFFERENT:
        assert not is_same(theirs[name], ours[name]), "this is listed as different, and it is not"
    else:
        assert is_same(theirs[name], ours[name]), f"{theirs[name]}\n{ours[name]}"


@pytest.mark.parametrize("name", DIFFERENT)
def test_each_difference_of_a_call_is_in_the_documentation(name: str):
    page = Path(__file__).parents[2] / "docs" / "differences-from-maestro.md"
    assert [line for line in page.read_text().splitlines() if DIFFERENT[name] in line]
