"""Programs that submit single scripts with Maestro's script adapter, without a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_es.compat.abstracts import SubmissionCode
from maestro_es.compat.script_adapters import ScriptAdapterFactory
from maestro_es.compat.study_step import StudyStep
from maestro_es.core.model import CancelCode, JobStatusCode, State
from tools.slurm_cluster.cluster import Cluster
from tools.testbed.processes import wait_for


@pytest.mark.usefixtures("accounting_cluster")
def test_a_script_is_submitted_watched_and_cancelled(tmp_path: Path):
    adapter = ScriptAdapterFactory.get_adapter("slurm")(host="h", bank="root", queue="debug")
    step = StudyStep()
    step.name, step.description = "long", "sleeps"
    step.run |= {"cmd": "sleep 100", "procs": 1}
    _, script, _ = adapter.write_script(str(tmp_path), step)

    record = adapter.submit(step, script, str(tmp_path))
    job = record.job_identifier
    assert record.submission_code is SubmissionCode.OK
    wait_for(lambda: adapter.check_jobs([job]) == (JobStatusCode.OK, {job: State.RUNNING}))
    assert adapter.cancel_jobs([job]).cancel_status is CancelCode.OK

    wait_for(lambda: adapter.check_jobs([job])[1] == {job: State.CANCELLED})
    assert adapter.check_jobs(["999999"]) == (JobStatusCode.NOJOBS, {"999999": None})


def test_a_refusal_of_the_scheduler_is_an_error(cluster: Cluster, tmp_path: Path):
    adapter = ScriptAdapterFactory.get_adapter("slurm")(host="h", bank="root", queue="nowhere")
    step = StudyStep()
    step.name, step.run = "a", {**step.run, "cmd": "true", "procs": 1}

    record = adapter.submit(step, adapter.write_script(str(tmp_path), step)[1], str(tmp_path))

    assert record.submission_code is SubmissionCode.ERROR
    assert "invalid partition" in str(record.get("stderr"))
