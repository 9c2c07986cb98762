"""Maestro's abstract script adapters. Programs derive adapters for their own schedulers from them.

Studies of maestro-es use `maestro_es.adapters` instead.
"""

from __future__ import annotations

import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from maestro_es.adapters.launcher import Resources, fill_in
from maestro_es.compat.submission import CancellationRecord, SubmissionRecord
from maestro_es.core.model import JobStatusCode, State, is_scheduled


class FilledStep(Protocol):
    """A step with all placeholders filled in except the launcher."""

    name: str
    description: str
    run: dict[str, Any]


#: Whether a step is scheduled, its script, and its restart script if it has one.
Scripts = tuple[bool, str, str | None]


class ScriptAdapter(ABC):
    """Writes the scripts of steps, runs them, and queries their states."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - keys of a batch block
        self._exec = kwargs.pop("shell", None) or "/bin/bash"

    @abstractmethod
    def check_jobs(self, joblist: Collection[str]) -> tuple[JobStatusCode, dict[str, State | None]]:
        """Return the states of jobs by id."""

    @abstractmethod
    def cancel_jobs(self, joblist: Collection[str]) -> CancellationRecord:
        """Cancel jobs."""

    @abstractmethod
    def _write_script(self, ws_path: str, step: Any) -> Scripts:  # noqa: ANN401 - `FilledStep`, or a program's own
        """Write the scripts of a step into a directory."""

    def write_script(self, ws_path: str, step: Any) -> Scripts:  # noqa: ANN401 - likewise
        """Write the scripts of a step into a directory, and make them executable for their owner."""
        written = self._write_script(ws_path, step)
        for script in filter(None, written[1:]):
            path = Path(str(script))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return written

    @abstractmethod
    def submit(
        self,
        step: Any,  # noqa: ANN401 - likewise
        path: str,
        cwd: str,
        job_map: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> SubmissionRecord:
        """Run the script at `path` in the directory `cwd`."""

    @property
    @abstractmethod
    def extension(self) -> str:
        """The extension of the names of scripts."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The type of a batch block for this adapter."""


class SchedulerScriptAdapter(ScriptAdapter):
    """An adapter whose scripts have a header and a launcher, which starts parallel programs."""

    launcher_var = "$(LAUNCHER)"
    #: The notation of a launcher's numbers, for adapters of programs. `fill_in` reads it for ours.
    launcher_regex = re.compile(re.escape(launcher_var) + r"\[(?P<alloc>.*)\]")
    legacy_alloc = r"(?P<nodes>[0-9]+),\s*(?P<procs>[0-9]+)"
    task_alloc = r"(?P<procs>[0-9]+)p"
    node_alloc = r"(?P<nodes>[0-9]+)n"

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - keys of a batch block
        super().__init__(**kwargs)
        self._batch: dict[str, Any] = {}

    def add_batch_parameter(self, name: str, value: Any) -> None:  # noqa: ANN401 - of any kind
        """Store a value of the batch block."""
        self._batch[name] = value

    def get_exclusive(self, step_exclusive: Any) -> dict[str, Any]:  # noqa: ANN401 - a flag, a mapping or None
        """Return the values of the key ``exclusive`` for allocation and launcher (None: the key has no such value)."""
        if not isinstance(step_exclusive, dict):
            return {"allocation": step_exclusive, "launcher": None}
        return {"allocation": None, "launcher": None, **step_exclusive}

    def resolve_exclusive(self, adapter_exclusive: Mapping[str, Any], step_exclusive: Any) -> dict[str, Any]:  # noqa: ANN401 - likewise
        """Return the values of a step's ``exclusive``. The adapter gives the values that the step leaves out."""
        exclusive = self.get_exclusive(step_exclusive)
        return {key: own if exclusive.get(key) is None else exclusive[key] for key, own in adapter_exclusive.items()}

    @abstractmethod
    def get_header(self, step: Any) -> str:  # noqa: ANN401 - `FilledStep`, or a program's own
        """Return the first lines of a step's scripts."""

    @abstractmethod
    def get_parallelize_command(self, procs: Any, nodes: Any = None, **kwargs: Any) -> str:  # noqa: ANN401 - strings or numbers
        """Return the command that starts a program on these numbers of processors and nodes."""

    def _substitute_parallel_command(self, step_cmd: str, **kwargs: Any) -> str:  # noqa: ANN401 - keys of a step
        """Return a command with the launchers filled in. ValueError if a launcher needs more than the step has."""
        more = {key: value for key, value in kwargs.items() if key not in {"nodes", "procs"}}
        has = Resources.by(kwargs)

        def launch(asked: Resources) -> str:
            return self.get_parallelize_command(asked.procs, asked.nodes or None, **more)

        return fill_in(step_cmd, has, has, launch)

    def get_scheduler_command(self, step: Any) -> tuple[bool, str, str]:  # noqa: ANN401 - `FilledStep`, or a program's own
        """Return whether a step is scheduled, and its two commands with the launchers filled in."""
        if not step.run:
            raise ValueError("a step needs the key run")
        cmd, restart = step.run.get("cmd") or "", step.run.get("restart") or ""
        if not is_scheduled(step.run):
            return False, cmd, restart
        run = {**step.run, "nodes": step.run.get("nodes"), "procs": step.run.get("procs")}
        filled = self._substitute_parallel_command(cmd, **run)
        return True, filled, self._substitute_parallel_command(restart, **run) if restart else ""

    @abstractmethod
    def _state(self, job_state: str) -> State:
        """Return the state of a step for a state of the scheduler."""

    def get_priority(self, priority: Any) -> Any:  # noqa: ANN401 - a number or a StepPriority
        """Return the scheduler's value for a priority."""
        raise NotImplementedError
