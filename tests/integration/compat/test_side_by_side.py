"""The same program with Maestro's classes and with ours stages the same graph."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("maestrowf", reason="compares with Maestro itself")

MAESTRO = """
from maestrowf.datastructures.core import ParameterGenerator, Study, StudyEnvironment, StudyStep
from maestrowf.datastructures.environment import GitDependency, PathDependency, Script, Variable
from maestrowf.specification import YAMLSpecification

def staged(graph):
    parents = {name: set() for name in graph.values}
    for parent, children in graph.adjacency_table.items():
        for child in children:
            parents[child].add(parent)
    return {
        name: [record.workspace.value, sorted(parents[name] - {"_source"})]
        for name, record in graph.values.items() if record
    }
"""

OURS = """
from maestro_es.compat import *
from maestro_es.core.events import StepAdded

def staged(graph):
    added = {r.step: r.event for r in graph.history() if isinstance(r.event, StepAdded)}
    def parents(event):
        funnels = [other.name for other in added.values() if other.template in event.funnels]
        return sorted({added[parent].name for parent in event.parents} | set(funnels))
    return {event.name: [str(graph.path / event.workspace), parents(event)] for event in added.values()}
"""

#: A study in Python: parameters by themselves, inherited, funnelled; names, labels, variables in each other.
IN_PYTHON = """
environment = StudyEnvironment()
environment.add(Variable("OUTPUT_PATH", out))
environment.add(Variable("BASE", "data"))
environment.add(Variable("INPUT", "$(BASE)/in"))
environment.add(Variable("TAG", "$(SIZE.label)"))
environment.add(PathDependency("HERE", "."))
environment.add(Script("source env.sh"))
parameters = ParameterGenerator()
parameters.add_parameter("SIZE", [10, 20, 10], "SIZE.%%")
parameters.add_parameter("SEED", [1, 2, 3])
parameters.add_parameter("KIND", ["a b", "c/d", "e"], ["first", "second", "third"])

def step(name, cmd, depends=(), **run):
    made = StudyStep()
    made.name, made.description = name, "does " + name
    made.run["cmd"] = cmd
    made.run.update(run)
    if depends:
        made.run["depends"] = list(depends)
    return made

steps = [
    step("mesh", "make $(INPUT) $(SIZE)", nodes=1, procs="$(SIZE)"),
    step("plain", "ls $(HERE)"),
    step("sim", "run $(mesh.workspace) $(SEED)", ["mesh"], restart="run on $(WORKSPACE)"),
    step("kinds", "echo $(KIND) $(TAG)", ["plain"]),
    step("sums", "sum $(sim.workspace)", ["sim_*"]),
    step("per size", "sum $(sim.workspace) $(SIZE)", ["sim_*", "plain"]),
    step("last", "echo", ["sums", "kinds_*"]),
]
about = {"name": "both", "description": "the same twice"}
study = Study("both", about, studyenv=environment, parameters=parameters, steps=steps, out_path=out)
study.setup_workspace()
study.configure_study(submission_attempts=2, restart_limit=3, throttle=4, hash_ws=hashed)
study.setup_environment()
path, graph = study.stage()
assert path == out
graph.set_adapter({"type": "local"})
"""

FROM_FILE = """
spec = YAMLSpecification.load_specification(file)
environment = spec.get_study_environment()
environment.remove("OUTPUT_PATH")
environment.add(Variable("OUTPUT_PATH", out))
study = Study(spec.name, spec.description, studyenv=environment, parameters=spec.get_parameters(),
              steps=spec.get_study_steps(), out_path=out)
study.setup_workspace()
study.configure_study(hash_ws=hashed)
study.setup_environment()
path, graph = study.stage()
"""

SPEC = Path(__file__).parents[3] / "examples" / "monte_carlo_pi" / "monte_carlo_pi.yaml"


def run(prelude: str, program: str, folder: Path, *, hashed: bool) -> dict[str, Any]:
    """Run a program and return the graph that it stages: workspace and parents of each step."""
    result = folder / "result.json"
    head = f"out, hashed, file = {str(folder / 'out')!r}, {hashed}, {str(SPEC)!r}\n"
    tail = f"\nimport json\njson.dump(staged(graph), open({str(result)!r}, 'w'))\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", head + prelude + program + tail] if "maestro_es" in prelude
        else [sys.executable, "-c", head + prelude + program + tail],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return {name: [str(Path(place).relative_to(folder)), parents] for name, (place, parents) in found.items()}


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("program", [IN_PYTHON, FROM_FILE], ids=["in Python", "from a file"])
def test_the_same_program_stages_the_same_graph(tmp_path: Path, program: str, hashed: bool):
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()

    theirs = run(MAESTRO, program, tmp_path / "theirs", hashed=hashed)
    ours = run(OURS, program, tmp_path / "ours", hashed=hashed)

    assert ours == theirs
    assert len(theirs) > 10
