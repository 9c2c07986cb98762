"""Runs ticks, asks schedulers, ends a study and writes its files."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from maestro_es.core import arguments, file_names, requests
from maestro_es.core.model import CancelCode, JobStatusCode, State, StudyStatus
from maestro_es.core.reconcile import state_after
from maestro_es.core.verdict import judge
from maestro_es.execution_graph.base import GraphBase
from maestro_es.poller.observe import TickInputs, observe
from maestro_es.poller.tick import tick
from maestro_es.study import claims
from maestro_es.study.locks import hold_tick_lock
from maestro_es.study.scripts import written_digests
from maestro_es.study.status_csv import maestro_text
from maestro_es.study.workspace import remove_temporary_folder, write_scripts


class RunnableGraph(GraphBase):
    """The part of `ExecutionGraph` that runs steps."""

    def execute_ready_steps(self) -> StudyStatus:
        """Run one tick; returns how the study stands. Unreachable if a scheduler did not answer.

        RequestRefused inside a `batch`, of which a tick would commit the first half.
        """
        self._commits_alone()
        self._study.log.check_place()
        with hold_tick_lock(self._study.dir, -1):
            return tick(self._study)

    def check_study_status(self) -> tuple[JobStatusCode, dict[str, State]]:
        """Ask the schedulers for the steps in flight and return what they say, by name; nothing is changed."""
        runtime = self._study.runtime
        graph = self._fresh()
        inputs = TickInputs(runtime.now(), runtime.host, "")
        observations = observe(graph, self._study.dir, self._study.adapters, inputs, claims.read_claim).observations
        seen = observations.attempts
        steps = {step.name: state_after(step, judge(seen[step.token]).conclusion) for step in graph.in_flight()}
        if observations.unreachable:
            return JobStatusCode.ERROR, steps
        return (JobStatusCode.OK if steps else JobStatusCode.NOJOBS), steps

    def cancel_study(self, reason: str = "") -> CancelCode:
        """Ask that everything ends, and tick once: jobs end by the ticks that follow.

        Unreachable if a scheduler did not answer: the cancel is recorded all the same.
        """
        self._commits_alone()
        why = arguments.text("reason", reason)
        self._request(lambda graph: requests.cancel(graph, (), why))
        self.execute_ready_steps()
        return CancelCode.OK

    def generate_scripts(self) -> None:
        """Write the workspace and scripts of every step, without running any."""
        adapters = self._study.adapters
        for step in list(self._fresh().steps()):
            ours = functools.partial(written_digests, self._study.log.events_of(step.number))
            write_scripts(self._study.graph, step, self._study.dir, adapters.of(step), adapters.scheduler, ours=ours)

    def cleanup(self) -> None:
        """Remove the scripts that `use_tmp` keeps among the temporary files."""
        remove_temporary_folder(self._fresh().study.study_id)

    def write_status(self, path: str | os.PathLike[str]) -> None:
        """Write ``status.csv`` into a directory."""
        folder = Path(arguments.path("path", path))
        text = maestro_text(self._fresh().steps(), self._study.runtime.now())
        (folder / file_names.STATUS_CSV).write_text(text, encoding="utf-8")
