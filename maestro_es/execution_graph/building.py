"""The part of the graph that adds steps, edges and the adapter.

`maestro_es.core.requests` decides what can be added.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from maestro_es.adapters.host import this_host
from maestro_es.adapters.registry import make_adapter
from maestro_es.core import arguments, requests
from maestro_es.core import events as e
from maestro_es.core.file_names import TAKEN
from maestro_es.core.model import Param
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph.attributes import DescribedGraph
from maestro_es.execution_graph.base import refreshed
from maestro_es.study_file.render import objection


class Step(Protocol):
    """The interface of the steps that `add_step` takes: `StudyStep`, or Maestro's class with that name."""

    name: str
    description: str

    @property
    def run(self) -> Mapping[str, Any]:
        """The ``run`` keys of the step, as in a study file."""


@dataclass
class StudyStep:
    """A step: its name, its description, and its ``run`` keys as in a study file. ``cmd`` is the script."""

    name: str
    description: str
    run: Mapping[str, Any] = field(default_factory=dict)


class _Outside:
    """The workspaces outside of the study, by their real paths, that is, without symbolic links."""

    def __init__(self) -> None:
        self._count = 0
        self._last: list[str] = []
        self._by_real: dict[str, str] = {}

    def path_of(self, real: str, workspaces: list[str]) -> str | None:
        """Return the workspace whose real path is `real`.

        Only workspaces that were added since the last call are resolved. If a batch was undone, all are resolved
        again.
        """
        if workspaces[max(self._count - 1, 0) : self._count] != self._last:
            self._count, self._by_real = 0, {}
        for workspace in workspaces[self._count :]:
            self._by_real.setdefault(os.path.realpath(workspace), workspace)
        self._count, self._last = len(workspaces), workspaces[-1:]
        return self._by_real.get(real)


class BuildableGraph(DescribedGraph):
    """The part of `ExecutionGraph` that builds a graph of steps."""

    @functools.cached_property
    def _outside(self) -> _Outside:
        return _Outside()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Append all additions inside this block in one transaction. This is much faster for many steps.

        An error undoes the whole batch. RequestRefused inside another batch. No tick can run inside a batch. Only the
        thread and the process that began a batch can add to it or end it.
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
        """Add a step with a unique name. `workspace` is a directory: relative to the study, or absolute.

        `step` holds a description and a ``run`` mapping, whose ``cmd`` is the script. `restart_limit` is how many
        times the step may be restarted after a timeout (0: no limit). `params` is a mapping, or pairs of a name and a
        value. The status table shows it. RequestRefused if another step has this name or this workspace, or if ``run``
        has ``depends``: `add_connection` adds edges. TypeError or ValueError if an argument can't be stored.
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
        """Return the path of a workspace: relative to the study, or absolute if it is outside of it.

        One directory has one path, even if symbolic links lead to it. RequestRefused if no step can have this
        workspace.
        """
        root, path = self._study.dir.root, self._study.dir.path(workspace)
        real_root, real = os.path.realpath(root), os.path.realpath(path)
        directory = os.path.relpath(real, real_root)
        inside = not directory.startswith("../")
        if not inside:
            leads_out = not os.path.relpath(path, root).startswith("../")
            outside = real if leads_out else os.path.abspath(path)  # noqa: PTH100 - links stay
            directory = self._outside.path_of(real, refreshed(self._study).outside_workspaces()) or outside
        wrong = objection(directory.lstrip("/"), step, TAKEN if inside else ())
        if wrong:
            raise RequestRefused(f"step {step!r} can't have the workspace {workspace!r}: {wrong}; choose another")
        return directory

    def add_connection(self, parent: str, step: str) -> None:
        """Make `step` depend on `parent`. With ``_source`` as the parent, nothing changes.

        UnknownStep if one of the steps does not exist. ValueError if the edge would close a cycle. RequestRefused if
        `step` has been submitted or has ended.
        """
        first, second = arguments.name("parent", parent), arguments.name("step", step)
        self._request(lambda graph: requests.connect(graph, first, second))

    def set_adapter(self, adapter: Mapping[str, Any] | None) -> None:
        """Choose the scheduler. `adapter` is a batch block as in a study file.

        None or an empty block clears the choice.

        Without a choice, all steps run on this host, and `generate_scripts` raises NoAdapter. TypeError if `adapter`
        is not a dictionary, or if its type is unknown.
        """
        batch = arguments.mapping("adapter", adapter)
        make_adapter(batch, this_host())
        self._change(adapter=batch)
        vars(self._study).pop("adapters", None)
