"""`StepRecord`: Maestro's class for a step that a program runs by itself, with a script adapter.

Merlin derives a class from it. Nothing about such a step is recorded in a log. The steps of a study have `StepView`s
instead.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maestro_es.compat.abstracts import SubmissionCode
from maestro_es.compat.script_adapter import ScriptAdapter
from maestro_es.compat.script_adapters import ScriptAdapterFactory
from maestro_es.core.model import State
from maestro_es.study_file.pgen_tools import get_duration, round_datetime_seconds
from maestro_es.study_file.study_environment import Variable

_MOST_RESTARTS = 3
_NO_TIME, _NO_DURATION = "--", "--:--:--"


class StepRecord:
    """A step with its workspace, its scripts, its jobs and its state. The methods change the state."""

    def __init__(self, workspace: str, step: Any, **kwargs: Any) -> None:  # noqa: ANN401 - a step of any class
        self.workspace = Variable("WORKSPACE", workspace)
        for key in ("cmd", "restart"):
            step.run[key] = self.workspace.substitute(step.run.get(key) or "")
        self.step = step
        self.jobid: list[Any] = kwargs.get("jobid") or []
        self.script: str = kwargs.get("script", "")
        self.restart_script: str | None = kwargs.get("restart", "")
        self.to_be_scheduled = False
        self.restart_limit: int = kwargs.get("restart_limit", _MOST_RESTARTS)
        self.status: State = kwargs.get("status", State.INITIALIZED)
        self.params: dict[str, Any] = {}
        self._num_restarts = 0
        self._submit_time: dt.datetime | None = None
        self._start_time: dt.datetime | None = None
        self._end_time: dt.datetime | None = None

    def add_params(self, params: Iterable[tuple[str, Any]]) -> None:
        """Set the parameters of the step."""
        self.params = dict(params)

    def setup_workspace(self) -> None:
        """Make the directory of the step."""
        Path(str(self.workspace.value)).mkdir(parents=True, exist_ok=True)

    def generate_script(self, adapter: ScriptAdapter, tmp_dir: str = "") -> None:
        """Write the scripts into the workspace, or into another directory."""
        written = adapter.write_script(tmp_dir or str(self.workspace.value), self.step)
        self.to_be_scheduled, self.script, self.restart_script = written

    def execute(self, adapter: ScriptAdapter) -> Any:  # noqa: ANN401 - a SubmissionCode, or one of the program's own
        """Submit the script. Returns whether the submission was accepted."""
        self.mark_submitted()
        return self._noted(self._execute(adapter, self.script))

    def restart(self, adapter: ScriptAdapter) -> Any:  # noqa: ANN401 - likewise
        """Submit the restart script. Returns whether the submission was accepted."""
        return self._noted(self._execute(adapter, self.restart_script or ""))

    def _execute(self, adapter: ScriptAdapter, script: str) -> tuple[Any, Any]:
        """Submit a script. Returns whether the submission was accepted, and the job's id.

        A local step runs on this host.
        """
        if not self.to_be_scheduled:
            self.mark_running()
            adapter = ScriptAdapterFactory.get_adapter("local")()
        record = adapter.submit(self.step, script, str(self.workspace.value))
        return record.submission_code, record.job_identifier

    def _noted(self, outcome: tuple[Any, Any]) -> Any:  # noqa: ANN401 - likewise
        code, job = outcome
        if code == SubmissionCode.OK:
            self.jobid.append(job)
        return code

    def mark_submitted(self) -> None:
        """Note that the step is pending, and when it was first submitted."""
        self.status = State.PENDING
        self._submit_time = self._submit_time or _now()

    def mark_running(self) -> None:
        """Note that the step is running, and when it first started."""
        self.status = State.RUNNING
        self._start_time = self._start_time or _now()

    def mark_end(self, state: State) -> None:
        """Note the final state of the step, and when it first ended."""
        self.status = state
        self._end_time = self._end_time or _now()

    def mark_restart(self) -> bool:
        """Note that the step has timed out. Returns whether it may be restarted. A limit of 0 means no limit."""
        self.status = State.TIMEDOUT
        may = not self.restart_limit or self._num_restarts < self.restart_limit
        self._num_restarts += may
        return may

    @property
    def can_restart(self) -> bool:
        """Whether there is a restart script."""
        return bool(self.restart_script)

    @property
    def is_local_step(self) -> bool:
        """Whether the step runs on this host."""
        return not self.to_be_scheduled

    @property
    def name(self) -> str:
        """The name of the step."""
        return str(self.step.real_name)

    @property
    def walltime(self) -> Any:  # noqa: ANN401 - as the study file has it
        """The walltime of the step."""
        return self.step.run.get("walltime", "")

    @property
    def restarts(self) -> int:
        """How many times the step was restarted."""
        return self._num_restarts

    @property
    def time_submitted(self) -> str:
        """When the step was submitted."""
        return str(self._submit_time or _NO_TIME)

    @property
    def time_start(self) -> str:
        """When the step started."""
        return str(self._start_time or _NO_TIME)

    @property
    def time_end(self) -> str:
        """When the step ended."""
        return str(self._end_time or _NO_TIME)

    @property
    def elapsed_time(self) -> str:
        """The time from the submission of the step to its end."""
        return self._since(self._submit_time)

    @property
    def run_time(self) -> str:
        """The time from the start of the step to its end."""
        return self._since(self._start_time)

    def _since(self, start: dt.datetime | None) -> str:
        end = self._end_time or (_now() if self.status is State.RUNNING else None)
        return get_duration(end - start) if start and end else _NO_DURATION


def _now() -> dt.datetime:
    return round_datetime_seconds(dt.datetime.now())  # noqa: DTZ005 - local time without a zone, as Maestro shows it


_StepRecord = StepRecord
