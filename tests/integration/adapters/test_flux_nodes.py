"""A driver in a Flux job that has lost a node, with a script in the place of ``flux``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_es.adapters.flux.allocation import Endings, FluxJob
from maestro_es.adapters.flux.client import FluxJobs
from maestro_es.adapters.host import Host, this_host
from maestro_es.adapters.inside import Inside
from maestro_es.core.attempt_token import Placement, placed_suffix
from maestro_es.core.environment import Environment
from maestro_es.core.model import JobState, Phase, State, StepRecord
from maestro_es.core.step_keys import Need
from maestro_es.errors import Unreachable

#: The job around the driver, with the time of its submission in microseconds.
JOB = "fX+1000005"

FLUX = """#!/bin/sh
case "$*" in
*eventlog*) echo '1.000005 submit {}' ;;
*resource.R) echo '{"execution":{"R_lite":[{"rank":"0-2","children":{"core":"0-3"}}]}}' ;;
getattr*) echo 0 ;;
*MemTotal*) printf '0: 4\\n0: 4096 kB\\n2: 4\\n2: 4096 kB\\n' ;;
*cmdline*) printf '2: agent\\n2: runs-TOKEN\\n' ;;
esac
case "$*" in exec*) echo 'flux-exec: Error: rank 1: /bin/sh: No route to host' >&2; exit 68 ;; esac
"""

KNOWN = 'case "$*" in *jobs*) echo 1.000005 RUN ;; esac'
UNKNOWN = "echo 'JobID fX unknown' >&2; exit 1"
#: Only the instance around ours knows the job.
KNOWN_AROUND = f'case "$*" in --parent*) echo 1.000005 RUN ;; *) {UNKNOWN} ;; esac'
NO_ANSWER = "echo 'flux-jobs: ERROR: Unable to connect to Flux' >&2; exit 1"


def step(node: int) -> StepRecord:
    return StepRecord(
        number=node, name="s", template="s", params=(), workspace="s", workspaces={}, scheduled=True, row=1,
        restart_limit=1, token=f"study-{node}-1-{placed_suffix('a1', Placement(JOB, node))}", job_id="fX.0",
        job_host="n", phase=Phase.SUBMITTED, state=State.RUNNING, requested_at=1,
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FluxJob:
    (tmp_path / "flux").write_text(FLUX)
    (tmp_path / "flux").chmod(0o755)
    for name in ("FLUX_JOB_ID", "FLUX_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLUX_ENCLOSING_ID", "ƒX")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return FluxJob(FluxJobs({"PATH": f"{tmp_path}:{os.environ['PATH']}"}), "ƒX")


def test_a_lost_node_gets_no_steps_and_only_its_steps_are_unknown(job: FluxJob, tmp_path: Path):
    steps = [step(0), step(1), step(2)]
    (tmp_path / "flux").write_text(FLUX.replace("runs-TOKEN", steps[2].token))
    inside = Inside(job, lambda: None)

    assert inside.allocation().nodes == (Need(4, 4), Need(0), Need(4, 4))
    states = Endings(this_host()).states(steps, {}, job)
    assert [states[each.token].state for each in steps] == [JobState.GONE, JobState.UNSUPERVISED, JobState.RUNNING]
    assert states[steps[1].token].raw_state == "job fX has lost the node n"
    assert inside.allocation().trouble == "no agent can be started on 1: the node is lost"


@pytest.mark.parametrize("wrong", ["[1]: Exit 68", "flux-exec: Error: rank 1: /bin/sh: Permission denied"])
def test_another_failure_of_flux_exec_is_no_answer(job: FluxJob, tmp_path: Path, wrong: str):
    (tmp_path / "flux").write_text(FLUX.replace("exit 68", f"echo '{wrong}' >&2; exit 68"))
    with pytest.raises(Unreachable, match="No route to host"):
        job.nodes()
    assert not job.lost


@pytest.mark.parametrize(
    ("answer", "state", "is_unknown"),
    [
        (KNOWN, JobState.RUNNING, False),
        (KNOWN_AROUND, JobState.RUNNING, False),
        (UNKNOWN, JobState.UNSUPERVISED, True),
        (NO_ANSWER, JobState.RUNNING, True),
        ("echo 1.000005 CLEANUP", JobState.RUNNING, False),
        ("echo 2.000000 INACTIVE", JobState.UNSUPERVISED, True),  # another job with the same id
    ],
)
def test_only_an_answer_says_that_flux_has_forgotten_a_job(
    tmp_path: Path, answer: str, state: JobState, is_unknown: bool
):
    """Without an answer, ticks wait, but a user may know more."""
    (tmp_path / "flux").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "flux").chmod(0o755)
    environment = Environment({"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    host: Host = this_host()._replace(environment=environment)

    states = Endings(host).states([step(0)], {}, None)

    assert states[step(0).token].state is state
    assert Endings(host).is_unknown(JOB) is is_unknown
