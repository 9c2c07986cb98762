"""Studies on real schedulers, the same on each: what their jobs come to, and what may happen to a submission."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, State, StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.slurm.studies import (
    RUNTIME,
    events,
    finish,
    ledger,
    local_step,
    states,
    step,
    tick_until,
    until,
    wait_for_states,
)
from tools.kill_matrix.real_scheduler import RealScheduler
from tools.testbed.processes import arguments, end_all_under, running_under, wait_for

Launch = Callable[..., Path]


#: A stand-in for ``crontab``, with the crontab in a file.
_CRONTAB = """#!/bin/sh
case "$1" in -l) cat '{file}' ;; *) cat "$1" >'{file}' ;; esac
"""


def _crontab_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the command that ``cron install`` puts into the crontab."""
    (folder / "cron").mkdir()
    (folder / "crontab").touch()
    (folder / "cron" / "crontab").write_text(_CRONTAB.format(file=folder / "crontab"))
    (folder / "cron" / "crontab").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{folder}/cron:{os.environ['PATH']}")
        done = maestro_es("cron", "install")
    assert done.returncode == 0, done
    [line] = [line for line in (folder / "crontab").read_text().splitlines() if " tick --all" in line]
    return line.split(maxsplit=5)[5].replace("\\%", "%")


#: A slurmctld that is killed forgets its last job ids, and a slurmd drains its node if it gets one of them again.
_SLURMCTLD = "tests/slurm stops and kills slurmctld in clusters of their own"


def test_the_crontab_s_line_finishes_a_study_in_a_bare_environment(
    cluster: RealScheduler, launch: Launch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("MAESTRO_ES_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "nobody")  # as after `su`
    monkeypatch.setenv("OF_THE_USER", 'it\'s "rich" $HOME')
    root = launch(
        local_step("prep", "echo prepared > file"),
        step("sim", 'cat $(prep.workspace)/file; pwd; echo "$OF_THE_USER"; echo $(N) > n', ["prep"]),
        step("post", "cat $(sim.workspace)/*/n", ["sim_*"]),
        more="global.parameters: {N: {values: [1, 2, 3], label: N.%%}}\n",
    )  # fmt: skip
    line = _crontab_line(tmp_path, monkeypatch)
    variables = (f"HOME={tmp_path}", f"LOGNAME={pwd.getpwuid(os.geteuid()).pw_name}", "PATH=/usr/bin:/bin")
    bare = ["/usr/bin/env", "-i", *variables, "SHELL=/bin/sh", "/bin/sh", "-c", line]
    deadline = time.monotonic() + 120
    while set(states(root).values()) != {"FINISHED"} and time.monotonic() < deadline:
        done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        time.sleep(0.3)

    assert set(states(root).values()) == {"FINISHED"}
    assert len(ledger(root)) == 4
    [output] = (root / "sim" / "N.2").glob("sim_N.2*.out")
    assert f'prepared\n{root}/sim/N.2\nit\'s "rich" $HOME\n' in output.read_text()  # LSF writes more around it


def test_a_step_ends_with_its_own_exit_code(cluster: RealScheduler, launch: Launch):
    root = launch(step("three", "exit 3"), step("killed", "kill -9 $$"), step("well"))

    assert finish(root) is StudyStatus.FAILURE
    assert states(root) == {"three": "FAILED", "killed": "FAILED", "well": "FINISHED"}
    assert {failed.exit_code for failed in events(root, e.StepFailed)} == {3, 137}
    assert len(ledger(root)) == 3


def test_a_job_that_is_refused_was_not_queued(cluster: RealScheduler, launch: Launch):
    root = launch(step("a"), queue="nosuch", options=["--attempts", "1"])

    assert finish(root) is StudyStatus.FAILURE
    [failed] = events(root, e.StepFailed)
    assert failed.cause is Cause.REJECTED
    assert any(sign in failed.message for sign in ("ueue", "partition"))
    assert not (root / "ledger").exists()


@pytest.mark.parametrize("save", ["exit 0", "exit 1"])
def test_a_step_that_saves_its_work_at_the_end_of_its_time_is_restarted(
    cluster: RealScheduler, launch: Launch, save: str
):
    if cluster.kind == "slurm":
        pytest.skip("tests/slurm does this with a faster clock: the shortest walltime is a minute")
    command = f'trap "touch saved; {save}" TERM USR2 ALRM; sleep 300 & wait'
    root = launch(step("a", command, walltime=f'"{cluster.shortest}"', restart='"cat saved"'))  # fmt: skip

    assert finish(root, seconds=200) is StudyStatus.FINISHED
    assert len(events(root, e.StepTimedOut)) == 1
    assert (root / "a" / "saved").exists()


def test_a_cancelled_study_ends_its_running_and_its_waiting_jobs(cluster: RealScheduler, launch: Launch):
    root = launch(step("a", "sleep 300"), step("b", "sleep 300"))
    wait_for_states(root, a=State.RUNNING, b=State.RUNNING)
    assert maestro_es("cancel", "-y", root).returncode == 0

    assert finish(root) is StudyStatus.CANCELLED
    assert set(states(root).values()) == {"CANCELLED"}
    wait_for(lambda: not running_under(root))


def test_a_job_that_somebody_cancels_by_hand_is_a_cancelled_step(cluster: RealScheduler, launch: Launch):
    root = launch(step("a", "sleep 300"))
    wait_for_states(root, a=State.RUNNING)
    [submitted] = events(root, e.JobSubmitted)
    assert cluster.cancel(submitted.job_id) == 0

    assert finish(root) is StudyStatus.CANCELLED
    assert len(ledger(root)) == 1


def test_a_submission_whose_answer_is_lost_runs_once(cluster: RealScheduler, launch: Launch):
    cluster.fault("lost")
    root = launch(step("a"))
    assert len(events(root, e.SubmissionUncertain)) == 1

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1
    assert {submitted.adopted for submitted in events(root, e.JobSubmitted)} == {True}


def test_a_submission_that_is_sent_twice_runs_once(cluster: RealScheduler, launch: Launch):
    cluster.fault("twice")
    root = launch(step("a", until("go")))
    wait_for_states(root, a=State.RUNNING)
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_server_that_is_killed_after_a_submission_loses_nothing(cluster: RealScheduler, launch: Launch):
    if cluster.kind == "slurm":
        pytest.skip(_SLURMCTLD)
    root = launch(step("a", until("go")), step("b", depends=["a"]))
    cluster.signal_server(signal.SIGKILL)
    cluster.restart_server()
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 2


def test_a_server_that_is_killed_while_a_job_runs_does_not_fail_it(cluster: RealScheduler, launch: Launch):
    if cluster.kind == "slurm":
        pytest.skip(_SLURMCTLD)
    root = launch(step("a", until("go")))
    wait_for_states(root, a=State.RUNNING)
    cluster.signal_server(signal.SIGKILL)
    with Session(root, RUNTIME) as study, pytest.MonkeyPatch.context() as patch:
        patch.setattr("maestro_es.adapters.batch.TIMEOUT", 1.0)
        with pytest.raises(Unreachable):
            tick(study)
        assert study.graph.step(1).state is State.RUNNING
    (root.parent / "go").touch()
    wait_for(lambda: [*(root / ".maestro-es" / "inbox").glob("*.exit.0")])
    cluster.restart_server()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_server_that_hangs_says_nothing_of_any_job(cluster: RealScheduler, launch: Launch):
    if cluster.kind == "slurm":
        pytest.skip(_SLURMCTLD)
    root = launch(step("a", until("go")))
    wait_for_states(root, a=State.RUNNING)
    cluster.signal_server(signal.SIGSTOP)
    try:
        with Session(root, RUNTIME) as study, pytest.MonkeyPatch.context() as patch:
            patch.setattr("maestro_es.adapters.batch.TIMEOUT", 1.0)
            with pytest.raises(Unreachable):
                tick(study)
            assert study.graph.step(1).state is State.RUNNING
    finally:
        cluster.signal_server(signal.SIGCONT)
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def _is_uncertain(root: Path) -> bool:
    with Session(root, RUNTIME) as study, contextlib.suppress(Unreachable):
        tick(study)
    return bool(events(root, e.SubmissionUncertain))


def test_a_submission_to_a_server_that_hangs_is_in_doubt_and_runs_once(
    cluster: RealScheduler, launch: Launch, monkeypatch: pytest.MonkeyPatch
):
    if cluster.kind == "slurm":
        pytest.skip(_SLURMCTLD)
    root = launch(local_step("prep", until("start")), step("a", depends=["prep"]))
    cluster.signal_server(signal.SIGSTOP)
    try:
        monkeypatch.setattr("maestro_es.adapters.batch.TIMEOUT", 1.0)
        (root.parent / "start").touch()
        wait_for(lambda: _is_uncertain(root))
    finally:
        monkeypatch.undo()
        cluster.signal_server(signal.SIGCONT)
    monkeypatch.setenv("PATH", f"{cluster.bin}:{os.environ['PATH']}")

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_lost_log_is_recovered_with_its_running_job(cluster: RealScheduler, launch: Launch, tmp_path: Path):
    root = launch(step("a", until("go")), step("b", depends=["a"]))
    wait_for_states(root, a=State.RUNNING)
    assert maestro_es("export", root, "-o", tmp_path / "export").returncode == 0
    (root / "events.db").unlink()
    done = maestro_es("recover", root, "--from", tmp_path / "export")
    assert done.returncode == 0, done
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 2


#: A driver in a batch job. It stops 50 s before the end of its job, which has a minute.
_DRIVER = """#!/bin/sh
#SBATCH -n1 -t1 -p debug -o /dev/null
#flux: -n1 -t60s -q debug --output=/dev/null
#PBS -l walltime=00:01:00 -o /dev/null -j oe
#BSUB -W 1 -o /dev/null
echo job >>{folder}/jobs
PATH={path}
export PATH MAESTRO_ES_HOME={home}
{python} -m maestro_es drive --stop-before 50 {options} {root} >>{folder}/said 2>&1
"""


def _driver(folder: Path, root: Path, options: str = "") -> Path:
    """Write a script for a job that drives a study."""
    script = folder / "drive.sh"
    variables = {"home": os.environ["MAESTRO_ES_HOME"], "path": os.environ["PATH"], "python": sys.executable}
    script.write_text(_DRIVER.format(folder=folder, root=root, options=options, **variables))
    script.chmod(0o755)
    return script


def test_a_driver_stops_before_its_job_ends(cluster: RealScheduler, launch: Launch, tmp_path: Path):
    root = launch(step("a", until("go")))
    assert cluster.batch(_driver(tmp_path, root))
    wait_for(lambda: (tmp_path / "said").exists() and "is about to end" in (tmp_path / "said").read_text())
    (tmp_path / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_step_that_ends_with_the_job_of_its_driver_runs_again_and_this_does_not_count(
    cluster: RealScheduler, launch: Launch, tmp_path: Path
):
    local = f"    - {{name: b, description: d, run: {{cmd: '{until('go')}', depends: [a]}}}}\n"
    root = launch(step("a"), local)
    job = cluster.batch(_driver(tmp_path, root))
    wait_for(lambda: states(root)["b"] == "RUNNING")
    for pid in running_under(root):
        if b"drive" in arguments(pid):  # it must not see the end of its step
            os.kill(pid, signal.SIGKILL)
    end_all_under(tmp_path)
    wait_for(lambda: job not in cluster.queued())
    (tmp_path / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    [end] = events(root, e.HardwareFailed)
    assert end.number == 0, end
    assert "not count" in end.reason, end


@pytest.mark.timeout(400)
def test_a_chain_of_jobs_drives_a_study_to_its_end_and_leaves_no_job_behind(
    cluster: RealScheduler, launch: Launch, tmp_path: Path
):
    root = launch(step("a", until("go")), step("b", depends=["a"]))
    assert cluster.batch(_driver(tmp_path, root, f"--resubmit {tmp_path}/drive.sh"))
    wait_for(lambda: (tmp_path / "jobs").exists() and len((tmp_path / "jobs").read_text().split()) == 2, 150)
    (tmp_path / "go").touch()
    wait_for(lambda: set(states(root).values()) == {"FINISHED"}, 60)
    wait_for(lambda: not cluster.queued(), 60)
    said = (tmp_path / "said").read_text()

    assert "continues after this one" in said
    assert len(ledger(root)) == 2
    if cluster.kind != "lsf":  # volclava 2.2-beta starts jobs at once, whatever -w says
        assert said.count("continues after this one") == len((tmp_path / "jobs").read_text().split())
        assert "is about to end" in said


def test_a_job_that_was_put_back_in_the_queue_by_hand_does_not_start_another_time(
    cluster: RealScheduler, launch: Launch
):
    if cluster.kind == "flux":
        pytest.skip("Flux puts no job back in its queue")
    root = launch(step("only", until("go")))
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "ledger").exists)
    [submitted] = events(root, e.JobSubmitted)
    cluster.requeue(submitted.job_id)
    if cluster.kind == "lsf":  # without exit reasons, the signal INT means that a user has cancelled the job
        assert finish(root) is StudyStatus.CANCELLED
        wait_for(lambda: not cluster.queued())
        assert ledger(root) == [submitted.token]
        return
    tick_until(root, e.HardwareFailed)
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 2
    assert {event.token for event in events(root, e.SubmissionRequested)} == set(ledger(root))


def test_a_step_whose_node_is_lost_for_a_while_runs_on_and_counts(cluster: RealScheduler, launch: Launch):
    root = launch(step("only", until("go")), step("after", depends=["only"]))
    wait_for_states(root, only=State.RUNNING)
    cluster.lose_node()
    with contextlib.suppress(Unreachable), Session(root, RUNTIME) as study:
        tick(study)
    assert running_under(root)
    (root.parent / "go").touch()
    wait_for(lambda: [*(root / ".maestro-es" / "inbox").glob("*.exit.0")])
    cluster.repair_node()

    assert finish(root, seconds=200) is StudyStatus.FINISHED
    assert len(ledger(root)) == 2


def test_a_dry_tick_shows_the_command_and_submits_nothing(cluster: RealScheduler, launch: Launch):
    root = launch(step("one"), step("two", depends=["one"]))
    wait_for(lambda: [*(root / ".maestro-es" / "inbox").glob("*.exit.0")])
    before = cluster.queued()
    done = maestro_es("tick", "--dry", root)

    assert done.returncode == 0, done
    assert {"slurm": "sbatch", "flux": "flux submit", "pbs": "qsub", "lsf": "bsub"}[cluster.kind] in done.stdout
    assert f"{root}/two" in done.stdout
    assert {*cluster.queued()} <= {*before}
    assert len(events(root, e.JobSubmitted)) == 1
    assert finish(root) is StudyStatus.FINISHED


def test_why_names_the_job_and_its_state(cluster: RealScheduler, launch: Launch):
    root = launch(step("runs", until("go")), step("fails", "exit 3"), step("waits", depends=["runs"]))
    wait_for_states(root, runs=State.RUNNING, fails=State.FAILED)
    [job_id] = [event.job_id for event in events(root, e.JobSubmitted) if event.token in _of(root)]
    why = {name: " ".join(maestro_es("why", root, name).stdout.split()) for name in ("runs", "fails", "waits")}

    assert job_id in why["runs"]
    assert "exit code 3" in why["fails"]
    assert "runs" in why["waits"]
    (root.parent / "go").touch()
    assert finish(root) is StudyStatus.FAILURE


def _of(root: Path) -> list[str]:
    """Return the tokens of the step "runs"."""
    with Session(root, RUNTIME) as study:
        return [study.graph.step(study.graph.number_of("runs") or 0).token]


#: What each scheduler knows of an ended job.
USED = {"slurm": (), "flux": ("nodes",), "pbs": ("cpu", "nodes", "cores"), "lsf": ("cpu", "nodes", "cores")}


def test_what_an_attempt_has_used_is_recorded_if_the_scheduler_knows_it(cluster: RealScheduler, launch: Launch):
    root = launch(step("a", "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"))
    finish(root)
    expected = USED[cluster.kind]

    def usage() -> bool:
        with Session(root, RUNTIME) as study:
            tick(study)
            used = study.graph.step(1).usage
            return all(getattr(used, name, None) is not None for name in expected)

    wait_for(usage)
