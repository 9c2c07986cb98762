"""How often Slurm is asked, and what becomes of a tick when it does not answer."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.model import State, StudyStatus
from maestro_es.drivers.cron_tick import TRY_AGAIN, tick_all
from maestro_es.errors import Unreachable
from maestro_es.poller.prefetch import prefetch
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es, stop_own_ticks
from tests.slurm.studies import (
    HEAD,
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
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import running_under, wait_for

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")


class Calls:
    """The calls of Slurm's commands, which go through programs of ours in a directory of their own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "calls"
        for name in COMMANDS:
            program = folder / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >>"{self._file}"\nexec {shutil.which(name)} "$@"\n')
            program.chmod(0o755)

    def lines(self) -> list[str]:
        """Return the calls since the last question."""
        found = self._file.read_text().splitlines() if self._file.exists() else []
        self._file.write_text("")
        return found

    def count(self) -> Counter[str]:
        """Count the calls since the last question by command."""
        return Counter(line.split()[0] for line in self.lines())


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count the calls of Slurm's commands by studies that are launched from now on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    found = Calls(folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    return found


def _launch_many(folder: Path, number: int, *steps: str) -> list[Path]:
    (folder / "many.yaml").write_text(HEAD + "".join(steps))
    roots = [folder / f"study{place}" for place in range(number)]
    for root in roots:
        done = maestro_es("run", "-y", "-o", root, folder / "many.yaml")
        assert done.returncode == 0, done
    return roots


# -- how often -------------------------------------------------------------------------------------------------------


def test_all_studies_are_ticked_with_one_question_to_the_queue(cluster, calls, tmp_path):
    roots = _launch_many(tmp_path, 4, step("one", "sleep 1"), step("two", "sleep 1"), step("after", "", ["one"]))
    calls.count()
    assert tick_all(RUNTIME).code == 0
    assert calls.count()["squeue"] == 1
    deadline = time.monotonic() + 60
    while any(set(states(root).values()) != {"FINISHED"} for root in roots) and time.monotonic() < deadline:
        assert tick_all(RUNTIME).code == 0
        assert calls.count()["squeue"] <= 1
        time.sleep(0.2)
    assert [set(states(root).values()) for root in roots] == [{"FINISHED"}] * 4
    assert all(len(ledger(root)) == 3 for root in roots)
    tick_all(RUNTIME)
    assert calls.count() == {}


def test_an_answer_is_good_for_the_state_that_was_read_before_the_question(cluster, calls, launch):
    root = launch(step("one", "sleep 60"))
    wait_for_states(root, one=State.RUNNING)
    calls.count()
    snapshot = prefetch([root], RUNTIME)[root]
    with Session(root, RUNTIME) as study:
        tick(study, snapshot=snapshot)
        assert calls.count() == {"squeue": 1}
        study.log.append([(None, e.StudyPaused())])
        tick(study, snapshot=snapshot)
        assert calls.count() == {"squeue": 1}


def test_a_tick_of_one_study_asks_the_queue_once_and_the_accounts_once(start_cluster, calls, launch, tmp_path):
    cluster = start_cluster(Options(accounting=True, min_job_age=2))
    root = launch(step("lost", f"{until('go')}; kill -9 $PPID; sleep 1"), step("long", "sleep 100"), step("done"))
    wait_for_states(root, lost=State.RUNNING)
    (tmp_path / "go").touch()
    wait_for(lambda: "lost" not in cluster.run("squeue", "-h", "-t", "all", "-o", "%j").stdout.split())
    wait_for(lambda: "FAILED" in cluster.run("sacct", "-X", "-n", "--name=lost", "-o", "State").stdout)
    calls.count()
    with Session(root, RUNTIME) as study:
        tick(study)
    found = calls.lines()
    assert [line.split()[0] for line in found] == ["squeue", "sacct", "sacct"]  # the last is about what was used
    with Session(root, RUNTIME) as study:
        jobs = {step.name: step.job_id for step in study.graph.steps()}
    assert found[1].endswith(f"-j {jobs['lost']}")
    assert states(root)["lost"] == "FAILED"
    with Session(root, RUNTIME) as study:
        tick(study)
    assert calls.count()["squeue"] == 1


def test_what_is_left_of_a_local_step_costs_no_second_question(cluster, calls, launch):
    root = launch(local_step("here", "touch ready; sleep 61 & sleep 62"), step("long", "sleep 100"))
    wait_for((root / "here" / "ready").exists)
    wait_for_states(root, long=State.RUNNING, here=State.RUNNING)
    with Session(root, RUNTIME) as study:
        here = study.graph.number_of("here") or 0
        os.kill(int(study.graph.step(here).job_id), 9)
        calls.count()
        tick(study)
        assert calls.count() == {"squeue": 1}

    def made_good() -> bool:
        with Session(root, RUNTIME) as study:
            tick(study)
            assert calls.count() == {"squeue": 1}
            return study.graph.step(here).hardware_failures == 1

    wait_for(made_good)
    maestro_es("cancel", "-y", root)


def test_a_study_is_cancelled_with_what_the_queue_has_just_shown(cluster, calls, launch):
    root = launch(step("long", "sleep 60"))
    wait_for_states(root, long=State.RUNNING)
    with Session(root, RUNTIME) as study:
        study.log.append([(None, e.CancelRequested())])
        calls.count()
        tick(study)
    assert calls.count() == {"squeue": 1, "scancel": 1}
    assert finish(root) is StudyStatus.CANCELLED


# -- no answer -------------------------------------------------------------------------------------------------------

#: The MessageTimeout of these clusters in seconds. That a tick waits once for it is told by the calls that it makes.
PATIENCE = 2


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_tick_waits_once_for_a_controller_that_does_not_answer(start_cluster, calls, launch, tmp_path, how):
    cluster = start_cluster(Options(message_timeout=PATIENCE))
    ready = [step(f"ready{number}", "", ["quick"]) for number in range(40)]
    quick = local_step("quick", until("quick"))
    root = stop_own_ticks(launch(quick, step("long", until("go")), step("after", "", ["long"]), *ready))
    getattr(cluster, how)("slurmctld")
    (tmp_path / "quick").touch()  # 40 steps are ready now
    wait_for(lambda: not running_under(root / "quick"))
    calls.count()
    with Session(root, RUNTIME) as study:
        for _ in range(3):
            with pytest.raises(Unreachable, match="squeue"):
                tick(study)
            assert calls.count() == {"squeue": 1}
        assert study.graph.step(study.graph.number_of("quick") or 0).state is State.FINISHED
        assert sum(step.attempt for step in study.graph.steps()) == 2
    assert len(events(root, e.PollFailed)) == 1
    done = maestro_es("tick", root)
    assert (done.returncode, "squeue" in done.stderr) == (75, True), done
    (tmp_path / "go").touch()
    cluster.thaw("slurmctld") if how == "freeze" else cluster.resume("slurmctld")
    cluster.wait_for_nodes()
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 42
    assert len(events(root, e.PollFailed)) == len(events(root, e.PollRecovered)) == 1


def test_all_studies_wait_once_for_a_controller_that_does_not_answer(start_cluster, calls, tmp_path):
    cluster = start_cluster(Options(message_timeout=PATIENCE))
    roots = _launch_many(tmp_path, 3, step("long", until("go")))
    cluster.freeze("slurmctld")
    calls.count()
    outcome = tick_all(RUNTIME)
    assert (outcome.code, len(outcome.lines)) == (TRY_AGAIN, 3)
    assert tick_all(RUNTIME).lines == []
    assert calls.count() == {"squeue": 2}
    assert [len(events(root, e.PollFailed)) for root in roots] == [1, 1, 1]
    (tmp_path / "go").touch()
    cluster.thaw("slurmctld")
    assert all(finish(root) is StudyStatus.FINISHED for root in roots)


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_cancel_that_gets_no_answer_says_so_and_the_next_tick_makes_it(start_cluster, calls, launch, tmp_path, how):
    cluster = start_cluster(Options(message_timeout=PATIENCE))
    root = stop_own_ticks(launch(step("long", until("go")), step("after", "", ["long"])))
    wait_for_states(root, long=State.RUNNING)
    getattr(cluster, how)("slurmctld")
    calls.count()
    done = maestro_es("cancel", "-y", root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done
    assert (
        "the cancellation is recorded; jobs that may still be running: 1; the next tick ends them: slurm: squeue"
        in done.stderr
    )
    assert calls.count() == {"squeue": 1}
    assert len(events(root, e.CancelRequested)) == 1
    cluster.thaw("slurmctld") if how == "freeze" else cluster.resume("slurmctld")
    cluster.wait_for_nodes()
    assert finish(root) is StudyStatus.CANCELLED
    assert not (tmp_path / "go").exists()
    assert states(root) == {"long": "CANCELLED", "after": "CANCELLED"}


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_controller_that_stops_answering_before_the_submissions_leaves_one_in_doubt(
    start_cluster, calls, launch, tmp_path, how
):
    """A frozen one may have the job all the same: what was never sent is taken back, what was is looked for."""
    cluster = start_cluster(Options(message_timeout=PATIENCE))
    wide = "".join(step(f"wide{number}", "", ["first"]) for number in range(40))
    root = stop_own_ticks(launch(local_step("first", until("go")), wide))
    (tmp_path / "go").touch()
    wait_for(lambda: not running_under(root / "first"))
    getattr(cluster, how)("slurmctld")
    calls.count()
    with Session(root, RUNTIME) as study:
        tick(study)
        assert calls.count() == {"sbatch": 1}
    [unanswered] = events(root, e.SubmissionUncertain)
    assert "Batch job submission failed" in unanswered.message
    assert len(events(root, e.SubmissionWithdrawn)) == 39
    assert "it is unknown whether the job was submitted: sbatch: error: Batch" in maestro_es("status", root).stdout
    with Session(root, RUNTIME) as study, pytest.raises(Unreachable):
        tick(study)
    assert calls.count()["squeue"] == 1
    cluster.thaw("slurmctld") if how == "freeze" else cluster.resume("slurmctld")
    cluster.wait_for_nodes()
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 40
    with Session(root) as study:
        assert [step.message for step in study.graph.steps()] == [""] * 41


def _fall_silent_after(command: str, folder: Path, cluster: Cluster) -> str:
    """Let the controller hang once this command has been run; returns what to write in its place again."""
    program = folder / "bin" / command
    real = program.read_text()
    program.write_text(real.replace("exec ", "") + f"kill -STOP {cluster.daemons['slurmctld'].pid}\n")
    return real


def test_a_controller_that_falls_silent_before_jobs_are_ended_is_not_asked_to_take_any(
    start_cluster, calls, launch, tmp_path
):
    cluster = start_cluster(Options(message_timeout=PATIENCE))
    root = stop_own_ticks(
        launch(local_step("first", until("go")), step("wide", "", ["first"]), step("long", "sleep 100"))
    )
    wait_for_states(root, long=State.RUNNING)
    (tmp_path / "go").touch()
    wait_for(lambda: not running_under(root / "first"))
    with Session(root, RUNTIME) as study:
        study.request(lambda graph: requests.cancel(graph, ["long"]))
    calls.count()
    real = _fall_silent_after("squeue", tmp_path, cluster)
    with Session(root, RUNTIME) as study, pytest.raises(Unreachable, match="scancel"):
        tick(study)
    assert calls.count() == {"squeue": 1, "scancel": 1}
    assert len(events(root, e.SubmissionWithdrawn)) == 1

    cluster.thaw("slurmctld")
    (tmp_path / "bin" / "squeue").write_text(real)
    assert finish(root) is StudyStatus.CANCELLED
    assert states(root) == {"first": "FINISHED", "wide": "FINISHED", "long": "CANCELLED"}


def test_all_studies_wait_once_for_a_controller_that_falls_silent_while_they_are_ticked(
    start_cluster, calls, tmp_path
):
    cluster = start_cluster(Options(message_timeout=PATIENCE))
    steps = (local_step("first", until("go")), step("wide", "", ["first"]), step("long", "sleep 3"))
    roots = [stop_own_ticks(root) for root in _launch_many(tmp_path, 4, *steps)]
    (tmp_path / "go").touch()
    wait_for(lambda: not any(running_under(root / "first") for root in roots))
    calls.count()
    real = _fall_silent_after("squeue", tmp_path, cluster)
    tick_all(RUNTIME)
    assert calls.count() == {"squeue": 1, "sbatch": 1}
    assert sorted(len(events(root, e.SubmissionRequested)) for root in roots) == [2, 2, 2, 3]

    cluster.thaw("slurmctld")
    (tmp_path / "bin" / "squeue").write_text(real)
    assert all(finish(root) is StudyStatus.FINISHED for root in roots)


def test_a_command_that_never_ends_is_no_answer(cluster, calls, launch, tmp_path, monkeypatch):
    root = launch(step("long", until("go")))
    real = (tmp_path / "bin" / "squeue").read_text()
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nsleep 600\n")
    with monkeypatch.context() as patch, Session(root, RUNTIME) as study:
        patch.setattr("maestro_es.adapters.batch.TIMEOUT", 0.5)
        with pytest.raises(Unreachable, match="squeue has not answered within 0"):
            tick(study)
    (tmp_path / "bin" / "squeue").write_text(real)
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED


def test_slurms_own_reason_why_a_job_waits_is_in_the_log_in_status_and_in_why(cluster, launch):
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    root = launch(step("only"))
    tick_until(root, e.JobDelayed)
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")

    [delayed] = events(root, e.JobDelayed)
    assert delayed.reason == "PartitionDown"
    assert delayed.reason in maestro_es("status", root).stdout
    assert f"slurm gives this reason: {delayed.reason}" in maestro_es("why", root, "only").stdout
    assert finish(root) is StudyStatus.FINISHED


def test_what_slurm_says_of_itself_is_kept_and_run_warns_of_one_that_forgets_too_soon(start_cluster, tmp_path):
    start_cluster(Options(min_job_age=30))
    (tmp_path / "study.yaml").write_text(HEAD + step("one"))

    launched = maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml")

    [created] = events(tmp_path / "study", e.StudyCreated)
    assert created.scheduler["MinJobAge"] == "30 sec"
    assert "Slurm forgets a job within 60 s of its end (MinJobAge) and keeps no accounting records" in launched.stdout
    assert finish(tmp_path / "study") is StudyStatus.FINISHED
