"""Merlin, unchanged, with maestro-es in the place of Maestro. It is installed apart, and kept for the next run.

Without a package index, and without what an earlier run has kept, these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("merlin")

MERLIN = "merlin==1.13.0"
#: What it imports and does not name: the module pkg_resources.
NEEDED = ("setuptools<81",)

SPEC = """\
description: {name: demo, description: for Merlin}
batch: {type: local}
env:
  variables: {OUTPUT_PATH: ./out, WORD: hello}
study:
- {name: a, description: first, run: {cmd: echo $(WORD) $(N) > out.txt, task_queue: q1}}
- {name: b, description: second, run: {cmd: cat $(a.workspace)/out.txt > out.txt, depends: [a]}}
- {name: c, description: third, run: {cmd: cat $(a.workspace)/*/out.txt > out.txt, depends: [a_*]}}
global.parameters:
  N: {values: [1, 2], label: N.%%}
merlin:
  resources: {workers: {w: {steps: [all]}}}
"""

#: Loads a specification, stages its study, and walks the graph.
WALK = """\
import json
from merlin.study.study import MerlinStudy

dag = MerlinStudy("demo.yaml").dag
found = {"groups": dag.group_tasks("_source"), "steps": {}}
for name in dag.maestro_values:
    if name != "_source":
        step = dag.step(name)
        clone = step.clone_changing_workspace_and_cmd(None, [("cat", "less")], "/elsewhere")
        found["steps"][name] = [
            step.name(), step.name_no_params(), step.get_workspace(), step.get_cmd(), step.get_task_queue_from_dict(
                {"run": step.mstep.step.run}), step.max_retries, clone.get_workspace(), clone.get_cmd(),
            sorted(dag.maestro_adjacency_table[name]),
        ]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def merlin() -> Path:
    """Return a directory with Merlin and what it needs, Maestro included. It is kept beside the tools of this run."""
    place = Path(sys.prefix) / MERLIN.replace("==", "-")
    if not (place / "complete").exists():
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), "--upgrade"]
        done = subprocess.run([*words, MERLIN, *NEEDED], capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            pytest.skip(f"{MERLIN} can't be installed: {done.stderr.strip().splitlines()[-1:]}")
        (place / "complete").touch()
    return place


def python(merlin: Path, folder: Path, *words: str) -> str:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(merlin), "HOME": str(home), "MAESTRO_ES_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def walk(merlin: Path, folder: Path, *words: str) -> Any:
    folder.mkdir()
    (folder / "demo.yaml").write_text(SPEC)
    (folder / "walk.py").write_text(WALK)
    found = python(merlin, folder, *words, "walk.py").splitlines()[-1]
    return json.loads(re.sub(r"demo_\d+-\d+", "demo", found.replace(str(folder), "")))


def test_merlin_stages_a_study_and_walks_its_graph_as_with_maestro(merlin: Path, tmp_path: Path):
    ours = walk(merlin, tmp_path / "ours", "-m", "maestro_es.compat")
    theirs = walk(merlin, tmp_path / "theirs")

    assert ours == theirs
    assert [*ours["steps"]] == ["a_N.1", "a_N.2", "c", "b_N.1", "b_N.2"]
    assert ours["steps"]["b_N.1"][2:4] == ["/out/demo/b/N.1", "cat /out/demo/a/N.1/out.txt > out.txt"]


def test_merlin_runs_a_study_in_one_process(merlin: Path, tmp_path: Path):
    (tmp_path / "demo.yaml").write_text(SPEC)
    python(merlin, tmp_path, "-m", "maestro_es.compat", "-m", "merlin.main", "run", "--local", "demo.yaml")

    [study] = (tmp_path / "out").glob("demo_*")
    assert (study / "b" / "N.2" / "out.txt").read_text() == "hello 2\n"
    assert sorted((study / "c" / "out.txt").read_text().split("\n")) == ["", "hello 1", "hello 2"]
    assert len([*study.rglob("MERLIN_FINISHED")]) == 5
