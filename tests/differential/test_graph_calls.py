"""The same calls on both classes ExecutionGraph have the same outcome. The page on differences lists the others."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import dill  # a dependency of Maestro
import pytest

from maestro_es.errors import NotAPointer
from tests.differential.graph_calls import CALLS, DIFFERENT, Kit, logged, members, pictured
from tests.differential.test_corpus import DOCUMENTATION, written


@pytest.fixture
def kits(tmp_path: Path) -> tuple[Kit, Kit]:
    """The kits of Maestro and of maestro-es."""
    return Kit("maestrowf", tmp_path / "maestro"), Kit("maestro_es", tmp_path / "ours")


def outcome(name: str, kit: Kit) -> Any:
    """Return the result or the exception of a call."""
    try:
        with logged():
            found = CALLS[name](kit)
    except Exception as error:  # noqa: BLE001 - of either program
        return error
    return re.sub(re.escape(str(kit.place)), "PLACE", repr(found))


def agree(theirs: Any, ours: Any) -> bool:
    """Return whether a program that handles one outcome handles the other."""
    if isinstance(theirs, Exception):
        return isinstance(ours, type(theirs))
    return bool(theirs == ours)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_outcome_of_maestro(name: str, kits: tuple[Kit, Kit]):
    theirs, ours = (outcome(name, kit) for kit in kits)
    if name in DIFFERENT:
        assert written(DIFFERENT[name]) in written(DOCUMENTATION.read_text())
        assert not agree(theirs, ours), f"both: {ours!r}"
    else:
        assert agree(theirs, ours), f"Maestro: {theirs!r}\nmaestro-es: {ours!r}"


def test_each_difference_is_that_of_a_call():
    assert DIFFERENT.keys() <= CALLS.keys()


def test_each_public_member_of_maestro_is_here_and_takes_the_same_arguments(kits: tuple[Kit, Kit]):
    theirs, ours = map(members, kits)
    assert theirs.keys() - ours.keys() == set()
    for name, expected in theirs.items():
        found = ours[name]
        assert (found is None) is (expected is None), name
        if expected is not None and found is not None:
            assert found[: len(expected)] == expected or takes_anything(found), name


def takes_anything(found: list[tuple[str, Any]]) -> bool:
    """Return whether a method refuses all arguments."""
    return [name for name, _ in found] == ["_", "__"]


def test_a_pickle_that_maestro_has_written_is_refused_with_one_line(kits: tuple[Kit, Kit]):
    theirs, ours = kits
    file = theirs.place / "study.pkl"
    theirs.ended(theirs.diamond()).pickle(str(file))
    with pytest.raises(NotAPointer) as raised:
        ours.ExecutionGraph.unpickle(str(file))
    remedy = f"'maestro-es import {theirs.place}' takes its study over"
    assert str(raised.value) == f"{file}: a pickle of Maestro's, which could run any program and is not read; {remedy}"


def test_dill_takes_a_graph_as_it_takes_one_of_maestro(kits: tuple[Kit, Kit]):
    for kit in kits:
        again = dill.loads(dill.dumps(kit.diamond()))  # noqa: S301 - which this test has made
        assert list(again.values) == ["_source", "top", "left", "right", "bottom"]


def test_the_graph_of_a_study_is_that_of_maestro(kits: tuple[Kit, Kit]):
    theirs, ours = map(pictured, kits)
    assert list(ours) == list(theirs)
    for part, expected in theirs.items():
        assert sorted_params(ours[part]) == sorted_params(expected), part


def sorted_params(picture: Any) -> Any:
    """Return a picture with parameters in the order of their names."""
    inside = re.compile(r"(?<=, \{)('ITER': '\d'), ('SIZE': '\d')(?=\})")
    return inside.sub(r"\2, \1", picture) if isinstance(picture, str) else picture


@pytest.mark.parametrize("seed", range(20))
def test_walks_through_a_random_graph_are_those_of_maestro(seed: int, kits: tuple[Kit, Kit]):
    """Steps and edges have a random order.

    The root has edges to the steps without dependencies, in the order of the steps.
    """
    theirs, ours = (random_graph(kit, random.Random(seed)) for kit in kits)  # noqa: S311 - nothing secret
    assert {name: list(found) for name, found in ours.adjacency_table.items()} == theirs.adjacency_table
    assert ours.topological_sort() == theirs.topological_sort()
    for name in theirs.values:
        assert ours.bfs_subtree(name) == theirs.bfs_subtree(name)
        assert ours.dfs_subtree(name) == theirs.dfs_subtree(name)


def random_graph(kit: Kit, rng: random.Random) -> Any:
    """Return a graph of up to nine steps."""
    graph = kit.empty()
    names = [f"s{number}" for number in range(rng.randint(1, 9))]
    for name in names:
        kit.add(graph, name)
    order = rng.sample(names, len(names))
    edges = [(first, second) for place, first in enumerate(order) for second in order[place + 1 :]]
    chosen = rng.sample(edges, rng.randint(0, min(12, len(edges))))
    for name in names:
        if name not in {second for _, second in chosen}:
            graph.add_edge("_source", name)
    for first, second in chosen:
        graph.add_edge(first, second)
    return graph
