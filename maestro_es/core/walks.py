"""Walks through a graph, in the orders in which Maestro visits the nodes. No function is recursive.

A graph is a mapping from each node to its children. Each child must be a key too, otherwise a walk raises KeyError. No
walk changes the mapping, so the mapping may be a view.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def topological_sort(graph: Mapping[Node, Iterable[Node]]) -> list[Node]:
    """Return all nodes, each before its children: a depth-first postorder, reversed.

    If two nodes do not depend on each other, the one that is later in the mapping comes first. If the graph has a
    cycle, there is no such order. Then the result has all nodes in another order.
    """
    visited: set[Node] = set()
    order: list[Node] = []
    for root in graph:
        if root in visited:
            continue
        visited.add(root)
        path: list[tuple[Node, Iterator[Node]]] = [(root, iter(graph[root]))]
        while path:
            node, rest = path[-1]
            for child in rest:
                if child not in visited:
                    visited.add(child)
                    path.append((child, iter(graph[child])))
                    break
            else:
                order.append(node)
                path.pop()
    order.reverse()
    return order


def breadth_first(graph: Mapping[Node, Iterable[Node]], source: Node) -> tuple[list[Node], dict[Node, Node | None]]:
    """Return the nodes that can be reached from `source`, nearest first, and the parent from which each was reached.

    The parent of `source` is None.
    """
    order = [source]
    parents: dict[Node, Node | None] = {source: None}
    queue = deque(order)
    while queue:
        node = queue.popleft()
        for child in graph[node]:
            if child not in parents:
                parents[child] = node
                order.append(child)
                queue.append(child)
    return order, parents


def depth_first(
    graph: Mapping[Node, Iterable[Node]], source: Node, parent: Node | None = None
) -> tuple[list[Node], dict[Node, Node | None]]:
    """Return the nodes of every path from `source` in depth-first order, and the last parent of each.

    As in Maestro, a node appears once for each path that leads to it. So the result may be exponentially long.
    ValueError if a path leads to a cycle, because the walk would never end. The parent of `source` is `parent`.
    """
    order: list[Node] = []
    parents: dict[Node, Node | None] = {source: parent}
    on_path: set[Node] = set()
    stack: list[tuple[Node, Node | None, bool]] = [(source, parent, True)]
    while stack:
        node, above, enters = stack.pop()
        if not enters:
            on_path.remove(node)
            continue
        if node in on_path:
            raise ValueError(f"{node!r} is part of a cycle, so a depth-first walk never ends")
        on_path.add(node)
        order.append(node)
        parents[node] = above
        stack.append((node, above, False))
        stack.extend((child, node, True) for child in reversed(list(graph[node])))
    return order, parents


def has_cycle(graph: Mapping[Node, Iterable[Node]]) -> bool:
    """Return whether a path leads from a node back to the same node."""
    waiting = dict.fromkeys(graph, 0)
    for node in graph:
        for child in graph[node]:
            waiting[child] += 1
    free = [node for node, count in waiting.items() if not count]
    for node in free:  # the list grows during the loop
        for child in graph[node]:
            waiting[child] -= 1
            if not waiting[child]:
                free.append(child)
    return len(free) < len(waiting)
