"""Maestro's script adapters. They write the same scripts as maestro-es.

`maestro_es.adapters` decides the contents of the scripts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from maestro_es.adapters.host import this_host
from maestro_es.adapters.registry import ADAPTERS, make_adapter
from maestro_es.compat.abstracts import SubmissionCode
from maestro_es.compat.jobs import cancel_jobs, check_jobs, submit_script
from maestro_es.compat.script_adapter import SchedulerScriptAdapter, ScriptAdapter, Scripts
from maestro_es.compat.submission import CancellationRecord, SubmissionRecord
from maestro_es.compat.tools import start_process
from maestro_es.core.model import CancelCode, JobStatusCode, State
from maestro_es.study_file.render import safe

#: The keys of Maestro's adapters: the first keys of ours.
_LOCAL, _SLURM, _LSF, _FLUX = tuple(ADAPTERS)[:4]


def _write(folder: str, name: str, header: str, command: str) -> str:
    path = Path(folder, name)
    path.write_text(f"{header}\n\n{command}\n", "utf-8")
    return str(path)


class LocalScriptAdapter(ScriptAdapter):
    """Runs scripts on this host, one at a time. `submit` waits until the script has ended."""

    key = _LOCAL
    extension = f".{make_adapter({'type': _LOCAL}, this_host()).extension}"

    def _write_script(self, ws_path: str, step: Any) -> Scripts:  # noqa: ANN401 - `script_adapter.FilledStep`
        restart = step.run.get("restart")
        again = f"{step.name}.restart{self.extension}".replace("/", "_")
        return (
            False,
            _write(ws_path, safe(f"{step.name}{self.extension}"), f"#!{self._exec}", step.run["cmd"]),
            _write(ws_path, again, f"#!{self._exec}", restart) if restart else None,
        )

    def check_jobs(self, joblist: Collection[str]) -> tuple[JobStatusCode, dict[str, State | None]]:  # noqa: ARG002 - protocol
        """Return no states, because a script has ended when `submit` returns."""
        return JobStatusCode.NOJOBS, {}

    def cancel_jobs(self, joblist: Collection[str]) -> CancellationRecord:  # noqa: ARG002 - protocol
        """Cancel nothing, because a script has ended when `submit` returns."""
        return CancellationRecord(CancelCode.OK, 0)

    def submit(
        self,
        step: Any,  # noqa: ANN401 - `script_adapter.FilledStep`
        path: str,
        cwd: str,
        job_map: Mapping[str, str] | None = None,  # noqa: ARG002 - protocol
        env: Mapping[str, str] | None = None,
    ) -> SubmissionRecord:
        """Run a script to its end, and write its output to ``NAME.PID.out`` and ``NAME.PID.err``."""
        process = start_process(os.path.abspath(path), shell=False, cwd=cwd, env=env)  # noqa: PTH100 - links stay
        output, error = process.communicate()
        for ending, text in (("out", output), ("err", error)):
            Path(cwd, f"{step.name}.{process.pid}.{ending}".replace("/", "_")).write_text(text, "utf-8")
        if process.returncode == 0:
            return SubmissionRecord(SubmissionCode.OK, 0, process.pid)
        record = SubmissionRecord(SubmissionCode.ERROR, process.returncode, process.pid)
        record.add_info("stderr", error)
        return record


class _Scheduled(SchedulerScriptAdapter):
    """An adapter that uses an adapter of maestro-es for its scripts and jobs.

    Keyword arguments are keys of a batch block.
    """

    key: ClassVar[str] = ""
    #: The type of that adapter in a batch block. A class that a program derives may have another `key`.
    _kind: ClassVar[str]
    #: The keys that a batch block must have.
    _needed: ClassVar[tuple[str, ...]] = ("host", "bank", "queue")

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - keys of a batch block
        super().__init__(**kwargs)
        for name in self._needed:
            if name not in kwargs:
                raise KeyError(name)
        for name, value in kwargs.items():
            self.add_batch_parameter(name, value)
        self._ours = make_adapter({"shell": self._exec, **kwargs, "type": self._kind}, this_host())

    @property
    def extension(self) -> str:
        """The extension of the names of scripts."""
        return f".{self._ours.extension}"

    def get_header(self, step: Any) -> str:  # noqa: ANN401 - `script_adapter.FilledStep`
        """Return the first lines of a step's scripts."""
        return self._ours.header(step.name.replace(" ", "_"), step.description, step.run)

    def get_parallelize_command(self, procs: Any, nodes: Any = None, **kwargs: Any) -> str:  # noqa: ANN401 - strings or numbers
        """Return the command that starts a program on these numbers of processors and nodes."""
        return self._ours.command(self.launcher_var, {**kwargs, "procs": procs, "nodes": nodes})

    def _write_script(self, ws_path: str, step: Any) -> Scripts:  # noqa: ANN401 - likewise
        scheduled, cmd, restart = self.get_scheduler_command(step)
        header = self.get_header(step) if scheduled else f"#!{self._exec}"
        again = f"{step.name}.restart{self.extension}".replace("/", "_")
        return (
            scheduled,
            _write(ws_path, safe(f"{step.name}{self.extension}"), header, cmd),
            _write(ws_path, again, header, restart) if restart else None,
        )

    def submit(
        self,
        step: Any,  # noqa: ANN401, ARG002 - likewise
        path: str,
        cwd: str,
        job_map: Mapping[str, str] | None = None,  # noqa: ARG002 - protocol
        env: Mapping[str, str] | None = None,
    ) -> SubmissionRecord:
        """Submit a script. RequestRefused if maestro-es can't submit to this scheduler yet."""
        places = os.path.abspath(path), os.path.abspath(cwd)  # noqa: PTH100 - links stay
        return submit_script(self._ours, *places, os.environ if env is None else env)

    def check_jobs(self, joblist: Collection[str]) -> tuple[JobStatusCode, dict[str, State | None]]:
        """Return the states of jobs by id (None: the scheduler does not know the job)."""
        return check_jobs(self._ours, joblist)

    def cancel_jobs(self, joblist: Collection[str]) -> CancellationRecord:
        """Cancel jobs."""
        return cancel_jobs(self._ours, joblist)

    def _state(self, job_state: str) -> State:
        return State.__members__.get(job_state, State.UNKNOWN)


class SlurmScriptAdapter(_Scheduled):
    """Writes and submits scripts for the second type of `ADAPTERS`."""

    key = _kind = _SLURM


class LSFScriptAdapter(_Scheduled):
    """Writes and submits scripts for the third type of `ADAPTERS`."""

    key = _kind = _LSF


class FluxScriptAdapter(_Scheduled):
    """Writes and submits scripts for the fourth type of `ADAPTERS`."""

    key = _kind = _FLUX
    _needed = ()


class ScriptAdapterFactory:
    """Finds the adapter for the type of a batch block."""

    factories: ClassVar[dict[str, type[ScriptAdapter]]] = {
        adapter.key: adapter
        for adapter in (
            FluxScriptAdapter,
            LocalScriptAdapter,
            LSFScriptAdapter,
            SlurmScriptAdapter,
        )
    }

    @classmethod
    def get_adapter(cls, adapter_id: str) -> type[ScriptAdapter]:
        """Return the adapter class for a type. UnknownAdapter if there is none."""
        factory = cls.factories.get(adapter_id.lower())
        if factory is None:
            make_adapter({"type": adapter_id}, this_host())  # if the type is unknown, its error lists the known ones
            raise _only_in_studies(adapter_id)
        return factory

    @classmethod
    def get_valid_adapters(cls) -> Collection[str]:
        """Return the types that have an adapter."""
        return cls.factories.keys()


def _only_in_studies(kind: str) -> Exception:
    from maestro_es.errors import UnknownAdapter  # noqa: PLC0415 - for the error only

    return UnknownAdapter(
        f"only the steps of studies can use the adapter {kind!r}, because it comes from another package"
    )
