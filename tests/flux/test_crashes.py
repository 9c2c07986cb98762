"""Brokers of a real Flux that hang, crash, restart, and end, while their jobs wait and run."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es.adapters import batch
from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.slurm.studies import RUNTIME, events, finish, ledger, states, step, tick_until, until, wait_for_states
from tools.kill_matrix.instance import Instance
from tools.testbed.processes import running_under, wait_for

Launch = Callable[..., Path]
Start = Callable[..., Instance]


def why(root: Path, name: str) -> str:
    """Return the answer of ``why`` on one line."""
    return " ".join(maestro_es("why", root, name).stdout.split())


def test_a_broker_that_hangs_proves_nothing(start_instance: Start, launch: Launch, monkeypatch: pytest.MonkeyPatch):
    instance = start_instance()
    root = launch(step("runs", until("go"), nested="false"), step("after", depends=["runs"], nested="false"))
    wait_for_states(root, runs=State.RUNNING)
    instance.signal(signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(batch, "TIMEOUT", 1.0)
        with Session(root, RUNTIME) as study, pytest.raises(Unreachable, match="has not answered within 1 s"):
            tick(study)
    assert states(root)["runs"] == "RUNNING"
    instance.signal(signal.SIGCONT)
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 2


def test_a_step_that_runs_on_after_a_crash_is_waited_for(start_instance: Start, launch: Launch):
    instance = start_instance()
    root = launch(step("quiet", until("go"), nested="false"))
    wait_for_states(root, quiet=State.RUNNING)
    instance.kill()
    assert running_under(root)
    instance.start()
    tick_until(root, e.JobUnsupervised)

    assert "flux no longer watches it (the Flux broker was restarted, and has forgotten the job)" in why(root, "quiet")
    assert "retry" in why(root, "quiet")
    assert states(root) == {"quiet": "RUNNING"}
    (root.parent / "go").touch()
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_step_that_fails_because_of_a_crash_runs_again(start_instance: Start, launch: Launch):
    instance = start_instance()
    words = "if [ -e again ]; then exit 0; fi; touch again; while sleep 0.2; do echo words || exit 1; done"
    root = launch(step("prints", words, nested="false"))
    wait_for_states(root, prints=State.RUNNING)
    instance.kill()
    wait_for(lambda: not running_under(root))
    instance.start()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 2
    assert not events(root, e.StepFailed)


def test_a_job_that_waited_at_a_crash_runs_once(start_instance: Start, launch: Launch):
    instance = start_instance(checkpoint="1s")
    root = launch(step("waits", nested="false", priority="held"))
    [submitted] = events(root, e.JobSubmitted)
    time.sleep(3)  # a checkpoint
    instance.kill()
    instance.start()
    assert instance.run("job", "urgency", submitted.job_id, "16").returncode == 0

    assert finish(root) is StudyStatus.FINISHED
    assert ledger(root) == [submitted.token]


def test_a_job_that_a_crash_has_lost_is_submitted_again(start_instance: Start, launch: Launch):
    instance = start_instance()
    root = launch(step("waits", nested="false", priority="held"))
    instance.kill()
    instance.start()
    tick_until(root, e.AttemptAbandoned)
    tick_until(root, e.JobSubmitted)
    first, second = (event.job_id for event in events(root, e.JobSubmitted))
    assert instance.run("job", "urgency", second, "16").returncode == 0

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1
    assert first


def test_jobs_that_a_shutdown_has_cancelled_run_again(start_instance: Start, launch: Launch):
    instance = start_instance()
    root = launch(step("runs", until("go"), nested="false"), step("waits", nested="false", priority="held"))
    wait_for_states(root, runs=State.RUNNING)
    _, waits = (event.job_id for event in events(root, e.JobSubmitted))
    instance.shut_down()
    done = maestro_es("tick", root)
    assert done.returncode == 75
    assert f"there is no Flux instance at {instance.uri}" in done.stderr
    assert "env STUDY --refresh" in why(root, "runs")
    instance.start()
    tick_until(root, e.HardwareFailed)
    (root.parent / "go").touch()
    for job_id in {event.job_id for event in events(root, e.JobSubmitted)}:
        instance.run("job", "urgency", job_id, "16")

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 3
    assert waits


def test_a_step_on_a_node_that_flux_has_lost_is_waited_for(start_instance: Start, launch: Launch):
    instance = start_instance(nodes=2)
    root = launch(step("quiet", until("go"), nested="false", args='{requires: "rank:1"}'))
    wait_for_states(root, quiet=State.RUNNING)
    instance.signal(signal.SIGKILL, node=1)
    tick_until(root, e.JobUnsupervised)
    assert "node failure on " in why(root, "quiet")
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_job_that_was_purged_has_ended(start_instance: Start, launch: Launch):
    instance = start_instance()
    root = launch(step("short", nested="false"))
    wait_for(lambda: instance.run("jobs", "-n", "-f", "pending,running", "-o", "{id}").stdout == "")
    instance.run("job", "purge", "--force", "--num-limit=0")

    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == 1


def test_a_user_may_say_that_an_unwatched_step_is_gone(start_instance: Start, launch: Launch):
    instance = start_instance()
    root = launch(step("quiet", f"[ -e $(SPECROOT)/go ] || {{ {until('go')}; exit 1; }}", nested="false"))
    wait_for_states(root, quiet=State.RUNNING)
    refused = maestro_es("retry", root, "quiet", "--lost")
    assert "is a job, and the scheduler will report its end" in refused.stderr
    instance.kill()
    instance.start()
    tick_until(root, e.JobUnsupervised)
    done = maestro_es("retry", root, "quiet", "--lost")
    assert done.returncode == 0, done
    (root.parent / "go").touch()

    assert finish(root) is StudyStatus.FINISHED


_MANY = 24

#: A script that replaces ``flux``, and injects a fault into the first call of ``flux python``.
_FAULTY = """#!/bin/sh
if [ "$1" = python ] && mkdir {folder}/done 2>/dev/null; then
    exec strace -f -q -o {folder}/trace -e trace=write -e inject=write:{fault} {flux} "$@"
fi
exec {flux} "$@"
"""


@pytest.mark.parametrize(
    "fault", ["signal=KILL:when=1", "signal=KILL:when=12", "signal=KILL:when=40", "error=EPIPE:when=12"]
)
def test_a_command_that_submits_many_jobs_may_be_killed_at_any_call(
    instance: Instance, launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
):
    folder = tmp_path / "faulty"
    folder.mkdir()
    (folder / "flux").write_text(_FAULTY.format(folder=folder, fault=fault, flux=shutil.which("flux")))
    (folder / "flux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    root = launch(*(step(f"s{n}", nested="false") for n in range(_MANY)))
    trace = (folder / "trace").read_text()

    assert "INJECTED" in trace or "SIGKILL" in trace
    assert len(events(root, e.SubmissionUncertain)) > 0
    assert finish(root) is StudyStatus.FINISHED
    assert len(ledger(root)) == len(set(ledger(root))) == _MANY
    assert (
        instance.run("jobs", "-a", "-n", "-c", "0", "-o", "{name}").stdout.count(f".{ledger(root)[0][:8]}-") == _MANY
    )
