"""Jobs that Slurm has lost, or takes for lost: by a controller that forgets, and a node that does not answer."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from maestro_es.adapters.base import Adapters
from maestro_es.adapters.host import Host
from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime, make_adapters
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.slurm.studies import events, finish, ledger, states, step, until, wait_for_states
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for


def hasty(batch: Mapping[str, Any], host: Host) -> Adapters:
    """The adapters of a study, with a grace of which sixty are six seconds."""
    adapters = make_adapters(batch, host)
    adapters.scheduler.grace_seconds = 0.1
    return adapters


HASTY = Runtime(adapters=hasty)


def accounts_say(cluster: Cluster, job: str) -> str:
    return cluster.run("sacct", "-X", "-n", "-P", "-o", "State", "-j", job).stdout.strip()


def slurm_says(cluster: Cluster, job: str) -> str:
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").stdout.strip()


def forget(cluster: Cluster, kept: Path) -> None:
    """Kill the controller, and let it find what it had written down before, or nothing."""
    cluster.kill("slurmctld")
    shutil.rmtree(cluster.folder / "slurmctld")
    kept.rename(cluster.folder / "slurmctld")
    cluster.resume("slurmctld")
    cluster.run("scontrol", "update", "nodename=ALL", "state=resume")
    cluster.wait_for_nodes()


def submitted_and_in_the_accounts(cluster: Cluster, root: Path) -> str:
    """Wait until the accounts list the only job of a study; returns its id."""
    [submitted] = events(root, e.JobSubmitted)
    wait_for(lambda: accounts_say(cluster, submitted.job_id) == "PENDING")
    return str(submitted.job_id)


@pytest.fixture
def full_cluster(accounting_cluster):
    """A cluster none of whose jobs can start before its controller has forgotten them."""
    accounting_cluster.run("scontrol", "update", "nodename=ALL", "state=drain", "reason=test")
    return accounting_cluster


def test_a_job_that_the_controller_has_lost_and_the_accounts_list_for_ever_runs_in_the_end(
    full_cluster, launch, tmp_path
):
    cluster = full_cluster
    cluster.run("sbatch", "--hold", "--output=/dev/null", "--wrap=true")  # so that there is a list of jobs to find
    cluster.send("slurmctld", signal.SIGTERM)
    shutil.copytree(cluster.folder / "slurmctld", tmp_path / "kept")
    cluster.resume("slurmctld")
    root = launch(step("only"))
    job = submitted_and_in_the_accounts(cluster, root)
    forget(cluster, tmp_path / "kept")

    with Session(root, HASTY) as study:
        end = time.monotonic() + 2
        while time.monotonic() < end:  # the accounts are believed for a while
            tick(study)
            time.sleep(0.3)
    assert (len(events(root, e.JobNotFound)), len(events(root, e.AttemptAbandoned))) == (1, 0)
    assert accounts_say(cluster, job) == "PENDING"
    assert finish(root, HASTY) is StudyStatus.FINISHED
    assert len(events(root, e.AttemptAbandoned)) == 1
    assert [event.attempt for event in events(root, e.SubmissionRequested)] == [1, 2]
    assert [token.split("-")[2] for token in ledger(root)] == ["2"]


def test_a_job_that_the_accounts_ended_because_its_controller_lost_everything_is_submitted_again(
    full_cluster, launch, tmp_path
):
    (tmp_path / "kept").mkdir()
    root = launch(step("only"))
    job = submitted_and_in_the_accounts(full_cluster, root)
    shutil.copy(full_cluster.folder / "slurmctld" / "clustername", tmp_path / "kept")
    forget(full_cluster, tmp_path / "kept")
    wait_for(lambda: accounts_say(full_cluster, job) == "CANCELLED")  # by nobody
    assert finish(root) is StudyStatus.FINISHED
    assert len(events(root, e.HardwareFailed)) == 1
    assert [token.split("-")[2] for token in ledger(root)] == ["2"]


def test_a_node_that_slurm_gives_up_while_its_job_runs_is_the_one_case_of_two_attempts_at_once(
    start_cluster, launch, tmp_path
):
    cluster = start_cluster(Options(slurmd_timeout=5, ctld_speed=10))
    root = launch(step("only", f"echo + >> $(SPECROOT)/busy; {until('go')}; echo - >> $(SPECROOT)/busy"))
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "ledger").exists)
    node = cluster.run("squeue", "-h", "--name=only", "-o", "%N").stdout.strip()
    cluster.kill(f"slurmd-{node}")
    wait_for_states(root, only=State.PENDING)
    [failure] = events(root, e.HardwareFailed)
    assert "NODE_FAIL" in failure.reason
    wait_for_states(root, only=State.RUNNING)
    wait_for(lambda: (tmp_path / "busy").read_text() == "+\n+\n")
    (tmp_path / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert states(root) == {"only": "FINISHED"}
    assert [token.split("-")[2] for token in ledger(root)] == ["1", "2"]


def test_a_job_whose_controller_died_while_it_ran_does_not_run_again_under_its_token(start_cluster, launch, tmp_path):
    """The controller remembers it as one that waits, and starts it again. 24.11 and 25.05 also end the first start."""
    cluster = start_cluster(Options(cred_expire=5))
    cluster.run("scontrol", "update", "nodename=ALL", "state=drain", "reason=test")
    alone = "exec 9>$(SPECROOT)/lock; flock -n 9 || touch $(SPECROOT)/met"
    root = launch(step("only", f"{alone}; case $MAESTRO_ES_TOKEN in *-1-1-*) sleep 60;; esac"))
    cluster.send("slurmctld", signal.SIGTERM)
    shutil.copytree(cluster.folder / "slurmctld", tmp_path / "kept")
    cluster.resume("slurmctld")
    cluster.run("scontrol", "update", "nodename=ALL", "state=resume")
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "ledger").exists)
    forget(cluster, tmp_path / "kept")

    assert finish(root) is StudyStatus.FINISHED
    [failure] = events(root, e.HardwareFailed)
    details = " ".join(said.detail for said in failure.evidence)
    assert any(sign in details for sign in ("refused", "FAILED", "CANCELLED"))  # by the runner, or by the slurmd
    assert [token.split("-")[2] for token in ledger(root)] == ["1", "2"]
    assert not (tmp_path / "met").exists()


def test_a_cancel_that_the_controller_did_not_hear_is_asked_for_again(start_cluster, launch):
    cluster = start_cluster(Options(message_timeout=2))
    root = launch(step("long", "sleep 100"))
    wait_for_states(root, long=State.RUNNING)
    cluster.kill("slurmctld")
    assert maestro_es("cancel", "-y", root).returncode in {0, 75}
    assert maestro_es("tick", root).returncode == 75
    assert states(root) == {"long": "RUNNING"}
    cluster.resume("slurmctld")
    cluster.wait_for_nodes()
    assert finish(root) is StudyStatus.CANCELLED
    assert cluster.run("squeue", "-h", "--name=long").stdout == ""


def test_a_job_that_the_controller_calls_running_and_never_sent_to_its_node_is_submitted_again(start_cluster, launch):
    """The controller ended when it had decided to start the job; its node knows nothing of it, and says so in time."""
    cluster = start_cluster(Options(message_timeout=2, conf=("BatchStartTimeout=1",)))
    nodes = [name for name in cluster.daemons if name.startswith("slurmd-")]
    for name in nodes:
        cluster.freeze(name)
    root = launch(step("only"))
    [submitted] = events(root, e.JobSubmitted)
    wait_for(lambda: slurm_says(cluster, submitted.job_id) == "RUNNING")
    cluster.send("slurmctld", signal.SIGTERM)
    for name in nodes:
        cluster.kill(name)
    cluster.resume()
    assert slurm_says(cluster, submitted.job_id) == "RUNNING"

    time.sleep(4)  # BatchStartTimeout and MessageTimeout: only then does the controller miss it
    for name in nodes:
        cluster.send(name, signal.SIGHUP)
    assert finish(root) is StudyStatus.FINISHED
    [failure] = events(root, e.HardwareFailed)
    assert "NODE_FAIL" in failure.reason
    assert [token.split("-")[2] for token in ledger(root)] == ["2"]
