"""A driver inside a job whose Slurm does not answer well. The commands of Slurm are made up."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under, wait_for

SPEC = """
description: {name: inner, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
- {name: one, description: d, run: {cmd: 'touch ready; sleep 60', procs: 1, nodes: 1}}
"""

#: A study of local steps.
LOCAL = """
description: {{name: {name}, description: d}}
batch: {{type: slurm, host: here, bank: mine, queue: debug}}
study: [{{name: part, description: d, run: {{cmd: "touch ../../on.$(N); {cmd}"}}}}]
global.parameters: {{N: {{values: [{values}], label: N.%%}}}}
"""

COMMANDS = {
    "scontrol": """
case "$*" in
*hostnames*) echo n1 ;;
*config*)
    printf 'ClusterName             = cl\\nSLURM_VERSION           = 24.11.7\\n'
    printf 'MinJobAge = 300 sec\\nMaxArraySize = 1001\\n'
    ;;
*)
    echo >>FOLDER/asked
    [ "$(wc -l <FOLDER/asked)" -gt 2 ] || { echo 'Unable to contact slurm controller' >&2; exit 1; }
    echo "JobId=18 NumNodes=1 Nodes=n1 CPU_IDs=0-3 Mem=0 GRES="
    ;;
esac
""",
    "squeue": """
case "$*" in
*--steps*) echo "18.0 $(cat FOLDER/agent)" ;;
*%L*) echo 1:00:00 ;;
*"-o %T"*) echo RUNNING ;;
*Format=*) ;;
*)
    echo "JOBID|STATE NODELIST END_TIME|REASON|COMMAND"
    [ -e FOLDER/absent ] || echo "18|$(cat FOLDER/state) n1 N/A|None|/tmp/job.sh"
    ;;
esac
""",
    "srun": """
for word; do case $word in --job-name=*) echo ${word#--job-name=} >FOLDER/agent ;; esac; done
while [ "$1" != /bin/sh ]; do shift; done
SLURM_STEP_ID=0 exec "$@"
""",
    "sbatch": "echo >>FOLDER/submitted; echo 99\n",
    "sacct": "exit 1\n",
    "scancel": "",
}


def install(folder: Path) -> str:
    """Write the commands. Returns a PATH with them."""
    folder.mkdir()
    for name, text in COMMANDS.items():
        (folder / name).write_text("#!/bin/sh\n" + text.replace("FOLDER", str(folder)))
        (folder / name).chmod(0o755)
    (folder / "state").write_text("RUNNING")
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.usefixtures("own_home")
def test_a_driver_that_is_told_to_stop_does_not_wait_for_its_agents(tmp_path: Path):
    folder, root = tmp_path / "bin", tmp_path / "study"
    path = install(folder)
    (folder / "srun").write_text(f"#!/bin/sh\ntouch {folder}/hangs\nexec sleep 300\n")
    (tmp_path / "inner.yaml").write_text(SPEC)
    command = ("-m", "maestro_es", "run", "-y", "--in-allocation", "-o", str(root), str(tmp_path / "inner.yaml"))
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "18"}
    driver = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for((folder / "hangs").exists)
        driver.terminate()
        assert driver.wait(timeout=20) == 75  # it would wait for half a minute for the agent
    finally:
        driver.kill()
        driver.wait()
        end_all_under(tmp_path)


@pytest.mark.usefixtures("own_home")
def test_an_answer_is_missing_or_lacks_the_job(tmp_path: Path):
    """The driver asks again. One answer of squeue without the job does not put its steps back; a final state does."""
    folder, root = tmp_path / "bin", tmp_path / "study"
    path = install(folder)
    (tmp_path / "inner.yaml").write_text(SPEC)
    command = ("-m", "maestro_es", "run", "-y", "--in-allocation", "-o", str(root), str(tmp_path / "inner.yaml"))
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "18"}
    driver = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL)

    def after_a_tick() -> str:
        maestro_es("tick", root, env={"PATH": path})
        return maestro_es("history", root, "--json").stdout

    try:
        wait_for(lambda: (root / "one/ready").exists() or driver.poll() is not None)
        assert driver.poll() is None
        driver.send_signal(signal.SIGSTOP)  # the node of the driver is gone
        (folder / "absent").touch()
        wait_for(lambda: '"JobNotFound"' in after_a_tick())
        assert after_a_tick().count('"SubmissionRequested"') == 1

        (folder / "absent").unlink()
        (folder / "state").write_text("TIMEOUT")
        wait_for(lambda: "job 18 has ended" in after_a_tick())
    finally:
        driver.kill()
        driver.wait()
        end_all_under(tmp_path)


@contextlib.contextmanager
def driven(root: Path, path: str, steps: int, cmd: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a study of local steps with a driver inside the job."""
    spec = root.with_suffix(".yaml")
    spec.write_text(LOCAL.format(name=root.name, cmd=cmd, values=", ".join(map(str, range(steps)))))
    command = (sys.executable, "-m", "maestro_es", "run", "-y", *options, "-o", str(root), str(spec))
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "18", "SLURMD_NODENAME": "n1"}
    with (
        root.with_suffix(".err").open("wb") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors) as driver,
    ):
        try:
            yield driver
        finally:
            driver.kill()
            end_all_under(root)


@pytest.mark.usefixtures("own_home")
def test_a_study_whose_processes_were_all_killed_leaves_its_slots_to_others(tmp_path: Path):
    path, dead = install(tmp_path / "bin"), tmp_path / "dead"
    with driven(dead, path, 4, "sleep 300", "--in-allocation"):
        wait_for(lambda: len([*dead.glob("on.*")]) == 4)
    with driven(tmp_path / "alive", path, 4, "true", "--in-allocation") as alive:
        assert alive.wait(timeout=100) == 0


@pytest.mark.usefixtures("own_home")
def test_a_driver_inside_a_job_leaves_slots_to_local_steps_of_run_wait(tmp_path: Path):
    path, first = install(tmp_path / "bin"), tmp_path / "first"
    with driven(first, path, 200, "sleep 1", "--in-allocation") as inside:
        wait_for(lambda: len([*first.glob("on.*")]) >= 4)
        with driven(tmp_path / "second", path, 2, "true", "--wait", "--local-slots", "4") as beside:
            assert beside.wait(timeout=40) == 0
        assert inside.poll() is None


@pytest.mark.usefixtures("own_home")
def test_no_step_starts_while_the_log_of_another_study_in_the_job_is_locked(tmp_path: Path):
    """The other study fills the job. Its driver does not notice that a program has locked its log."""
    path, full, second = install(tmp_path / "bin"), tmp_path / "full", tmp_path / "second"
    errors = tmp_path / "second.err"
    with driven(full, path, 4, "sleep 300", "--in-allocation") as other:
        wait_for(lambda: len([*full.glob("on.*")]) == 4)
        with contextlib.closing(sqlite3.connect(full / "events.db", timeout=30)) as program:
            program.execute("BEGIN EXCLUSIVE")
            other.send_signal(signal.SIGSTOP)
            with driven(second, path, 2, "true", "--in-allocation") as waiting:
                wait_for((second / ".maestro-es/last-tick").exists, 25)  # SQLite would wait for half a minute
                wait_for(
                    lambda: f"no step starts until another study answers: {full} does not say" in errors.read_text()
                )
                assert '"SubmissionRequested"' not in maestro_es("history", second, "--json").stdout
                end_all_under(full)
                program.rollback()
                assert waiting.wait(timeout=60) == 0
