"""`DAG`: Maestro's class for a directed graph without cycles. Its walks are in `maestro_es.core.walks`."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from maestro_es.core.walks import breadth_first, depth_first, has_cycle, topological_sort

_logger = logging.getLogger(__name__)


class NodeGraph(ABC):
    """A graph that is built node by node: Maestro's class ``Graph``."""

    @abstractmethod
    def add_node(self, name: str, obj: Any) -> None:  # noqa: ANN401 - of any kind
        """Add a node with a value."""

    @abstractmethod
    def add_edge(self, src: str, dest: str) -> None:
        """Add an edge between two nodes."""

    @abstractmethod
    def remove_edge(self, src: str, dest: str) -> None:
        """Remove an edge."""


class DAG(NodeGraph):
    """A graph. `adjacency_table` holds the children of each node, and `values` holds the value of each node.

    This class keeps both in memory. As in Maestro, some calls change nothing: adding a node or an edge twice, adding
    an edge from a node to itself or to an unknown node, and removing an edge of an unknown node. All of these calls
    are logged, except adding an edge twice.
    """

    adjacency_table: Any
    values: Any

    def __init__(self) -> None:
        self.adjacency_table = OrderedDict()
        self.values = OrderedDict()

    def add_node(self, name: str, obj: Any) -> None:  # noqa: ANN401 - of any kind
        """Add a node with a value. A node that exists already keeps its value."""
        if name in self.values:
            _logger.warning("there is a node %r already", name)
            return
        self.values[name] = obj
        self.adjacency_table[name] = []

    def add_edge(self, src: str, dest: str) -> None:
        """Add an edge. ValueError if there is no node `src`, or if the edge would close a cycle."""
        if src == dest:
            _logger.error("node %r can't have an edge to itself", src)
        elif src not in self.adjacency_table:
            raise ValueError(f"there is no node {src!r}, so it can't have an edge to {dest!r}")
        elif dest not in self.adjacency_table:
            _logger.error("there is no node %r, so it can't have an edge from %r", dest, src)
        elif dest not in self.adjacency_table[src]:
            if src in breadth_first(self.adjacency_table, dest)[1]:
                raise ValueError(f"the edge from {src!r} to {dest!r} would close a cycle")
            self.adjacency_table[src].append(dest)

    def remove_edge(self, src: str, dest: str) -> None:
        """Remove an edge. ValueError if there is none between two nodes that exist."""
        for node in (src, dest):
            if node not in self.adjacency_table:
                _logger.warning("the edge from %r to %r is not removed, because there is no node %r", src, dest, node)
                return
        if dest not in self.adjacency_table[src]:
            raise ValueError(f"there is no edge from {src!r} to {dest!r}, so none is removed")
        self.adjacency_table[src].remove(dest)

    def dfs_subtree(self, src: str, par: str | None = None) -> tuple[list[str], dict[str, str | None]]:
        """Return the nodes below `src` in depth-first order, once for each path, and the last parent of each.

        The parent of `src` is `par`. KeyError if there is no node `src`.
        """
        return depth_first(self._edges(), self._node(src), par)

    def bfs_subtree(self, src: str) -> tuple[list[str], dict[str, str | None]]:
        """Return the nodes below `src`, nearest first, and the parent from which each was reached first.

        The parent of `src` is None. KeyError if there is no node `src`.
        """
        return breadth_first(self._edges(), self._node(src))

    def topological_sort(self) -> list[str]:
        """Return all nodes, each before its children."""
        return topological_sort(self._edges())

    def detect_cycle(self) -> bool:
        """Whether the graph has a cycle."""
        return has_cycle(self._edges())

    def _edges(self) -> Mapping[str, Sequence[str]]:
        """Return the children of all nodes, for a walk."""
        edges: Mapping[str, Sequence[str]] = self.adjacency_table
        return edges

    def _node(self, name: str) -> str:
        """Return the name of a node. KeyError if there is none."""
        if name not in self.adjacency_table:
            raise KeyError(name)
        return name
