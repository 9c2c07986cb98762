"""Adds steps, edges and settings to a graph."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from maestro_es.adapters.process import this_host
from maestro_es.adapters.registry import make_adapter
from maestro_es.core import arguments, requests
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.file_names import TAKEN
from maestro_es.core.model import Param
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph.base import GraphBase
from maestro_es.execution_graph.steps import Step
from maestro_es.store.projection import ProjectedGraph
from maestro_es.study_file.paths import objection


class BuildableGraph(GraphBase):
    """The part of `ExecutionGraph` that builds a graph of steps."""

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Append what is added inside all together, which is much faster for many steps; an error undoes it all.

        RequestRefused inside another batch; neither can a tick run in one. Only the thread and the process that began
        a batch can add to it or end it.
        """
        self._commits_alone()
        self._study.log.refresh()
        with self._study.log.transaction():
            yield

    def add_step(
        self,
        name: str,
        step: Step,
        workspace: str | os.PathLike[str],
        restart_limit: int,
        params: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
    ) -> None:
        """Add a step under a name of its own. `workspace` is a directory, relative to the study or absolute.

        `restart_limit` counts restarts after a timeout (0: no limit); `params` are shown in the status table:
        a mapping, or pairs of a name and a value.
        """
        name = arguments.name("name", name)
        if not (hasattr(step, "run") and hasattr(step, "description")):
            raise TypeError(f"step must be a StudyStep, not {type(step).__name__}")
        run = requests.run_of(name, step.run)
        description = arguments.text("step.description", step.description) or name
        pairs = arguments.texts("params", params)
        given = tuple(Param(key, value, f"{key}.{value}", key) for key, value in pairs.items())
        place = self._place(name, arguments.path("workspace", workspace))
        limit = arguments.count("restart_limit", restart_limit)
        template = e.StepTemplateAdded(name=name, description=description, run=run)
        self._request(lambda graph: requests.add_step(graph, template, place, limit, given))

    def _place(self, step: str, workspace: str) -> str:
        """Return the path of a workspace, relative to the study's. RequestRefused if no step can have it."""
        place = os.path.relpath(self._study.dir.path(workspace), self._study.dir.root)
        inside = not place.startswith("../")
        wrong = objection(place if inside else place.lstrip("./"), step, TAKEN if inside else ())
        if wrong:
            raise RequestRefused(f"step {step!r} can't have the workspace {workspace!r}: {wrong}; choose another")
        return place

    def add_connection(self, parent: str, step: str) -> None:
        """Let `step` wait for `parent`; for ``_source`` there is nothing to do.

        UnknownStep if there is no such step, ValueError if it would wait for itself.
        """
        first, second = arguments.name("parent", parent), arguments.name("step", step)
        self._request(lambda graph: requests.connect(graph, first, second))

    def set_adapter(self, adapter: dict[str, Any]) -> None:
        """Choose the scheduler: a batch block as study files have it. TypeError if it is none or its type unknown."""
        if adapter is None:
            raise TypeError("adapter must be a dictionary, not None")
        batch = arguments.mapping("adapter", adapter)
        make_adapter(batch, this_host())
        self._set("adapter", batch)
        vars(self._study).pop("adapters", None)

    def add_description(self, name: str, description: str, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Maestro's
        """Name and describe the study; other keys are taken and ignored, as Maestro does."""
        values = {"name": arguments.name("name", name), "description": arguments.text("description", description)}
        for what, value in values.items():
            self._set(what, value)

    def _set(self, what: str, value: object) -> None:
        def change(graph: ProjectedGraph) -> list[NewEvent]:
            before = getattr(graph.study, what)
            return [] if before == value else [(None, e.SettingsChanged(what=what, before=before, after=value))]

        self._request(change)
