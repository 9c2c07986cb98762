"""What makes an `ExecutionGraph` a DAG: views of the log's state, and edges that come and go as events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from maestro_es.core import arguments, requests
from maestro_es.core.model import SOURCE
from maestro_es.core.resubmission_limits import RESTART_LIMIT
from maestro_es.errors import UnknownStep
from maestro_es.execution_graph.building import BuildableGraph
from maestro_es.execution_graph.dag import DAG
from maestro_es.execution_graph.edge_view import EdgeView, load_edges
from maestro_es.execution_graph.step_view import StepView
from maestro_es.execution_graph.value_view import ValueView

_logger = logging.getLogger(__name__)


class WalkableGraph(DAG, BuildableGraph):
    """The part of `ExecutionGraph` that makes it a DAG: read-only views of the log's state, and edges as events."""

    @property
    def values(self) -> ValueView:
        """All steps by name, and None under the name of Maestro's root, ``_source``: a view, always up to date.

        Each step is a `StepView`. TypeError if a program tries to change the mapping.
        """
        return ValueView(self._study)

    @property
    def adjacency_table(self) -> EdgeView:
        """The names of the steps that wait for each step, by its name: a view, always up to date.

        Under ``_source`` are the steps that wait for nothing. Lists are in the order in which the edges were added.
        TypeError if a program tries to change the mapping or a list.
        """
        return EdgeView(self._study)

    def __iter__(self) -> Iterator[tuple[str, StepView]]:
        """Yield the name and the record of each step, in the order in which they were added, without ``_source``."""
        return ((name, view) for name, view in self.values.items() if name != SOURCE)

    def __contains__(self, name: object) -> bool:
        """Whether there is a step of that name, or it is ``_source``."""
        return name in self.values

    def add_node(self, name: str, obj: Any) -> None:  # noqa: ANN401 - Maestro's signature
        """Add a step, as `add_step` does; `obj` is a step, or the record of one with its workspace and parameters.

        A step alone gets a workspace of its own name. If there is a step of that name, a warning is logged, and the
        graph stays as it is. Nothing is done for ``_source``, which is always there. TypeError if `obj` is no step.
        """
        name = arguments.name("name", name)
        if name in self.values:
            if name != SOURCE:
                _logger.warning("step %s is there already and stays as it is", name)
        elif hasattr(obj, "run"):
            self.add_step(name, obj, name, RESTART_LIMIT)
        elif all(hasattr(obj, part) for part in ("step", "workspace", "restart_limit", "params")):
            self.add_step(name, obj.step, obj.workspace.value, obj.restart_limit, obj.params)
        else:
            raise TypeError(f"the node {name!r} must be a step or the record of one, not {type(obj).__name__}")

    def add_edge(self, src: str, dest: str) -> None:
        """Let the step `dest` wait for `src`. An edge that is there, or leads to its own step, is left out.

        UnknownStep if there is no such step, ValueError if steps would wait for each other.
        """
        src, dest = self._node(src), self._node(dest)
        if src == dest:
            _logger.error("step %s can't wait for itself, so this edge is left out", src)
        else:
            self.add_connection(src, dest)

    def remove_edge(self, src: str, dest: str) -> None:
        """Let the step `dest` wait no more for `src`: an event of its own.

        ValueError if it does not wait for it. RequestRefused if it has been submitted or has ended, and for an edge
        from ``_source``, which every step has that waits for nothing. An unknown step is logged as a warning, as in
        Maestro.
        """
        src, dest = arguments.name("src", src), arguments.name("dest", dest)
        for name in (src, dest):
            if name not in self.values:
                _logger.warning("edge (%s, %s) is not removed, because there is no step %s", src, dest, name)
                return
        self._request(lambda graph: requests.disconnect(graph, src, dest))

    def _edges(self) -> dict[str, list[str]]:
        return load_edges(self._fresh())

    def _node(self, name: str) -> str:
        name = arguments.name("name", name)
        if name not in self.values:
            raise UnknownStep(f"there is no step {name!r}")
        return name
