"""Adds steps, edges and settings to a graph."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from maestro_es.adapters.process import this_host
from maestro_es.adapters.registry import make_adapter
from maestro_es.core import arguments, requests
from maestro_es.core import events as e
from maestro_es.core.file_names import TAKEN
from maestro_es.core.model import Param
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph.attributes import DescribedGraph
from maestro_es.study_file.render import objection


class Step(Protocol):
    """What `add_step` takes: `StudyStep`, or Maestro's class of that name."""

    name: str
    description: str

    @property
    def run(self) -> Mapping[str, Any]:
        """Its ``run`` keys, as a study file has them."""


@dataclass
class StudyStep:
    """A step: its name, what it is for, and its ``run`` keys as a study file has them; ``cmd`` is the script."""

    name: str
    description: str
    run: Mapping[str, Any] = field(default_factory=dict)


class BuildableGraph(DescribedGraph):
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

        `step` has a description and a ``run`` mapping, whose ``cmd`` is the script. `restart_limit` is how often the
        step may be restarted after it has run out of time (0: without limit). `params` are shown in the status table:
        a mapping, or pairs of a name and a value. RequestRefused if there is a step of that name or in that workspace,
        TypeError or ValueError if an argument can't be stored.
        """
        name = arguments.name("name", name)
        if not (hasattr(step, "run") and hasattr(step, "description")):
            raise TypeError(f"step must be a StudyStep, not {type(step).__name__}")
        run = requests.run_of(name, step.run)
        description = arguments.text("step.description", step.description) or name
        pairs = arguments.texts("params", params)
        param_values = tuple(Param(key, value, f"{key}.{value}", key) for key, value in pairs.items())
        directory = self._directory(name, arguments.path("workspace", workspace))
        limit = arguments.count("restart_limit", restart_limit)
        template = e.StepTemplateAdded(name=name, description=description, run=run)
        self._request(lambda graph: requests.add_step(graph, template, directory, limit, param_values))

    def _directory(self, step: str, workspace: str) -> str:
        """Return the path of a workspace: relative to the study, or absolute if it lies elsewhere.

        RequestRefused if no step can have it.
        """
        directory = os.path.relpath(self._study.dir.path(workspace), self._study.dir.root)
        inside = not directory.startswith("../")
        if not inside:
            directory = os.path.abspath(self._study.dir.path(workspace))  # noqa: PTH100 - links stay
        wrong = objection(directory.lstrip("/"), step, TAKEN if inside else ())
        if wrong:
            raise RequestRefused(f"step {step!r} can't have the workspace {workspace!r}: {wrong}; choose another")
        return directory

    def add_connection(self, parent: str, step: str) -> None:
        """Let `step` wait for `parent`; for ``_source`` there is nothing to do.

        UnknownStep if there is no such step, ValueError if it would wait for itself.
        """
        first, second = arguments.name("parent", parent), arguments.name("step", step)
        self._request(lambda graph: requests.connect(graph, first, second))

    def set_adapter(self, adapter: Mapping[str, Any] | None) -> None:
        """Choose the scheduler: a batch block as study files have it. None, or an empty one, clears the choice.

        Without a choice all steps run on this host, but `generate_scripts` refuses. TypeError if `adapter` is no
        dictionary, or its type is unknown.
        """
        batch = arguments.mapping("adapter", adapter)
        make_adapter(batch, this_host())
        self._change(adapter=batch)
        vars(self._study).pop("adapters", None)
