"""The part of the graph that runs a study to its end, queries schedulers, and writes scripts and the status file."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from maestro_es.core import arguments
from maestro_es.core.model import JobStatusCode, State, StudyStatus
from maestro_es.core.reconcile import state_after
from maestro_es.core.verdict import judge
from maestro_es.errors import NoAdapter
from maestro_es.execution_graph.cancelling import CancellableGraph
from maestro_es.poller.foreground import run_until_ended
from maestro_es.poller.inputs import TickInputs
from maestro_es.poller.observe import Observer
from maestro_es.study.claims import read_claim
from maestro_es.study.layout import StudyDir
from maestro_es.study.scripts import written_digests
from maestro_es.study.status_file import write_steps
from maestro_es.study.workspace import ScriptOf, remove_temporary_folder, write_scripts


class RunnableGraph(CancellableGraph):
    """The part of `ExecutionGraph` that runs steps."""

    def run_until_ended(
        self,
        progress: Callable[[], None] = lambda: None,
        must_stop: Callable[[], bool] = lambda: False,
        inside: float | None = None,
    ) -> StudyStatus:
        """Run ticks until the study has ended. Returns its final status.

        A tick runs whenever a step on this host ends, and at least as often as the study's settings say. `progress` is
        called after the first tick, about once a second, and at the end. A scheduler that does not answer is queried
        again.

        `must_stop` is called several times a second. Once it returns True, this method returns early, with the status
        RUNNING. If this process runs in a job, its local steps would end with the job. So they are ended first, and
        the next driver runs them again.

        With `inside`, all steps run in the job around this process. Then this method also returns this many seconds
        before the end of the job. RequestRefused if there is no such job, or if the study has another scheduler.

        Unreachable if a file can't be written, or if the boot id of this host can't be read, because a tick can
        conclude nothing without it. LogUnavailable if the study was moved or deleted. RequestRefused inside a `batch`.
        Call it in the main thread only.
        """
        self._commits_alone()
        with self._explaining():
            return run_until_ended(self._study, progress, must_stop, inside)

    def check_study_status(self) -> tuple[JobStatusCode, dict[str, State]]:
        """Query the schedulers about the steps in flight. Returns a code, and the states of these steps by name.

        Nothing is changed or recorded.
        """
        runtime = self._study.runtime
        graph = self._fresh()
        inputs = TickInputs(runtime.now(), runtime.host, "")
        observations = (
            Observer(graph, self._study.dir, self._study.adapters, inputs, read_claim).observe().observations
        )
        seen = observations.attempts
        steps = {step.name: state_after(step, judge(seen[step.token]).conclusion) for step in graph.in_flight()}
        if observations.unreachable:
            return JobStatusCode.ERROR, steps
        return (JobStatusCode.OK if steps else JobStatusCode.NOJOBS), steps

    def generate_scripts(self) -> None:
        """Write the workspace and the scripts of every step, and run nothing.

        NoAdapter, a ValueError, if `set_adapter` has chosen no scheduler, because all scripts contain the scheduler's
        header.
        """
        if not self._fresh().study.adapter:
            raise NoAdapter("no adapter was chosen, so there can be no scripts; call set_adapter first")
        study = self._study
        for step in list(self._fresh().steps()):
            ours = functools.partial(written_digests, study.log.events_of(step.number))
            write_scripts(ScriptOf(study.graph, step, study.dir, study.adapters, ours=ours))

    def cleanup(self) -> None:
        """Remove the scripts that `use_tmp` keeps in a temporary directory."""
        remove_temporary_folder(self._fresh().study.study_id)

    def write_status(self, path: str | os.PathLike[str]) -> None:
        """Write ``status.csv`` into a directory, atomically and under Maestro's ``.status.lock``.

        OSError if the directory does not exist or is not writable.
        """
        folder = Path(arguments.path("path", path))
        steps = self._fresh().steps()
        folder.stat()  # otherwise the lock would create the directory
        write_steps(StudyDir(folder), steps, self._study.runtime.now())
