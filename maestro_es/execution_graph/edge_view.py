"""The edges of a graph in Maestro's form: a mapping from each step and ``_source`` to the names of its children."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maestro_es.core.model import SOURCE
from maestro_es.core.snapshot import ReadOnlyList, refuse
from maestro_es.errors import UnknownStep
from maestro_es.execution_graph.base import refreshed
from maestro_es.execution_graph.pickling import view_pickle
from maestro_es.execution_graph.value_view import ValueView, number_of
from maestro_es.store.projection import ProjectedGraph
from maestro_es.study.session import Session


class EdgeView(Mapping[str, list[str]]):
    """A read-only view of the edges. Each access reads the present state of the log."""

    def __init__(self, study: Session) -> None:
        self._study = study
        self._nodes = ValueView(study)

    def __getitem__(self, name: str) -> list[str]:
        graph = refreshed(self._study)
        if name == SOURCE:
            return ReadOnlyList(graph.roots())
        number = number_of(self._study, name)
        if number is None:
            raise UnknownStep(f"there is no step {name!r}")
        children = _merged(graph.children(number), graph.funnel(graph.step(number).template))
        return ReadOnlyList(graph.step(child).name for child in children)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._nodes)

    def copy(self) -> OrderedDict[str, list[str]]:
        """Return a dictionary of the present edges."""
        return OrderedDict((name, [*children]) for name, children in load_edges(refreshed(self._study)).items())

    def __repr__(self) -> str:
        return repr(load_edges(refreshed(self._study)))

    def __reduce__(self) -> tuple[Any, ...]:
        return view_pickle(EdgeView, self._study)

    __setitem__ = __delitem__ = refuse


def load_edges(graph: ProjectedGraph) -> dict[str, list[str]]:
    """Return the children of all steps and of ``_source`` with a few queries. The steps of one funnel share a list."""
    names = {number: (name, template) for number, name, template in graph.names()}
    edges: dict[int, list[int]] = {}
    for parent, child in graph.edges():
        edges.setdefault(parent, []).append(child)
    funnels: dict[str, list[int]] = {}
    for template, child in graph.funnel_edges():
        funnels.setdefault(template, []).append(child)
    shared = {template: [names[child][0] for child in children] for template, children in funnels.items()}
    children = {SOURCE: graph.roots()}
    for number, (name, template) in names.items():
        own = edges.get(number)
        children[name] = (
            [names[child][0] for child in _merged(own, funnels.get(template, ()))] if own else shared.get(template, [])
        )
    return children


def _merged(children: list[int], funnel: Sequence[int]) -> list[int]:
    """Return the children of a step, by edges and by a funnel, in the order of their numbers."""
    return sorted({*children, *funnel}) if funnel else children
