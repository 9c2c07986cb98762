"""What a job sees on a real Slurm: the environment of `run`, whoever submits it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.e2e.test_environment import SHELL, Hangar
from tests.fakes.cron import run_with_cron, who_ticked
from tests.slurm.studies import HEAD, events, states, until
from tests.slurm.studies import step as job
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for

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


UNWATCHED = "; its jobs are neither watched nor cancelled: "


@pytest.fixture
def without_file(cluster, own_home: Path, launch, tmp_path: Path) -> Iterator[Path]:
    """A study with a job that runs and a step after it, whose environment file is lost."""
    root = launch(job("a", until("go")), job("b", depends=["a"]))
    stop_own_ticks(root)

    def runs() -> bool:
        assert maestro_es("tick", root).returncode == 0
        return states(root)["a"] == "RUNNING"

    wait_for(runs)
    [kept] = (root / ".maestro-es").glob("environment.*")
    kept.unlink()
    yield root
    (tmp_path / "go").touch()


def test_a_job_is_watched_and_cancelled_without_the_file_of_the_environment(cluster, without_file: Path):
    tick = maestro_es("tick", without_file)
    assert (tick.returncode, tick.stderr.count("\n")) == (75, 1)
    assert "is missing, so no step starts; " in tick.stderr
    assert UNWATCHED not in tick.stderr
    cancel = maestro_es("cancel", without_file, "-y")

    assert (cancel.returncode, cancel.stderr) == (0, "")
    wait_for(lambda: "RUNNING" not in cluster.run("squeue", "--me", "--noheader", "--format=%T").stdout)
    wait_for(lambda: maestro_es("tick", without_file).returncode in {0, 2})
    assert states(without_file) == {"a": "CANCELLED", "b": "CANCELLED"}


def test_the_end_of_a_job_is_noticed_without_the_file_and_nothing_starts(cluster, without_file: Path, tmp_path: Path):
    (tmp_path / "go").touch()

    def has_ended() -> bool:
        assert maestro_es("tick", without_file).returncode == 75
        return states(without_file)["a"] == "FINISHED"

    wait_for(has_ended)
    assert states(without_file)["b"] == "INITIALIZED"
    assert maestro_es("env", without_file, "--refresh").returncode == 0
    wait_for(lambda: maestro_es("tick", without_file).returncode == 0 and states(without_file)["b"] == "FINISHED")


def test_another_cluster_is_not_asked_for_the_jobs_of_a_study_without_the_file(
    cluster, without_file: Path, tmp_path: Path
):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    env = {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    for does, why in (
        ("echo 'ClusterName = other'", "PATH and SLURM_CONF of this process lead to cluster 'other', and not to '"),
        ("echo >&2 not here; exit 1", "scontrol: not here"),
    ):
        scontrol.write_text(f"#!/bin/sh\n{does}\n")
        scontrol.chmod(0o755)
        tick = maestro_es("tick", without_file, env=env)
        assert tick.returncode == 75
        [line] = tick.stderr.splitlines()
        assert "is missing, so no step starts; " in line
        assert f"{UNWATCHED}{why}" in line
        for shows in ("status", "why", "history"):
            told = maestro_es(shows, without_file, *(["a"] if shows == "why" else [])).stdout
            assert UNWATCHED[2:] in told, shows
            assert "does not answer" not in told
    refused = maestro_es("cancel", without_file, "-y", env=env)
    assert (refused.returncode, UNWATCHED in refused.stderr) == (75, True), refused
    assert states(without_file)["a"] == "RUNNING"
    maestro_es("tick", without_file)
    assert UNWATCHED[2:] not in maestro_es("status", without_file).stdout
    assert maestro_es("env", without_file, "--refresh").returncode == 0
    wait_for(lambda: maestro_es("tick", without_file).returncode == 0)
    wait_for(lambda: maestro_es("tick", without_file).returncode == 0 and states(without_file)["a"] == "CANCELLED")


def test_ticks_of_all_studies_ask_for_each_only_the_cluster_that_has_its_jobs(
    cluster, without_file: Path, tmp_path: Path
):
    healthy = tmp_path / "healthy"
    assert maestro_es("run", "-y", "-o", healthy, tmp_path / "study.yaml").returncode == 0
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text("#!/bin/sh\necho 'ClusterName = other'\n")
    scontrol.chmod(0o755)
    done = maestro_es("tick", "--all", env={"PATH": f"{scontrol.parent}:{os.environ['PATH']}"})
    assert (done.returncode, done.stderr.count(UNWATCHED)) == (75, 1)
    assert maestro_es("status", healthy, "--json").stdout.count('"unreachable": {}') == 1
    (tmp_path / "go").touch()

    def have_ended() -> bool:
        maestro_es("tick", "--all")
        return states(without_file)["a"] == states(healthy)["b"] == "FINISHED"

    wait_for(have_ended)
    assert states(without_file)["b"] == "INITIALIZED"
