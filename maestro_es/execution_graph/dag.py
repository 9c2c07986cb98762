"""`DAG`, a directed acyclic graph with Maestro's methods, and what makes an `ExecutionGraph` one.

The walks are those of `maestro_es.core.walks`, so nothing recurses.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maestro_es.core import arguments, requests, walks
from maestro_es.core.model import SOURCE
from maestro_es.core.resubmission_limits import RESTART_LIMIT
from maestro_es.errors import UnknownStep
from maestro_es.execution_graph.building import BuildableGraph
from maestro_es.execution_graph.edge_view import EdgeView, load_edges
from maestro_es.execution_graph.step_view import StepView
from maestro_es.execution_graph.value_view import ValueView

_logger = logging.getLogger(__name__)


class DAG:
    """A directed acyclic graph: `values` maps the name of each node to its object, `adjacency_table` to its children.

    This class keeps both in memory.
    """

    values: Mapping[str, Any]
    adjacency_table: Mapping[str, Sequence[str]]

    def __init__(self) -> None:
        self._nodes: dict[str, Any] = {}
        self._children: dict[str, list[str]] = {}
        self.values, self.adjacency_table = self._nodes, self._children

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and the object of each node, in the order in which they were added."""
        return iter(self.values.items())

    def add_node(self, name: str, obj: Any) -> None:  # noqa: ANN401 - Maestro's signature
        """Add a node. If there is one of that name, a warning is logged, and the graph stays as it is."""
        if name in self.values:
            _logger.warning("node %s is there already and stays as it is", name)
            return
        self._nodes[name] = obj
        self._children[name] = []

    def add_edge(self, src: str, dest: str) -> None:
        """Add an edge from a node to its child; an edge that is there, or would lead to its own node, is left out.

        UnknownStep if there is no such node, ValueError if a cycle would result. Then the graph stays as it is.
        """
        src, dest = self._known("src", src), self._known("dest", dest)
        if src == dest:
            _logger.error("edge (%s, %s) would lead to its own node and is left out", src, dest)
        elif dest not in self._children[src]:
            if self._children[dest] and src in walks.breadth_first(self._children, dest)[1]:
                raise ValueError(f"edge ({src}, {dest}) would make a cycle")
            self._children[src].append(dest)

    def remove_edge(self, src: str, dest: str) -> None:
        """Remove an edge. ValueError if it is not there. An unknown node is logged as a warning, as in Maestro."""
        for name in (src, dest):
            if name not in self._children:
                _logger.warning("edge (%s, %s) is not removed, because there is no node %s", src, dest, name)
                return
        if dest not in self._children[src]:
            raise ValueError(f"there is no edge ({src}, {dest})")
        self._children[src].remove(dest)

    def topological_sort(self) -> list[str]:
        """Return the names of all nodes, each before its children, in Maestro's order."""
        return walks.topological_sort(self._edges())

    def bfs_subtree(self, src: str) -> tuple[list[str], dict[str, str | None]]:
        """Return what can be reached from a node, nearest first, and the parent from which each was reached first.

        The parent of `src` is None. UnknownStep if there is no such node.
        """
        return walks.breadth_first(self._edges(), self._known("src", src))

    def dfs_subtree(self, src: str, par: str | None = None) -> tuple[list[str], dict[str, str | None]]:
        """Return the nodes of all paths from a node, depth first, and the parent from which each was reached last.

        As in Maestro, a node appears once for each path that leads to it. The parent of `src` is `par`. UnknownStep if
        there is no such node.
        """
        return walks.depth_first(self._edges(), self._known("src", src), par)

    def detect_cycle(self) -> bool:
        """Whether there is a cycle."""
        return walks.has_cycle(self._edges())

    def _edges(self) -> Mapping[str, Sequence[str]]:
        """Return the children of all nodes, for a walk."""
        return self.adjacency_table

    def _known(self, argument: str, value: str) -> str:
        """Return an argument as the name of a node."""
        name = arguments.name(argument, value)
        if name not in self.values:
            raise UnknownStep(f"there is no step {name!r}")
        return name


class WalkableGraph(DAG, BuildableGraph):
    """The part of `ExecutionGraph` that makes it a DAG: read-only views of the log's state, and edges as events."""

    @property
    def values(self) -> ValueView:  # type: ignore[override] # it is read-only
        """All steps by name, and None under the name of Maestro's root, ``_source``: a view, always up to date.

        Each step is a `StepView`. TypeError if a program tries to change the mapping.
        """
        return ValueView(self._study)

    @property
    def adjacency_table(self) -> EdgeView:  # type: ignore[override] # it is read-only
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
        src, dest = self._known("src", src), self._known("dest", dest)
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
