"""Programs that write and run scripts by themselves, with Maestro's adapters or with their own."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_es.compat.abstracts import StepPriority, SubmissionCode
from maestro_es.compat.script_adapter import SchedulerScriptAdapter
from maestro_es.compat.script_adapters import (
    FluxScriptAdapter,
    LocalScriptAdapter,
    LSFScriptAdapter,
    ScriptAdapterFactory,
    SlurmScriptAdapter,
)
from maestro_es.compat.step_record import StepRecord
from maestro_es.compat.study_step import StudyStep
from maestro_es.compat.submission import CancellationRecord, SubmissionRecord
from maestro_es.compat.tools import start_process
from maestro_es.core.model import CancelCode, JobStatusCode, State
from maestro_es.errors import UnknownAdapter

BATCH = {"host": "h", "bank": "b", "queue": "q", "nodes": ""}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def step(name: str, cmd: str, **run: Any) -> StudyStep:
    made = StudyStep()
    made.name, made.description = name, f"does {name}"
    made.run |= {"cmd": cmd, **run}
    return made


def test_a_local_script_runs_to_its_end():
    adapter = LocalScriptAdapter(**{"shell": "/bin/sh"})  # noqa: PIE804 - a key of a batch block
    scheduled, script, restart = adapter.write_script(".", step("a b", "echo $WORD; pwd >&2", restart="echo again"))

    record = adapter.submit(step("a b", ""), script, ".", env={"WORD": "hello"})

    assert (scheduled, Path(script).name, Path(str(restart)).name) == (False, "a_b.sh", "a b.restart.sh")
    assert Path(script).read_text() == "#!/bin/sh\n\necho $WORD; pwd >&2\n"
    assert Path(script).stat().st_mode & stat.S_IXUSR
    assert (record.submission_code, record.return_code) == (SubmissionCode.OK, 0)
    assert Path(f"a b.{record.job_identifier}.out").read_text() == "hello\n"
    assert Path(f"a b.{record.job_identifier}.err").read_text() == f"{Path.cwd()}\n"
    assert adapter.check_jobs(["1"]) == (JobStatusCode.NOJOBS, {})
    assert adapter.cancel_jobs(["1"]).cancel_status is CancelCode.OK


def test_a_local_script_that_fails_says_so():
    adapter = LocalScriptAdapter()
    record = adapter.submit(step("a", ""), adapter.write_script(".", step("a", "echo why >&2; exit 3"))[1], ".")

    assert (record.submission_code, record.return_code) == (SubmissionCode.ERROR, 3)
    assert (record.job_identifier, record.get("stderr")) == (None, "why\n")


@pytest.mark.parametrize(
    ("adapter", "name", "lines"),
    [
        (
            SlurmScriptAdapter,
            "a.slurm.sh",
            ["#SBATCH --nodes=2", "#SBATCH --partition=q", "#SBATCH --account=b", "srun -n 4 -N 2 app"],
        ),
        (LSFScriptAdapter, "a.lsf.sh", ["#BSUB -q q", "jsrun --nrs 4 -b rs -a 1 -r 1 -c 1 app"]),
        (FluxScriptAdapter, "a.flux.sh", ["#flux: -q q", "flux run -N 2 -n 4 app"]),
    ],
    ids=["slurm", "lsf", "flux"],
)
def test_a_script_for_a_scheduler_is_that_of_a_study(adapter: Any, name: str, lines: list[str]):
    scheduled, script, restart = adapter(**BATCH).write_script(".", step("a", "$(LAUNCHER) app", nodes=2, procs=4))

    assert (scheduled, Path(script).name, restart) == (True, name, None)
    assert {*lines} <= {*Path(script).read_text().splitlines()}
    assert adapter(**BATCH).write_script(".", step("here", "true"))[0] is False


def test_a_scheduler_needs_its_keys_as_in_maestro():
    with pytest.raises(KeyError, match="bank"):
        SlurmScriptAdapter(host="h", queue="q")


def test_the_factory_knows_maestros_adapters():
    assert {*ScriptAdapterFactory.get_valid_adapters()} == {"local", "slurm", "lsf", "flux"}
    assert ScriptAdapterFactory.get_adapter("slurm") is ScriptAdapterFactory.factories["slurm"] is SlurmScriptAdapter
    with pytest.raises(UnknownAdapter, match="batch type 'cobalt' is unknown"):
        ScriptAdapterFactory.get_adapter("cobalt")


class PbsAdapter(SchedulerScriptAdapter):
    """As programs write them."""

    key, extension = "pbs", ".pbs.sh"

    def get_header(self, step: Any) -> str:
        return f"#PBS -A {self._batch['bank']}"

    def get_parallelize_command(self, procs: Any, nodes: Any = None, **kwargs: Any) -> str:
        return f"mpiexec -n {procs}" + (f" --nodes {nodes}" if nodes else "")

    def _write_script(self, ws_path: str, step: Any) -> Any:
        scheduled, cmd, restart = self.get_scheduler_command(step)
        Path(ws_path, "script").write_text(f"{self.get_header(step)}\n{cmd}\n")
        return scheduled, str(Path(ws_path, "script")), restart or None

    def submit(self, step: Any, path: str, cwd: str, job_map: Any = None, env: Any = None) -> SubmissionRecord:
        return SubmissionRecord(SubmissionCode.OK, 0, "1.pbs")

    def check_jobs(self, joblist: Any) -> Any:
        return JobStatusCode.OK, dict.fromkeys(joblist, State.RUNNING)

    def cancel_jobs(self, joblist: Any) -> CancellationRecord:
        made = CancellationRecord(CancelCode.OK, 0)
        made.add_status("1.pbs", CancelCode.ERROR)
        return made

    def _state(self, job_state: str) -> State:
        return State.UNKNOWN


def test_a_program_may_have_its_own_adapter():
    adapter = PbsAdapter()
    adapter.add_batch_parameter("bank", "b")
    made = step("a", "$(LAUNCHER)[2n,4p] app; $(LAUNCHER) tool", nodes=2, procs=4)
    record = StepRecord(".", made)

    record.generate_script(adapter)
    code = record.execute(adapter)

    assert Path("script").read_text() == "#PBS -A b\nmpiexec -n 4 --nodes 2 app; mpiexec -n 4 --nodes 2 tool\n"
    assert (code, record.jobid, record.status) == (SubmissionCode.OK, ["1.pbs"], State.PENDING)
    assert adapter.cancel_jobs([]).lookup_status(CancelCode.ERROR) == {"1.pbs"}
    with pytest.raises(ValueError, match="asks for 8 procs, but the step has 4"):
        adapter.write_script(".", step("a", "$(LAUNCHER)[8p] app", nodes=2, procs=4))
    with pytest.raises(NotImplementedError):
        adapter.get_priority(StepPriority.HIGH)
    assert adapter.resolve_exclusive({"allocation": True, "launcher": False}, {"launcher": True}) == {
        "allocation": True,
        "launcher": True,
    }


def test_a_record_of_a_program_goes_its_way():
    record = StepRecord("work", step("a", "echo $(WORKSPACE) > here", walltime="1:00"), restart_limit=1)
    record.add_params([("N", 1)])
    record.setup_workspace()
    record.generate_script(LocalScriptAdapter())
    assert (record.run_time, record.elapsed_time, record.time_submitted) == ("--:--:--", "--:--:--", "--")

    assert record.execute(LocalScriptAdapter()) is SubmissionCode.OK
    record.mark_end(State.FINISHED)

    assert Path("work/here").read_text() == "work\n"
    assert (record.name, record.walltime, record.params, len(record.jobid)) == ("a", "1:00", {"N": 1}, 1)
    assert (record.status, record.is_local_step, record.can_restart) == (State.FINISHED, True, False)
    assert record.run_time.startswith("0d:00h:00m:")
    assert [record.mark_restart(), record.mark_restart(), record.restarts] == [True, False, 1]


def test_a_process_has_its_output_in_pipes():
    process = start_process("echo $WORD", env={**os.environ, "WORD": "hello"})
    assert process.communicate() == ("hello\n", "")
    process = start_process([sys.executable, "-c", "import os; print(os.getcwd())"], cwd="/")
    assert process.communicate() == ("/\n", "")
