"""The base class of all parts of the graph. It opens the session, reads the present state, and records requests.

The rules in `maestro_es.core` decide what a request changes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from maestro_es.core.events import NewEvent, Recorded
from maestro_es.core.graph import Graph
from maestro_es.core.model import StepRecord, StudyStatus
from maestro_es.errors import RequestRefused, Unreachable, describe_os_error
from maestro_es.store.projection import ProjectedGraph
from maestro_es.study.invocation import Driver, Runtime
from maestro_es.study.session import Session

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11


def refreshed(study: Session) -> ProjectedGraph:
    """Return the present state of the log. Inside a batch, this includes the events of the batch."""
    if not study.log.in_transaction:
        study.log.refresh()
    return study.graph


class GraphBase:
    """An open study. The parts of `ExecutionGraph` derive from this class."""

    _study: Session

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Self:
        """Open the study in the directory `path`. NotAStudy if it has no study."""
        if not isinstance(path, Path):
            from maestro_es.core import arguments  # noqa: PLC0415 - commands give a Path

            path = Path(arguments.path("path", path))
        return cls._of(Session(path, runtime or Runtime(driver=Driver.PROGRAM)))

    @classmethod
    def open_ours(cls, root: Path, runtime: Runtime) -> Self:
        """Open a study that only this user can change. NotOurs, without opening the log, if others can change it."""
        return cls._of(Session.ours(root, runtime))

    @classmethod
    def _of(cls, study: Session) -> Self:
        graph = cls.__new__(cls)
        graph._study = study  # noqa: SLF001 - one of our own
        return graph

    def close(self) -> None:
        """Close the log. The study can be opened again."""
        self._study.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The study's directory."""
        return self._study.dir.root

    @property
    def runtime(self) -> Runtime:
        """The clock, the host and the driver that this object uses."""
        return self._study.runtime

    @property
    def remarks(self) -> list[str]:
        """Lines that need a user's attention. Ticks and requests add to them."""
        return self._study.remarks

    @property
    def state(self) -> Graph:
        """The present state of the study as the log records it. Its records are copies and reject assignment."""
        from maestro_es.core.snapshot import ReadOnlyGraph  # noqa: PLC0415 - a tick does without it

        return cast("Graph", ReadOnlyGraph(self._fresh()))

    @property
    def status(self) -> StudyStatus:
        """The present status of the study as a whole, as the log records it."""
        return self._fresh().study.status

    @property
    def steps(self) -> dict[str, StepRecord]:
        """All steps by name, as the log records them now. They are copies and reject assignment."""
        from maestro_es.core.snapshot import read_only  # noqa: PLC0415 - a tick does without it

        return {step.name: read_only(step) for step in self._fresh().steps()}

    @property
    def status_subtree(self) -> list[str]:
        """The names of all steps, in the order of the status table."""
        return [step.name for step in sorted(self._fresh().steps(), key=lambda step: (step.row, step.number))]

    def _fresh(self) -> ProjectedGraph:
        return refreshed(self._study)

    def _commits_alone(self) -> None:
        """Refuse to run inside a batch."""
        if self._study.log.in_transaction:
            raise RequestRefused("a batch is open: neither a tick nor another batch can run inside it; end it first")

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Convert an OSError: LogUnavailable if the study is no longer there, otherwise Unreachable."""
        try:
            yield
        except OSError as error:
            self._study.log.check_place()
            raise Unreachable(describe_os_error(error, self.path)) from error

    def _request(self, rule: Callable[[ProjectedGraph], list[NewEvent]]) -> list[NewEvent]:
        """Record the events that a rule returns for the present state.

        Inside a batch, they are recorded with the batch.
        """
        if self._study.log.in_transaction:
            new_events = rule(self._study.graph)
            self._study.record(new_events)
            return new_events
        self._study.log.refresh()
        return self._study.request(rule)

    def _ask(self, rule: Callable[[ProjectedGraph], list[NewEvent]]) -> list[Recorded]:
        """Record a user's request. Returns the new events. NotOurs if another user can change the study."""
        self._study.dir.check_owner()
        with self._study.log.listening() as recorded:
            self._request(rule)
        return recorded


def patterns_of(steps: Sequence[object]) -> list[str]:
    """Return names and patterns as strings. TypeError or ValueError for a value that can't be the name of a step."""
    return [pattern_of(step, "steps") for step in steps]


def pattern_of(step: object, argument: str = "step") -> str:
    """Return a name or pattern as a string. TypeError or ValueError for a value that can't be the name of a step."""
    from maestro_es.core import arguments  # noqa: PLC0415 - a tick does without it

    return (arguments.text if isinstance(step, str) else arguments.name)(argument, step)
