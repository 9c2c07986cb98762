"""The part of the graph with the methods of Maestro's DAG.

It shows the state in views, and records new edges as events.
"""

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
    """The part of `ExecutionGraph` that makes it a DAG. Views are read-only, and changes of edges are events."""

    @property
    def values(self) -> ValueView:
        """A view of all steps by name, always up to date. Each step is a `StepView`.

        Maestro's root, ``_source``, has the value None. TypeError if a program tries to change the mapping.
        """
        return ValueView(self._study)

    @property
    def adjacency_table(self) -> EdgeView:
        """A view of the edges, always up to date. It maps each step to the names of the steps that depend on it.

        Under ``_source`` are the steps without dependencies. Lists are in the order in which the edges were added.
        TypeError if a program tries to change the mapping or a list.
        """
        return EdgeView(self._study)

    def __iter__(self) -> Iterator[tuple[str, StepView]]:
        """Yield the name and the record of each step except ``_source``, in the order in which they were added."""
        return ((name, view) for name, view in self.values.items() if name != SOURCE)

    def __contains__(self, name: object) -> bool:
        """Whether the name is ``_source``, or the name of a step."""
        return name in self.values

    def add_node(self, name: str, obj: Any) -> None:  # noqa: ANN401 - Maestro's signature
        """Add a step, as `add_step` does. `obj` is a step, or a step record with a workspace and parameters.

        The workspace of a step without a record is named after the step. If a step has this name already, a warning is
        logged and nothing changes. For ``_source``, which always exists, nothing happens. TypeError if `obj` is
        neither a step nor a record.
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
        """Make the step `dest` depend on `src`. An edge that exists, or from a step to itself, is left out.

        UnknownStep if one of the steps does not exist. ValueError if the edge would close a cycle. RequestRefused if
        `dest` has been submitted or has ended.
        """
        src, dest = self._node(src), self._node(dest)
        if src == dest:
            _logger.error("step %s can't wait for itself, so this edge is left out", src)
        else:
            self.add_connection(src, dest)

    def remove_edge(self, src: str, dest: str) -> None:
        """Remove the dependency of the step `dest` on `src`. The log records the removal as an event.

        ValueError if there is no such edge. RequestRefused if `dest` has been submitted or has ended, or depends on
        all instances of a step of the study file. The removal of an edge from ``_source`` is also refused, because
        every step without dependencies has one. An unknown step is logged as a warning, as in Maestro.
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
