"""The programs in tools/ need nothing of the tests, and what they have written is current."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.benches.context import keeps
from tools.benches.goals import GOALS, MISSES
from tools.benches.page import PAGE, load, page, unpacked

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(
    path.name
    for path in (ROOT / "tools").iterdir()
    if path.is_file() and not path.suffix and "python" in path.read_text().partition("\n")[0]
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_what_it_is_for_in_a_tree_without_tests(name: str, tmp_path: Path):
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    program = [sys.executable, str(tmp_path / "tools" / name), "--help"]
    done = subprocess.run(program, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"tools/{name}" in done.stdout


def test_the_page_about_performance_is_what_the_stored_results_give():
    assert PAGE.read_text() == page(load()).rstrip() + "\n"


def test_each_missed_goal_is_explained():
    results = {key: unpacked(entry) for key, entry in load()["results"].items()}
    missed = [key for key, result in results.items() if not keeps(result, GOALS[key].limit)]

    assert results.keys() <= GOALS.keys()
    assert [key for key in missed if key not in MISSES] == []
