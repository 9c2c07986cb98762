"""The part of the graph that looks after its log, and what it would do next."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from maestro_es.core.events import EventsCorrected
from maestro_es.execution_graph.base import GraphBase
from maestro_es.poller.preview import Prediction, preview
from maestro_es.poller.tick import show_status
from maestro_es.store.log_export import line
from maestro_es.store.verification import Known, Verification, prove, verify
from maestro_es.study.damage import correct_log
from maestro_es.study.invocation import Runtime, open_as_it_is

__all__ = ["MaintainableGraph", "Prediction"]


class MaintainableGraph(GraphBase):
    """The part of `ExecutionGraph` that looks after its log.

    The static methods take the study's directory, because they are for a log that can't be opened, or is not to be
    touched: to open it may bring its tables up to date.
    """

    def rebuild(self) -> int:
        """Derive the state and ``status.csv`` again from the log; returns how many events there are.

        NotOurs if another user can change the study.
        """
        self._study.dir.check_owner()
        self._study.log.rebuild()
        show_status(self._study)
        return self._study.log.head.seq

    @staticmethod
    def preview(
        path: str | os.PathLike[str], what_if: Mapping[str, int] | None = None, runtime: Runtime | None = None
    ) -> Prediction:
        """Return what the next tick would do; it asks the schedulers, and changes and locks nothing.

        `what_if` has settings as if they were these, by the names of the options of ``update``; "paused" is 0 or 1.
        """
        runtime = runtime or Runtime()
        with open_as_it_is(Path(path), runtime, migrate=False) as log:
            return preview(log, Path(path), runtime, what_if)

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> Verification:
        """Check every digest and payload of the log, and replay it. DamagedLog has the first thing that is wrong."""
        with open_as_it_is(Path(path)) as log:
            return verify(log)

    @staticmethod
    def prove(path: str | os.PathLike[str], head: str) -> Known:
        """Return which event has the digest `head`, or one that begins with it: up to there nothing was changed.

        DamagedLog if the log has none.
        """
        with open_as_it_is(Path(path)) as log:
            return prove(log, head)

    @staticmethod
    def export(path: str | os.PathLike[str]) -> Iterator[str]:
        """Yield the log as JSON lines, one for each event, each with its digest. DamagedLog if it can't be read."""
        with open_as_it_is(Path(path), migrate=False) as log:
            yield from map(line, log.sealed_rows())

    @staticmethod
    def correct(
        path: str | os.PathLike[str], reason: str = "", runtime: Runtime | None = None
    ) -> EventsCorrected | None:
        """Correct the events that no reader can decode, while no tick runs; returns the event that says which."""
        return correct_log(Path(path), runtime or Runtime(), reason)
