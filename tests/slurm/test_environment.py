"""What a job sees on a real Slurm: the environment of `run`, whoever submits it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_es.core import events as e
from tests.e2e.test_environment import SHELL, Hangar
from tests.fakes.cron import run_with_cron, who_ticked
from tests.fakes.processes import wait_for
from tests.slurm.configuration import Options
from tests.slurm.studies import HEAD, events, states

SPEC = f"""{HEAD}
    - {{name: first, description: d, run: {{cmd: '. $(SPECROOT)/look.sh', procs: 1}}}}
    - {{name: later, description: d, run: {{cmd: '. $(SPECROOT)/look.sh', procs: 1, depends: [first]}}}}
"""


@pytest.fixture
def hangar(tmp_path: Path) -> Hangar:
    return Hangar(tmp_path, SPEC)


def tick_to_the_end(hangar: Hangar) -> None:
    """Tick as cron does, in a shell that knows of no Slurm."""

    def has_ended() -> bool:
        done = hangar.like_cron("tick", hangar.root)
        assert (done.returncode, done.stderr) == (0, ""), done
        return set(states(hangar.root).values()) == {"FINISHED"}

    wait_for(has_ended)


def of_slurm(env: dict[str, str]) -> set[str]:
    return {name for name in env if name.startswith("SLURM")}


def without_slurm(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith(("SLURM", "TMPDIR"))}


@pytest.mark.parametrize("propagate", ["NONE", "ALL"])
def test_a_job_sees_the_environment_of_run_whoever_submits_it(start_cluster, hangar: Hangar, propagate: str):
    start_cluster(Options(conf=(f"PropagateResourceLimits={propagate}",)))
    hangar.run()
    tick_to_the_end(hangar)

    env, [module, output, umask, stack, core, nice] = hangar.seen("first")
    assert [module, output, umask, stack] == ["loaded gcc", "my own http://proxy:3128", "0007", "65536"]
    assert nice == str(3 + os.nice(0))
    assert core == "0" or propagate == "NONE"  # a lower limit is passed on if the site lets Slurm do so
    assert env["MY_INPUT_DIR"] == "/data"
    assert not {"SSH_CONNECTION", "LEAKED"} & env.keys()
    assert not any(name.startswith("MAESTRO_ES_") and name != "MAESTRO_ES_HOME" for name in env)
    later, other = hangar.seen("later")
    assert other == [module, output, umask, stack, core, nice]
    assert without_slurm(later) == without_slurm(env)
    assert of_slurm(later) == of_slurm(env)
    assert later["SLURM_JOB_ID"] != env["SLURM_JOB_ID"]


def test_what_asks_for_resources_counts_and_what_breaks_the_protocol_is_named(cluster, hangar: Hangar):
    setup = f"export SBATCH_TIMELIMIT=7 SBATCH_WAIT=1 SBATCH_EXPORT=NONE SLURM_JOB_ID=99 SLURM_NTASKS=5\n{SHELL}"
    done = hangar.from_a_shell("run", "-y", "-o", hangar.root, hangar.folder / "study.yaml", setup=setup)
    assert done.returncode == 0
    inside, breaking = done.stderr.splitlines()
    assert "inside a job" in inside
    assert "SLURM_JOB_ID, SLURM_NTASKS" in inside
    assert "SBATCH_EXPORT, SBATCH_WAIT" in breaking
    [job] = [event.job_id for event in events(hangar.root, e.JobSubmitted)]
    assert "TimeLimit=00:07:00" in cluster.run("scontrol", "show", "job", job).stdout
    tick_to_the_end(hangar)
    env, _ = hangar.seen("later")
    assert env["SBATCH_TIMELIMIT"] == "7"
    assert env.get("SLURM_NTASKS") != "5"


def test_a_changed_environment_is_that_of_the_next_job(cluster, hangar: Hangar):
    hangar.run()
    changed = hangar.like_cron("env", hangar.root, "--set", "MY_INPUT_DIR=/new", "--unset", "BASH_FUNC_module%%")
    assert changed.returncode == 0, changed
    tick_to_the_end(hangar)
    env, other = hangar.seen("later")
    assert env["MY_INPUT_DIR"] == "/new"
    assert other[0] != "loaded gcc"


#: The usual batch script of a cluster with environment modules, and a user's shell on such a one.
MODULES = f"""{HEAD}
    - {{name: first, description: d, run: {{cmd: 'module load intelish; solver > answer', procs: 1}}}}
    - {{name: later, description: d, run: {{cmd: 'module load intelish; solver >answer', procs: 1, depends: [first]}}}}
"""
WITH_CRON = r"""
mkdir intelish
printf '#!/bin/sh\necho 42\n' >intelish/solver
chmod +x intelish/solver
cat >setup <<'END'
export MODULES_AT=$PWD
module() { [ "$1" = load ] && PATH=$MODULES_AT/$2:$PATH; }
export -f module
exec "$@"
END
maestro_es cron install
bash setup "$PYTHON" -m maestro_es run -y -o study study.yaml
start_cron
await 80 ended study
stop_cron
"""


def test_a_module_is_loaded_by_the_jobs_of_run_and_by_those_of_a_real_cron(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    (tmp_path / "study.yaml").write_text(MODULES)
    run_with_cron(WITH_CRON, tmp_path)
    root = tmp_path / "study"
    assert states(root) == {"first": "FINISHED", "later": "FINISHED"}
    assert [(root / step / "answer").read_text() for step in ("first", "later")] == ["42\n", "42\n"]
    assert who_ticked(root) == ["maestro-es tick --all"]


@pytest.mark.parametrize(
    ("options", "sees", "lacks"),
    [
        (["--export", "NONE"], "HOME", "MY_INPUT_DIR"),
        (["--export", "MY_INPUT_DIR,X=1"], "MY_INPUT_DIR X HOME", "output"),
    ],
)
def test_export_chooses_what_jobs_see(cluster, hangar: Hangar, options: list[str], sees: str, lacks: str):
    hangar.run(*options)
    tick_to_the_end(hangar)
    for step in ("first", "later"):
        env, _ = hangar.seen(step)
        assert {*sees.split(), "PATH", "SLURM_JOB_ID", "SLURM_CONF"} <= env.keys()
        assert lacks not in env
