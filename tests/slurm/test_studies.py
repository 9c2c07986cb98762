"""Studies on a real Slurm: what its jobs come to, and what can happen between a tick and the scheduler."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys

import pytest

from maestro_es.adapters.slurm import adapter
from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.fakes.walltimes import NO_TIMES_TO_SLURM, TIMES_TO_SLURM
from tests.slurm.studies import (
    HEAD,
    LEDGER,
    RUNTIME,
    events,
    finish,
    impatient,
    ledger,
    local_step,
    states,
    step,
    tick_until,
    until,
    wait_for_states,
)  # fmt: skip
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import running_under, wait_for


def test_what_a_user_has_set_for_all_jobs_holds_where_the_study_says_nothing(cluster, launch, monkeypatch):
    monkeypatch.setenv("SBATCH_TIMELIMIT", "7")
    monkeypatch.setenv("SBATCH_PARTITION", "low")
    root = launch(step("a", "scontrol show job $SLURM_JOB_ID"), step("b", depends=["a"]))
    monkeypatch.delenv("SBATCH_TIMELIMIT")

    finish(root)

    shown = (root / "a" / "a.out").read_text()
    assert "TimeLimit=00:07:00" in shown
    assert "Partition=debug" in shown, "the study names its queue, and sbatch takes that first"


def test_options_in_front_of_a_steps_commands_count_as_in_maestro_and_those_of_the_restart_script_for_a_restart(
    start_cluster, tmp_path
):
    start_cluster(Options(ctld_speed=30))
    (tmp_path / "study.yaml").write_text(
        HEAD
        + """
    - name: sim
      description: d
      run:
        procs: 1
        walltime: "00:02:00"
        cmd: |
          #SBATCH --mem=77
          echo $SLURM_MEM_PER_NODE >cmd
          sleep 100
        restart: |
          #SBATCH --mem=88
          echo $SLURM_MEM_PER_NODE >restart
"""
    )
    root = tmp_path / "study"
    assert maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml").returncode == 0

    assert finish(root) is StudyStatus.FINISHED
    assert [(root / "sim" / name).read_text() for name in ("cmd", "restart")] == ["77\n", "88\n"]


def test_local_steps_of_a_slurm_study_run_here_in_parallel_up_to_their_own_limit(cluster, launch, tmp_path):
    wait = until("go")
    near = f"[ -z $SLURM_JOB_ID ] && echo 1 >> $(SPECROOT)/busy; {wait}; echo -1 >> $(SPECROOT)/busy # $(N)"
    root = launch(
        local_step("near", near),
        step("far", f"[ -n $SLURM_JOB_ID ] && {wait}"),
        more="global.parameters: {N: {values: [1, 2, 3, 4, 5, 6], label: N.%%}}\n",
        options=["--local-slots", "2"],
    )
    wait_for_states(root, **{"far": State.RUNNING, "near_N.1": State.RUNNING, "near_N.2": State.RUNNING})
    with Session(root, RUNTIME) as study:
        assert len(study.graph.in_flight()) == 3  # and each tick has returned
    (tmp_path / "go").touch()

    assert finish(root) is StudyStatus.FINISHED

    running = list(itertools.accumulate(map(int, (tmp_path / "busy").read_text().split())))
    assert (max(running), len(running)) == (2, 12)


def test_scripts_that_are_kept_among_temporary_files_are_not_those_of_jobs(cluster, launch, monkeypatch, tmp_path):
    """Nodes have temporary files of their own. Maestro's sbatch copies the script; here the job starts it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    root = launch(local_step("here", "echo $0 > script"), step("there", "true", ["here"]), options=["--usetmp"])
    wait_for((root / "here" / "script").exists)
    assert (root / "here" / "script").read_text().startswith(str(tmp_path / "tmp"))
    assert finish(root) is StudyStatus.FINISHED
    assert (root / "there" / "there.slurm.sh").exists()


def test_a_study_whose_path_looks_like_a_pattern_of_slurms_runs_and_its_output_is_there(cluster, tmp_path):
    root = tmp_path / "at 50%j"
    (tmp_path / "study.yaml").write_text(HEAD + step("only", "echo hello"))
    assert maestro_es("run", "-y", "-o", root, tmp_path / "study.yaml").returncode == 0
    assert finish(root) is StudyStatus.FINISHED
    assert (root / "only" / "only.out").read_text() == "hello\n"


def test_what_slurm_says_is_heard_also_where_who_starts_us_ignores_the_ends_of_its_children(cluster, tmp_path):
    """Then the system throws exit codes away, and those of Slurm's commands would all look like success."""
    refused = step("refused", qos="high", args="{mem-per-cpu: nonsense}")
    (tmp_path / "study.yaml").write_text(HEAD + refused + step("fine"))
    ours = [sys.executable, "-m", "maestro_es", "run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml"]
    done = subprocess.run(
        ["/bin/bash", "-c", 'trap "" CHLD; exec "$@"', "bash", *ours], capture_output=True, check=False
    )
    assert done.returncode == 0, done
    assert finish(tmp_path / "study") is StudyStatus.FAILURE
    assert states(tmp_path / "study") == {"refused": "FAILED", "fine": "FINISHED"}
    [rejected] = events(tmp_path / "study", e.SubmissionRejected)
    assert "Invalid --mem-per-cpu specification" in rejected.message


def test_a_walltime_is_refused_with_its_study_if_and_only_if_sbatch_can_not_read_it(cluster):
    for walltime in (*TIMES_TO_SLURM, *NO_TIMES_TO_SLURM):
        words = ["sbatch", "--test-only", "--wrap=true", f"--time={walltime}"]
        said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stderr
        assert ("Invalid --time specification" in said) == bool(adapter.walltime_remedy(walltime)), (walltime, said)


def test_while_the_controller_is_down_nothing_is_concluded_and_the_study_goes_on_afterwards(
    start_cluster, launch, tmp_path
):
    cluster = start_cluster(Options(message_timeout=2))
    root = launch(step("long", until("go")), step("after", "", ["long"]))
    cluster.kill("slurmctld")
    with Session(root, RUNTIME) as study:
        head = study.log.head.seq
        with pytest.raises(Unreachable, match="squeue"):
            tick(study)
        assert [type(r.event).__name__ for r in study.log.events(head)][-1] == "PollFailed"
        before = study.log.head
        with pytest.raises(Unreachable):
            tick(study)
        assert study.log.head == before
    assert maestro_es("tick", root).returncode == 75
    (tmp_path / "go").touch()
    cluster.resume("slurmctld")
    cluster.wait_for_nodes()
    assert finish(root) is StudyStatus.FINISHED
    assert len(events(root, e.PollFailed)) == len(events(root, e.PollRecovered)) == 1


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Put a program in sbatch's place for the next study; it finds the real one in $SBATCH_REAL."""

    def replace(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("squeue", "scancel", "sacct"):
            (folder / name).symlink_to(str(shutil.which(name)))
        real = shutil.which("sbatch")
        (folder / "sbatch").write_text(f"#!/bin/sh\nreal={real}\nonce() {{ mkdir {tmp_path}/once; }}\n{script}\n")
        (folder / "sbatch").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return replace


def test_a_submission_that_says_failure_and_makes_a_job_is_not_made_again(cluster, launch, sbatch):
    sbatch('"$real" "$@" >/dev/null; echo "sbatch: error: Batch job submission failed: Socket timed out" >&2; exit 1')
    root = launch(step("only"))
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_tick_whose_submission_got_no_answer_says_so_and_ends_with_75(cluster, launch, sbatch):
    silent = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'
    sbatch(f'"$real" "$@" >/dev/null; {silent}')
    root = launch(local_step("near", until("go")), step("far", "sleep 1", ["near"]))
    stop_own_ticks(root)
    root.with_name("go").touch()
    wait_for(lambda: not running_under(root / "near"))

    done = maestro_es("tick", root)
    assert (done.returncode, done.stdout) == (75, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(
        f"maestro-es: {root}: far: it is not yet known whether it was submitted: sbatch: error: Batch"
    )
    done = maestro_es("tick", root)  # finds the job
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


@pytest.mark.parametrize("made", [True, False])
def test_a_tick_that_is_killed_while_sbatch_runs_leaves_nothing_behind_in_the_end(cluster, launch, sbatch, made):
    sbatch(f'if once; then {"" if made else "true "}"$real" "$@"; kill -9 $PPID; else exec "$real" "$@"; fi')
    root = launch(local_step("near", until("go")), step("far", "sleep 1", ["near"]))
    stop_own_ticks(root)
    before = sorted((root / ".maestro-es").iterdir())
    root.with_name("go").touch()
    wait_for(lambda: not running_under(root / "near"))

    assert maestro_es("tick", root).returncode == -9
    assert len(list((root / ".maestro-es").glob("*-2-1-*"))) == 1
    assert finish(root) is StudyStatus.FINISHED
    assert [event.adopted for event in events(root, e.JobSubmitted)] == [False, made]
    assert sorted((root / ".maestro-es").iterdir()) == before
    assert len(ledger(root)) == 1


def test_a_study_whose_first_submission_got_no_answer_is_launched_all_the_same(cluster, sbatch, tmp_path):
    sbatch('"$real" "$@" >/dev/null; exit 1')
    (tmp_path / "study.yaml").write_text(HEAD + step("only"))
    done = maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml")
    assert done.returncode == 0
    assert "only: it is not yet known whether it was submitted: sbatch ended with 1" in done.stderr
    assert "Study launched" in done.stdout
    assert finish(tmp_path / "study") is StudyStatus.FINISHED
    assert len(ledger(tmp_path / "study")) == 1


def test_jobs_are_known_by_the_path_of_their_script_alone_which_is_all_that_squeue_shows_since_23_02(
    cluster, launch, tmp_path, monkeypatch
):
    folder = tmp_path / "bin"
    folder.mkdir()
    cut = "sed 's/^\\(\\([^|]*|\\)\\{3\\}[^ ]*\\) .*/\\1/'"
    (folder / "squeue").write_text(f'#!/bin/sh\n{shutil.which("squeue")} "$@" | {cut}\n')
    (folder / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    root = launch(step("long", "sleep 60"), step("short", "sleep 1"))
    wait_for_states(root, long=State.RUNNING, short=State.FINISHED)
    stop_own_ticks(root)
    with Session(root, RUNTIME) as study:
        token = next(step.token for step in study.graph.in_flight())
    asked = subprocess.run(
        ["squeue", "-h", "--name=long", "-o", "x|x|x|%o"], capture_output=True, text=True, check=True
    )
    assert asked.stdout == f"x|x|x|{root}/.maestro-es/{token}\n"
    assert not os.path.lexists(root / ".maestro-es" / token)

    assert maestro_es("cancel", "-y", root, "long").returncode == 0
    assert finish(root) is StudyStatus.CANCELLED
    assert events(root, e.JobNotFound) == []
    assert cluster.run("squeue", "-h", "--name=long").stdout == ""


def test_a_job_that_was_acknowledged_and_lost_is_missed_given_up_and_submitted_again(cluster, launch, sbatch):
    sbatch('if once 2>/dev/null; then echo 4000000; else exec "$real" "$@"; fi')
    root = launch(step("only"))
    assert finish(root) is StudyStatus.FINISHED
    assert len(events(root, e.JobNotFound)) == len(events(root, e.AttemptAbandoned)) == 1
    assert [event.attempt for event in events(root, e.SubmissionRequested)] == [1, 2]
    assert len(ledger(root)) == 1


def test_an_id_that_now_is_another_job_is_not_believed(cluster, launch, sbatch):
    foreign = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap", "sleep 100").stdout.strip()
    sbatch(f'if once 2>/dev/null; then echo {foreign}; else exec "$real" "$@"; fi')
    root = launch(step("only"))
    assert finish(root) is StudyStatus.FINISHED
    assert events(root, e.JobSubmitted)[0].job_id == foreign
    assert "RUNNING" in cluster.run("squeue", "-h", "-j", foreign, "-o", "%T").stdout
    assert len(ledger(root)) == 1


def test_a_job_whose_node_failed_is_submitted_again(cluster, launch, tmp_path):
    root = launch(step("only", until("go")))
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "ledger").exists)
    node = cluster.run("squeue", "-h", "--name=only", "-o", "%N").stdout.strip()
    cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    tick_until(root, e.HardwareFailed)
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    [failure] = events(root, e.HardwareFailed)
    assert (failure.number, failure.limit) == (1, 3)
    assert "NODE_FAIL" in failure.reason
    assert len(ledger(root)) == 2


def test_a_job_that_its_node_could_not_launch_is_submitted_again(start_cluster, launch, tmp_path):
    """Slurm cancels it then, because it must not requeue it, and drains the node."""
    prolog = tmp_path / "prolog"
    prolog.write_text(f"#!/bin/sh\nmkdir {tmp_path}/failed 2>/dev/null && exit 1\nexit 0\n")
    prolog.chmod(0o755)
    start_cluster(Options(conf=(f"Prolog={prolog}",)))
    root = launch(step("only"), step("after", "", ["only"]))
    assert finish(root) is StudyStatus.FINISHED
    [failure] = events(root, e.HardwareFailed)
    assert "CANCELLED" in failure.reason
    assert len(ledger(root)) == 2


def _given_up(cluster, launch):
    """Launch a study whose first job the controller can't send to its node, and has put back in the queue."""
    cluster.freeze("slurmd-n1")
    root = launch(step("only"), step("after", "", ["only"]))

    def job(what):
        return cluster.run("squeue", "-h", "--name=only", "-t", "all", "-O", what).stdout.strip()

    wait_for(lambda: job("RestartCnt") == "1")
    cluster.kill("slurmd-n1")
    cluster.resume("slurmd-n1")
    wait_for(lambda: job("State") == "PENDING", 150)  # the controller asks a node each minute to end a job
    assert job("NodeList") == ""
    return root


def test_a_job_that_its_node_cancels_after_it_was_put_back_in_the_queue_is_submitted_again(start_cluster, launch):
    """The node, which had the job for too long, would cancel it, as it must not requeue it; that is done for it."""
    cluster = start_cluster(Options(nodes=1, message_timeout=2))
    root = _given_up(cluster, launch)
    cluster.run("scancel", "--name=only")
    assert "CANCELLED |" in cluster.run("squeue", "-h", "-t", "all", "--name=only", "-o", "%T %N|").stdout

    assert finish(root) is StudyStatus.FINISHED

    [failure] = events(root, e.HardwareFailed)
    assert "CANCELLED" in failure.reason
    assert len(ledger(root)) == 2


def test_after_a_reboot_of_the_login_node_the_jobs_in_the_queue_are_gone_on_with(cluster, launch, tmp_path):
    root = launch(step("long", until("go")), step("after", "", ["long"]))
    wait_for_states(root, long=State.RUNNING)
    (tmp_path / "go").touch()
    rebooted = Runtime(host=RUNTIME.host._replace(boot_id="another-boot"), adapters=impatient)
    assert finish(root, rebooted) is StudyStatus.FINISHED
    assert len(events(root, e.RebootDetected)) == 1
    assert [event.attempt for event in events(root, e.SubmissionRequested)] == [1, 1]
    assert len(ledger(root)) == 2


def test_a_timed_out_job_is_restarted_with_its_restart_script_within_the_limit(start_cluster, launch):
    start_cluster(Options(ctld_speed=30))
    restart = f'"{LEDGER}; touch $(WORKSPACE)/restarted; sleep 100"'
    root = launch(step("long", "sleep 100", walltime='"00:02:00"', restart=restart))
    assert finish(root) is StudyStatus.FAILURE
    assert states(root) == {"long": "TIMEDOUT"}
    assert (root / "long" / "restarted").exists()
    assert [event.final for event in events(root, e.StepTimedOut)] == ["", "restart limit reached: 1 of 1"]
    assert len(ledger(root)) == 2


def test_jobs_that_failed_are_submitted_again_and_a_finished_one_with_its_descendants(cluster, launch):
    root = launch(
        step("prep"),
        step("sim", "test -e $(OUTPUT_PATH)/mended", ["prep"]),
        step("post", "", ["sim"]),
    )
    assert finish(root) is StudyStatus.FAILURE
    assert len(ledger(root)) == 2

    (root / "mended").touch()
    assert maestro_es("retry", root, "--failed", "--reason", "mended").returncode == 0
    assert finish(root) is StudyStatus.FINISHED
    assert [token.split("-")[1] for token in ledger(root)] == ["1", "2", "2", "3"]

    assert maestro_es("retry", root, "sim", "--descendants").returncode == 0
    assert maestro_es("hold", root, "post").returncode == 0
    wait_for_states(root, sim=State.FINISHED, post=State.INITIALIZED)
    assert maestro_es("release", root, "post").returncode == 0
    assert finish(root) is StudyStatus.FINISHED
    assert [token.split("-")[1] for token in ledger(root)] == ["1", "2", "2", "3", "2", "3"]
    jobs = [event.job_id for event in events(root, e.JobSubmitted)]
    assert len(set(jobs)) == len(jobs) == 6
