"""Steps that are submitted as one job array, on a real Slurm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.slurm.studies import RUNTIME, events, finish, ledger, states, step, tick_until
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for

WAIT = ": $(N); touch ready; until [ -e go ]; do sleep 0.1; done"
PARAMETERS = "global.parameters:\n  N: {values: [%s], label: N.%%%%}\n"


def equal(number: int) -> str:
    """Return parameters with this number of values, so that one step becomes as many."""
    return PARAMETERS % ", ".join(map(str, range(number)))


def workspaces(root: Path) -> list[Path]:
    return sorted((root / "sim").iterdir(), key=lambda path: int(path.name.removeprefix("N.")))


def go(root: Path, *numbers: int) -> None:
    for number, workspace in enumerate(workspaces(root)):
        if not numbers or number in numbers:
            (workspace / "go").touch()


def all_ready(root: Path, number: int) -> bool:
    return len(list(root.glob("sim/*/ready"))) == number


def submitted(root: Path) -> list[str]:
    return [event.job_id for event in events(root, e.JobSubmitted)]


ARRAYS = ("--array", "always")


def test_equal_steps_are_one_array_and_each_ends_by_itself(cluster, launch):
    root = launch(step("sim", "echo $(N) $SLURM_JOB_NAME; exit $(( $(N) == 1 ))"), more=equal(4), options=ARRAYS)
    array = submitted(root)[0].partition("_")[0]

    assert submitted(root) == [f"{array}_{n}" for n in range(4)]
    assert finish(root) is StudyStatus.FAILURE
    assert [state for _, state in sorted(states(root).items())] == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    for number, workspace in enumerate(workspaces(root)):
        assert (workspace / f"sim_N.{number}.out").read_text() == f"{number} sim_N.{number}\n"
    assert len(ledger(root)) == len(set(ledger(root))) == 4


def test_one_pending_element_that_a_person_cancels_runs_again_without_accounts(cluster, launch):
    """Slurm leaves no trace of it. So its absence looks like a loss, which docs/reliability.md says."""
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    root = launch(step("sim", ": $(N)"), more=equal(3), options=ARRAYS)
    array = submitted(root)[0].partition("_")[0]
    cluster.run("scancel", f"{array}_1")
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 3


@pytest.mark.parametrize("others", ["pending", "ended"])
def test_one_pending_element_that_a_person_cancels_is_cancelled_with_accounts(accounting_cluster, launch, others):
    cluster = accounting_cluster
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    root = launch(step("sim", ": $(N)"), more=equal(4), options=ARRAYS)
    array = submitted(root)[0].partition("_")[0]
    told = ("sacct", "--noheader", "--allocations", f"--jobs={array}", "--format=State")
    wait_for(lambda: "PENDING" in cluster.run(*told).stdout)
    cluster.run("scancel", f"{array}_2")
    if others == "pending":
        tick_until(root, e.StepCancelled)
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")
    wait_for(lambda: len(ledger(root)) == 3 if (root / "ledger").exists() else False)

    assert finish(root) is StudyStatus.CANCELLED
    assert sorted(states(root).values()) == ["CANCELLED", "FINISHED", "FINISHED", "FINISHED"]
    assert len(ledger(root)) == 3


def test_an_array_that_a_person_cancels_while_it_waits_is_cancelled(cluster, launch):
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    root = launch(step("sim", ": $(N)"), more=equal(3), options=ARRAYS)
    array = submitted(root)[0].partition("_")[0]
    cluster.run("scancel", f"{array}_[0-2]")
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")

    assert finish(root) is StudyStatus.CANCELLED
    assert not (root / "ledger").exists()


def test_the_cancelled_last_element_leaves_the_others_alone(cluster, launch):
    """Its other id is that of the array."""
    root = launch(step("sim", WAIT), more=equal(3), options=ARRAYS)
    wait_for(lambda: all_ready(root, 3))
    with Session(root, RUNTIME) as study:
        last = max(study.graph.in_flight(), key=lambda one: int(one.job_id.partition("_")[2])).number
        study.request(lambda _graph: [(None, e.CancelRequested(steps=(last,)))])
    tick_until(root, e.StepCancelled)
    go(root)

    assert finish(root) is StudyStatus.CANCELLED
    assert sorted(states(root).values()) == ["CANCELLED", "FINISHED", "FINISHED"]


def test_an_element_that_is_started_again_is_refused_and_keeps_its_output(cluster, launch):
    root = launch(step("sim", f"echo once; {WAIT}"), more=equal(3), options=ARRAYS)
    wait_for(lambda: all_ready(root, 3))
    job = submitted(root)[1]
    cluster.run("scontrol", "update", f"JobId={job}", "Requeue=1")
    cluster.run("scontrol", "requeue", job)
    go(root)

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == len(set(ledger(root)))
    assert "once\n" in (workspaces(root)[1] / "sim_N.1.out").read_text()


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_an_array_that_a_crash_of_the_controller_loses_runs_once(start_cluster, launch, seconds):
    cluster = start_cluster(Options())
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    time.sleep(1)
    root = launch(step("sim", ": $(N)"), more=equal(5), options=ARRAYS)
    time.sleep(seconds)
    cluster.kill("slurmctld")
    cluster.resume("slurmctld")
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")

    assert finish(root) is StudyStatus.FINISHED
    assert len({token.split("-")[1] for token in ledger(root)}) == 5
    assert len(ledger(root)) == 5


def test_a_tick_makes_no_event_while_an_array_waits(cluster, launch):
    cluster.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
    root = launch(step("sim", ": $(N)"), more=equal(3), options=ARRAYS)
    with Session(root, RUNTIME) as study:
        tick(study)
        seq = study.log.head.seq
        tick(study)
        assert study.log.head.seq == seq
    cluster.run("scontrol", "update", "PartitionName=debug", "State=UP")
    assert finish(root) is StudyStatus.FINISHED


def test_steps_with_other_resources_are_not_in_the_array(cluster, launch):
    root = launch(
        step("sim", ": $(N)", walltime="00:0$(P):00"),
        more=equal(4) + "  P: {values: [1, 1, 1, 2], label: P.%%}\n",
        options=ARRAYS,
    )
    assert sum("_" in job for job in submitted(root)) == 3
    assert finish(root) is StudyStatus.FINISHED


def test_an_array_is_as_large_as_slurm_allows_and_no_larger(start_cluster, launch):
    start_cluster(Options(conf=("MaxArraySize=5",)))
    root = launch(step("sim", ": $(N)"), more=equal(6), options=ARRAYS)

    assert sorted(job.partition("_")[2] for job in submitted(root)) == ["", "0", "1", "2", "3", "4"]
    assert finish(root) is StudyStatus.FINISHED


def test_an_array_runs_to_its_end_in_the_foreground(cluster, launch):
    root = launch(step("sim", "echo $(N)"), more=equal(3), options=(*ARRAYS, "--wait", "-s", "1"))

    assert len({job.partition("_")[0] for job in submitted(root)}) == 1
    assert set(states(root).values()) == {"FINISHED"}
    assert len(ledger(root)) == 3
