"""What a step's job asks for on nodes that jobs share: what its launchers take, and nothing if it has none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from tests.e2e.command import maestro_es
from tests.slurm.studies import events, finish


def _step(name: str, cmd: str, **run: int) -> str:
    keys = "".join(f", {key.replace('_', ' ')}: {value}" for key, value in run.items())
    return f"    - {{name: {name}, description: d, run: {{cmd: '{cmd}'{keys}}}}}\n"


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.usefixtures("cluster")
def test_launchers_run_on_nodes_that_are_shared(launch):
    count = "$(LAUNCHER) echo a task > tasks; echo $SLURM_JOB_CPUS_PER_NODE > cpus"
    root = launch(
        _step("two", count, nodes=1, procs=2),
        _step("procsonly", count, procs=2),
        _step("twonodes", count, nodes=2, procs=8),
        _step("cores", count, nodes=1, procs=2, cores_per_task=2),
        _step("taskscores", count, procs=2, cores_per_task=2),
        _step("together", "$(LAUNCHER)[2p] echo > a & $(LAUNCHER)[3p] echo > b; wait", nodes=1, procs=5),
    )

    assert finish(root) is StudyStatus.FINISHED
    tasks = {name: _lines(root / name / "tasks") for name in ("two", "procsonly", "twonodes", "cores", "taskscores")}
    assert tasks == {"two": 2, "procsonly": 2, "twonodes": 8, "cores": 2, "taskscores": 2}
    assert (root / "two" / "cpus").read_text() == "2\n"
    assert (root / "cores" / "cpus").read_text() == (root / "taskscores" / "cpus").read_text() == "4\n"
    assert (_lines(root / "together" / "a"), _lines(root / "together" / "b")) == (2, 3)


@pytest.mark.usefixtures("cluster")
def test_a_step_without_a_launcher_has_maestro_s_job(launch):
    root = launch(
        _step("weft", "hostname > who", nodes=1, procs=32, cores_per_task=4),  # on nodes of 64 CPUs
        _step("sing", "srun echo > voices", nodes=2, procs=4, cores_per_task=3),
        _step("both", "$(LAUNCHER) echo > tasks; srun echo > voices", nodes=2, procs=4, cores_per_task=3),
    )

    assert finish(root) is StudyStatus.FINISHED
    assert (root / "weft" / "who").exists()
    assert _lines(root / "sing" / "voices") == _lines(root / "both" / "voices") == 2
    assert _lines(root / "both" / "tasks") == 4


@pytest.mark.usefixtures("cluster")
def test_a_script_that_runs_under_maestro_is_not_refused_for_the_cpus_of_its_launchers(launch):
    """Nodes here have 64 CPUs. Maestro's job has one, and what its srun does with 70 tasks is the script's affair."""
    root = launch(
        _step("over", "$(LAUNCHER) -O echo a task > tasks", nodes=1, procs=70),
        _step("variable", "export SLURM_OVERCOMMIT=1; $(LAUNCHER) echo a task > tasks", nodes=1, procs=70),
        _step("single", "$(LAUNCHER) -n 1 echo a task > tasks", nodes=1, procs=70),
        _step("else", "$(LAUNCHER) echo a task > tasks || echo no > tasks", nodes=1, procs=70),
    )

    assert finish(root) is StudyStatus.FINISHED
    tasks = {name: _lines(root / name / "tasks") for name in ("over", "variable", "single", "else")}
    assert tasks == {"over": 70, "variable": 70, "single": 1, "else": 1}
    assert all("--mincpus" not in (root / name / f"{name}.slurm.sh").read_text() for name in tasks)


@pytest.mark.usefixtures("cluster")
def test_the_script_and_the_log_tell_what_was_submitted_in_the_end(launch):
    root = launch(_step("a", "$(LAUNCHER) hostname; exit 3", nodes=1, procs=70), _step("b", "true", nodes=1))
    assert finish(root) is StudyStatus.FAILURE
    script = root / "a" / "a.slurm.sh"
    assert "mincpus" not in script.read_text()
    assert "added by maestro-es" not in script.read_text()
    [submitted] = [event for event in events(root, e.JobSubmitted) if event.left_out]
    assert (submitted.left_out, submitted.script_digest) == (
        ("--mincpus=70",),
        hashlib.sha256(script.read_bytes()).hexdigest(),
    )
    said = f"job {submitted.job_id} was submitted without --mincpus=70, which the scheduler had refused"
    assert said in maestro_es("history", root, "a").stdout
    again = maestro_es("retry", root, "a")
    assert "edited" not in again.stdout + again.stderr
    assert finish(root) is StudyStatus.FAILURE
    assert not [*script.parent.glob("*.edited")]
    assert "mincpus" not in script.read_text()
