"""What becomes of single jobs of a study on a real Slurm: each way to end, and what looks like an end and is none."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, State, StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.slurm.studies import (
    LEDGER,
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
)  # fmt: skip
from tools.slurm_cluster.cluster import MEMORY_CGROUPS, Cluster
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for


def _job(root: Path, name: str) -> str:
    with Session(root, RUNTIME) as study:
        return study.graph.step(study.graph.number_of(name) or 0).job_id


def _forgotten(cluster: Cluster, *names: str) -> bool:
    """Whether the queue knows of no such jobs any more, not even as ended."""
    known = cluster.run("squeue", "--noheader", "--states=all", "--format=%j")
    return known.returncode == 0 and not set(names) & set(known.stdout.split())


def _replace(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a script in the place of a command of Slurm's, for the next study; `$real` is the command."""
    folder.mkdir(exist_ok=True)
    for command in ("sbatch", "squeue", "scancel", "sacct", "scontrol"):
        (folder / command).symlink_to(str(shutil.which(command)))
    (folder / name).unlink()
    (folder / name).write_text(f"#!/bin/sh\nreal={shutil.which(name)}\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


# -- how a job ends --------------------------------------------------------------------------------------------------


def test_each_way_to_end_is_told_from_the_others(cluster, launch):
    root = launch(
        step("well", "exit 0"),
        step("badly", "exit 3"),
        step("killed", "kill -9 $$"),
        step("held", nodes="2"),
        step("stopped", "sleep 100"),
    )
    wait_for_states(root, well=State.FINISHED, badly=State.FAILED, killed=State.FAILED, stopped=State.RUNNING)
    cluster.run("scancel", _job(root, "stopped"))
    assert finish(root) is StudyStatus.CANCELLED
    assert states(root) == {
        "well": "FINISHED", "badly": "FAILED", "killed": "FAILED", "held": "FINISHED", "stopped": "CANCELLED"
    }  # fmt: skip
    assert sorted((event.cause, event.exit_code) for event in events(root, e.StepFailed)) == [
        (Cause.EXIT_CODE, 3), (Cause.EXIT_CODE, 137)
    ]  # fmt: skip


def test_a_job_that_was_cancelled_before_it_ran_is_a_cancelled_step(cluster, launch):
    root = launch(step("waits", args="{begin: now+1hour}"), step("after", "", ["waits"]))
    cluster.run("scancel", _job(root, "waits"))
    assert finish(root) is StudyStatus.CANCELLED
    assert states(root) == {"waits": "CANCELLED", "after": "CANCELLED"}
    assert not (root / "ledger").exists()


def test_a_step_that_is_warned_before_its_end_can_save_its_work(cluster, launch):
    wait = "touch ready; for _ in $(seq 600); do sleep 0.1; done"
    root = launch(step("saves", f'trap "touch saved; exit 0" USR1; {wait}'))
    wait_for((root / "saves" / "ready").exists)
    cluster.run("scancel", "--batch", "--signal=USR1", _job(root, "saves"))

    assert finish(root) is StudyStatus.FINISHED
    assert (root / "saves" / "saved").exists()


def test_a_step_that_saves_its_work_when_its_time_is_over_is_restarted_though_it_exits_with_0(start_cluster, launch):
    start_cluster(Options(ctld_speed=30, kill_wait=60))
    save = 'trap "touch saved; exit 0" TERM; while true; do sleep 0.1; done'
    root = launch(step("saves", save, walltime='"00:02:00"', restart=f'"{LEDGER}; test -e saved"'))

    assert finish(root) is StudyStatus.FINISHED
    assert len(events(root, e.StepTimedOut)) == len(events(root, e.StepRestarted)) == 1
    assert len(ledger(root)) == 2


def test_of_a_job_that_the_queue_has_forgotten_the_accounts_say_why_it_was_told_to_end(start_cluster, launch):
    cluster = start_cluster(Options(accounting=True, min_job_age=2))
    root = launch(step("cancelled", "touch ready; sleep 100"))
    wait_for((root / "cancelled" / "ready").exists)
    cluster.run("scancel", _job(root, "cancelled"))
    wait_for(lambda: _forgotten(cluster, "cancelled"))

    assert finish(root) is StudyStatus.CANCELLED
    assert len(ledger(root)) == 1


@pytest.mark.skipif(not MEMORY_CGROUPS.is_dir(), reason="the kernel has no cgroup v1, which this cluster needs")
def test_a_job_that_takes_too_much_memory_fails_and_is_not_submitted_again(start_cluster, launch):
    start_cluster(Options(oom=True))
    root = launch(step("hungry", f'{sys.executable} -c "bytearray(400_000_000)"', memory="50"))
    assert finish(root) is StudyStatus.FAILURE
    [failed] = events(root, e.StepFailed)
    assert failed.cause is Cause.OUT_OF_MEMORY
    assert len(ledger(root)) == 1


@pytest.mark.parametrize("partition", ["low", "lowrequeue"])
def test_a_preempted_job_is_submitted_again(cluster, launch, tmp_path, partition):
    """Also where Slurm would put it back in the queue, because it must not."""
    root = launch(step("meek", until("go"), args=f"{{partition: {partition}}}"))
    wait_for_states(root, meek=State.RUNNING)
    boss = ["sbatch", "--parsable", "--output=/dev/null", "--nodes=2", "--exclusive", "--wrap", "sleep 100"]
    boss_id = cluster.run(*boss).stdout.strip()
    tick_until(root, e.HardwareFailed)
    [failure] = events(root, e.HardwareFailed)
    assert "PREEMPTED" in failure.reason
    cluster.run("scancel", boss_id)
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert [event.attempt for event in events(root, e.SubmissionRequested)] == [1, 2]
    assert len(ledger(root)) == 2


def test_a_job_that_ended_while_neither_queue_nor_accounts_could_tell_is_recalled_a_month_later(
    start_cluster, launch, tmp_path, monkeypatch
):
    cluster = start_cluster(Options(accounting=True, ctld_speed=20, min_job_age=2))
    [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    later = f"LD_PRELOAD={library} FAKETIME=+30d exec $real"  # no job of "today" is of today then
    _replace(tmp_path / "bin", monkeypatch, "sacct", f'{later} "$@"')
    root = launch(step("killed", "kill -9 $PPID; sleep 1"))
    wait_for(lambda: _forgotten(cluster, "killed"))
    told = ("sacct", "--noheader", "--allocations", "--starttime=2000-01-01", "--name=killed", "--format=State")
    wait_for(lambda: "FAILED" in cluster.run(*told).stdout)  # a slurmdbd that is killed forgets what it was just told
    cluster.kill("slurmdbd")
    with Session(root, RUNTIME) as study, pytest.raises(Unreachable, match="sacct"):
        tick(study)
    assert maestro_es("tick", root).returncode == 75
    assert states(root)["killed"] in {"PENDING", "RUNNING"}  # which was true when somebody last knew
    cluster.resume("slurmdbd")
    assert finish(root) is StudyStatus.FAILURE
    [failed] = events(root, e.StepFailed)
    assert {"queue", "accounting"} <= {said.source for said in failed.evidence}
    assert len(ledger(root)) == 1


# -- what looks like an end, or a job, and is none -------------------------------------------------------------------


def test_a_submission_that_was_killed_for_taking_too_long_is_adopted_if_there_is_a_job(
    cluster, launch, tmp_path, monkeypatch
):
    _replace(tmp_path / "bin", monkeypatch, "sbatch", '"$real" "$@" >/dev/null; exec sleep 30')
    root = launch(local_step("first", until("go")), step("only", "", ["first"]))
    stop_own_ticks(root)  # which would wait longer
    monkeypatch.setattr("maestro_es.adapters.batch.TIMEOUT", 5)
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    [unanswered] = events(root, e.SubmissionUncertain)
    assert unanswered.message == "sbatch has not answered within 5 s"
    assert [event.adopted for event in events(root, e.JobSubmitted)] == [False, True]
    assert len(ledger(root)) == 1


def test_a_job_that_was_requeued_after_its_study_was_moved_counts_as_lost(start_cluster, launch):
    """Its second run finds no directory for its output, and none for its report."""
    cluster = start_cluster(Options(cred_expire=5))
    root = launch(step("only", "sleep 100"))
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "ledger").exists)
    job = _job(root, "only")
    moved = root.rename(root.with_name("moved"))
    cluster.run("scontrol", "update", f"jobid={job}", "requeue=1")
    assert cluster.run("scontrol", "requeue", job).returncode == 0
    tick_until(moved, e.HardwareFailed)
    wait_for_states(moved, only=State.RUNNING)
    assert events(moved, e.StepFailed) == []


def test_a_step_that_runs_on_without_its_node_is_not_believed_when_it_reports_at_last(start_cluster, launch, tmp_path):
    cluster = start_cluster(Options())
    wait = until("$(echo $MAESTRO_ES_TOKEN | cut -d- -f3)")
    root = launch(step("only", f"{wait}; exit $(( $(echo $MAESTRO_ES_TOKEN | cut -d- -f3) - 1 ))"))
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "ledger").exists)
    node = cluster.run("squeue", "-h", "--name=only", "-o", "%N").stdout.strip()
    cluster.kill(f"slurmd-{node}")
    cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    wait_for_states(root, only=State.PENDING)
    wait_for_states(root, only=State.RUNNING)
    wait_for(lambda: len(ledger(root)) == 2)
    (tmp_path / "1").touch()  # the first attempt, whose node Slurm takes for dead, ends with 0
    tick_until(root, e.ReportIgnored)
    assert states(root) == {"only": "RUNNING"}
    (tmp_path / "2").touch()  # the second one ends with 1
    assert finish(root) is StudyStatus.FAILURE
    [failed] = events(root, e.StepFailed)
    assert failed.exit_code == 1


def test_jobs_that_the_queue_has_forgotten_are_judged_by_their_reports_where_there_are_no_accounts(
    start_cluster, launch
):
    cluster = start_cluster(Options(ctld_speed=20, min_job_age=2))
    root = launch(step("reported"), step("silent", "mkdir $(SPECROOT)/once || exit 0; kill -9 $PPID; sleep 1"))
    wait_for(lambda: _forgotten(cluster, "reported", "silent"))
    assert finish(root) is StudyStatus.FINISHED
    assert [event.number for event in events(root, e.HardwareFailed)] == [1]  # gone without a word: submitted again
    assert len(ledger(root)) == 3


# -- what Slurm says of states and times -----------------------------------------------------------------------------


def _recorded(root: Path, kind: type[e.Event]) -> list[e.Recorded]:
    with Session(root, RUNTIME) as study:
        return [recorded for recorded in study.log.events() if isinstance(recorded.event, kind)]


def _ends(cluster: Cluster, name: str) -> bool:
    """Whether a job is over, for two seconds at least, and the queue still knows it."""
    shown = cluster.run("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%T").stdout.strip()
    if shown in {"", "PENDING", "RUNNING", "COMPLETING"}:
        return False
    time.sleep(2.5)
    return True


def test_a_job_whose_runner_was_killed_failed_when_slurm_says_and_nothing_runs_beside_its_remains(cluster, launch):
    root = launch(step("killed", "kill -KILL $PPID; sleep 60"))
    stop_own_ticks(root)
    wait_for(lambda: _ends(cluster, "killed"))
    assert finish(root) is StudyStatus.FAILURE
    [failed] = _recorded(root, e.StepFailed)
    assert isinstance(failed.event, e.StepFailed)
    details = " ".join(said.detail for said in failed.event.evidence)
    assert "JobLaunchFailure" in details or "RaisedSignal:9" in details  # 22.05, 24.11
    assert not failed.event.noticed
    assert failed.recorded_at - failed.event.at > 1_000_000
    assert len(ledger(root)) == 1


def test_the_accounts_say_when_a_job_ended_that_the_queue_has_forgotten(start_cluster, launch):
    cluster = start_cluster(Options(accounting=True, min_job_age=2))
    root = launch(step("killed", "kill -KILL $PPID; sleep 60"))
    wait_for_states(root, killed=State.RUNNING)
    wait_for(lambda: _forgotten(cluster, "killed"))
    tick_until(root, e.StepFailed)
    [failed] = _recorded(root, e.StepFailed)
    assert isinstance(failed.event, e.StepFailed)
    assert not failed.event.noticed
    assert failed.recorded_at - failed.event.at > 1_000_000


def test_a_state_that_is_not_known_is_recorded_once_and_named_by_why(cluster, launch, tmp_path, monkeypatch):
    del cluster
    _replace(tmp_path / "bin", monkeypatch, "squeue", '"$real" "$@" | sed "s/|RUNNING /|REVOKED /"')
    root = launch(step("odd", until("go")))
    tick_until(root, e.JobStateUnknown)
    for _ in range(3):
        maestro_es("tick", root)
    assert [event.raw_state for event in events(root, e.JobStateUnknown)] == ["REVOKED"]
    assert "slurm reported the state REVOKED" in maestro_es("why", root, "odd").stdout
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
