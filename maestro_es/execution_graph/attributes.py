"""The attributes of a graph: its name, its description, its limits, and its steps by state.

Only `name` and `description` can be assigned. The views of the step names are in
`maestro_es.execution_graph.step_names`.
"""

from __future__ import annotations

import logging

from maestro_es.core import arguments, requests
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import BAD_ENDS, FAILED_STATES, IN_FLIGHT, RELEASED, SOURCE, Phase, State, StudyStatus
from maestro_es.execution_graph.base import GraphBase
from maestro_es.execution_graph.step_names import ReadySteps, StepNames
from maestro_es.store.projection import ProjectedGraph

_logger = logging.getLogger(__name__)


class DescribedGraph(GraphBase):
    """The part of `ExecutionGraph` with its attributes. Assigning one that has no setter raises AttributeError."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and getattr(getattr(type(self), name, None), "fset", None) is None:
            raise AttributeError(f"{name} can't be set: only events change a study; call methods of ExecutionGraph")
        object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The name of the study, empty if it has none. Assigning another name appends an event."""
        return self._fresh().study.name

    @name.setter
    def name(self, value: str) -> None:
        self._change(name=arguments.name("name", value))

    @property
    def description(self) -> str:
        """The description of the study, empty if it has none. Assigning another text appends an event."""
        return self._fresh().study.description

    @description.setter
    def description(self, value: str) -> None:
        self._change(description=arguments.text("description", value))

    def add_description(self, name: str, description: str, **kwargs: object) -> None:
        """Set the name and the description of the study, and add other keys to its details.

        `log_description` shows the details. Their values may be strings, numbers, flags, lists and dictionaries. Other
        values raise TypeError or ValueError.
        """
        details = arguments.mapping("details", kwargs)
        about = {"name": arguments.name("name", name), "description": arguments.text("description", description)}
        self._change(**about, **({"details": {**self._fresh().study.details, **details}} if details else {}))

    def log_description(self) -> None:
        """Log the name, the description and the details, each on its own line."""
        study = self._fresh().study
        about = {"name": study.name, "description": study.description, **study.details}
        _logger.info("\n%s", "\n".join(f"{key}: {value}" for key, value in about.items()))

    def update_throttle(self, new_submission_throttle: int) -> None:
        """Limit the number of jobs in flight (0: no limit). ValueError if the limit is negative."""
        value = arguments.count("new_submission_throttle", new_submission_throttle)
        self._request(lambda graph: requests.update(graph, {"throttle": value}))

    def update_rlimit(self, new_restart_limit: int) -> None:
        """Limit the restarts of each step that has a restart script (0: no limit).

        ValueError if the limit is negative.
        """
        value = arguments.count("new_restart_limit", new_restart_limit)
        self._request(lambda graph: requests.update(graph, {"rlimit": value}))

    @property
    def completed_steps(self) -> StepNames:
        """The names of the steps that have finished or whose scripts a dry run has written, and ``_source``."""
        return StepNames(self._study, (Phase.DONE,), RELEASED, (SOURCE,))

    @property
    def in_progress(self) -> StepNames:
        """The names of the steps that were submitted and have not ended."""
        return StepNames(self._study, IN_FLIGHT, tuple(State))

    @property
    def failed_steps(self) -> StepNames:
        """The names of the steps that have failed or timed out, and of the steps that depended on them."""
        return StepNames(self._study, (Phase.DONE,), FAILED_STATES)

    @property
    def cancelled_steps(self) -> StepNames:
        """The names of the steps that were cancelled."""
        return StepNames(self._study, (Phase.DONE,), tuple(state for state in BAD_ENDS if state not in FAILED_STATES))

    @property
    def ready_steps(self) -> ReadySteps:
        """The names of the steps that can be submitted and are not held, in the order of submission."""
        return ReadySteps(self._study)

    @property
    def is_canceled(self) -> bool:
        """Whether the study is being cancelled or was cancelled."""
        study = self._fresh().study
        return study.cancelling or study.status is StudyStatus.CANCELLED

    @property
    def dry_run(self) -> bool:
        """Whether the study only writes scripts and runs nothing."""
        return self._fresh().study.settings.dry_run

    def _change(self, **values: object) -> None:
        """Append an event for each value that differs from the recorded one."""

        def change(graph: ProjectedGraph) -> list[NewEvent]:
            before = {what: getattr(graph.study, what) for what in values}
            return [
                (None, e.SettingsChanged(what=what, before=before[what], after=value))
                for what, value in values.items()
                if value != before[what]
            ]

        self._request(change)
