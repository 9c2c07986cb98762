"""The part of the graph that rebuilds, verifies, exports and corrects the log, and previews the next tick."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from maestro_es.core import arguments
from maestro_es.core.events import EventsCorrected
from maestro_es.execution_graph.base import GraphBase
from maestro_es.poller.performers import show_status
from maestro_es.poller.preview import Prediction, preview
from maestro_es.store.log_export import lines
from maestro_es.store.verification import Known, Verification, prove, verify
from maestro_es.study.damage import correct_log
from maestro_es.study.invocation import Runtime, open_as_it_is
from maestro_es.study.status_file import forget_lines

__all__ = ["MaintainableGraph", "Prediction"]


class MaintainableGraph(GraphBase):
    """The part of `ExecutionGraph` that maintains the log.

    The static methods take the study's directory instead of an open log, because opening a log may fail or may update
    its tables.
    """

    def rebuild(self) -> int:
        """Rebuild the derived state and ``status.csv`` from the log. Returns the number of events.

        NotOurs if another user can change the study.
        """
        self._study.log.check_place()
        self._study.dir.check_owner()
        self._study.log.rebuild()
        forget_lines(self._study.dir)
        show_status(self._study)
        return self._study.log.head.seq

    @staticmethod
    def preview(
        path: str | os.PathLike[str], what_if: Mapping[str, int | str] | None = None, runtime: Runtime | None = None
    ) -> Prediction:
        """Predict the next tick. This queries the schedulers, but changes and locks nothing.

        `what_if` holds settings to assume instead of the recorded ones. The keys are names of options of ``update``,
        and "paused" with the value 0 or 1. ValueError for an unknown name, TypeError if a value is not a whole number.
        """
        runtime, assumed = runtime or Runtime(), _assumed(what_if)
        with open_as_it_is(Path(path), runtime, migrate=False) as log:
            return preview(log, Path(path), runtime, assumed)

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> Verification:
        """Check every digest and payload of the log, and replay it. DamagedLog names the first fault."""
        with open_as_it_is(Path(path)) as log:
            return verify(log)

    @staticmethod
    def prove(path: str | os.PathLike[str], head: str) -> Known:
        """Return the event whose digest is `head` or begins with it.

        This proves that no event up to this one was changed.

        DamagedLog if no event has such a digest.
        """
        with open_as_it_is(Path(path)) as log:
            return prove(log, head)

    @staticmethod
    def export(path: str | os.PathLike[str]) -> Iterator[str]:
        """Yield the log as JSON lines: one line with a digest for each event. DamagedLog if it can't be read."""
        with open_as_it_is(Path(path), migrate=False) as log:
            yield from lines(log)

    @staticmethod
    def correct(
        path: str | os.PathLike[str], reason: str = "", runtime: Runtime | None = None
    ) -> EventsCorrected | None:
        """Correct the events that no reader can decode, while no tick runs. Returns the event that lists them."""
        return correct_log(Path(path), runtime or Runtime(), reason)


def _assumed(what_if: object) -> dict[str, int | str]:
    """Return the settings that a preview assumes."""
    known = (*arguments.UPDATABLE, "paused")
    values = {} if what_if is None else what_if
    if not isinstance(values, Mapping):
        raise TypeError(f"what_if must be a dictionary, not {type(values).__name__}")
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"what_if has no setting {unknown[0]!r}; its settings are {', '.join(known)}")
    return {name: arguments.assumed(f"what_if[{name!r}]", name, value) for name, value in values.items()}
