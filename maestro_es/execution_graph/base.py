"""What all parts of the graph share: the open study, its state as the log has it now, and how a request is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from maestro_es.core.events import NewEvent
from maestro_es.core.model import StepRecord, StudyStatus
from maestro_es.core.snapshot import read_only
from maestro_es.errors import RequestRefused
from maestro_es.store.projection import ProjectedGraph
from maestro_es.study.session import Session

_logger = logging.getLogger(__name__)


def fresh(study: Session) -> ProjectedGraph:
    """Return the state as the log has it now; inside a batch, with what the batch has added."""
    if not study.log.in_transaction:
        study.log.refresh()
    return study.graph


class GraphBase:
    """An open study; the parts of `ExecutionGraph` derive from it."""

    _study: Session

    def close(self) -> None:
        """Close the log; the graph can be opened again."""
        self._study.log.close()

    @property
    def path(self) -> Path:
        """The study's directory."""
        return self._study.dir.root

    @property
    def name(self) -> str:
        """The study's name."""
        return self._fresh().study.name

    @property
    def description(self) -> str:
        """What the study is for."""
        return self._fresh().study.description

    @property
    def status(self) -> StudyStatus:
        """The state of the study as a whole, as it was recorded last."""
        return self._fresh().study.status

    @property
    def steps(self) -> dict[str, StepRecord]:
        """All steps by name, as they were recorded last: copies, which reject assignment."""
        return {step.name: read_only(step) for step in self._fresh().steps()}

    @property
    def status_subtree(self) -> list[str]:
        """The names of all steps, in the order of the status table."""
        return [step.name for step in sorted(self._fresh().steps(), key=lambda step: (step.row, step.number))]

    def log_description(self) -> None:
        """Log name and description."""
        _logger.info("name: %s, description: %s", self.name, self.description)

    def _fresh(self) -> ProjectedGraph:
        return fresh(self._study)

    def _commits_alone(self) -> None:
        """Refuse to run inside a batch."""
        if self._study.log.in_transaction:
            raise RequestRefused("a batch is open: neither a tick nor another batch can run inside it; end it first")

    def _request(self, rule: Callable[[ProjectedGraph], list[NewEvent]]) -> list[NewEvent]:
        if self._study.log.in_transaction:
            new_events = rule(self._study.graph)
            self._study.record(new_events)
            return new_events
        self._study.log.refresh()
        return self._study.request(rule)
