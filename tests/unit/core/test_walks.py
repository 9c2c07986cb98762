"""Walks visit a graph in Maestro's orders, however deep it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from maestro_es.core.walks import breadth_first, depth_first, has_cycle, topological_sort

DIAMOND = {"top": ["left", "right"], "left": ["bottom"], "right": ["bottom"], "bottom": []}
DEEP = {number: [number + 1] for number in range(100_000)} | {100_000: []}

Graph = Mapping[str, Sequence[str]]


def test_a_topological_sort_puts_the_sibling_that_was_declared_last_first():
    assert topological_sort(DIAMOND) == ["top", "right", "left", "bottom"]


def test_a_topological_sort_has_every_component():
    assert topological_sort({"a": [], "b": ["c"], "c": []}) == ["b", "c", "a"]


def test_a_breadth_first_walk_has_the_nearest_first_and_each_once():
    assert breadth_first(DIAMOND, "top") == (
        ["top", "left", "right", "bottom"],
        {"top": None, "left": "top", "right": "top", "bottom": "left"},
    )


def test_a_breadth_first_walk_ends_in_a_cycle():
    assert breadth_first({"a": ["b"], "b": ["a"]}, "a") == (["a", "b"], {"a": None, "b": "a"})


def test_a_depth_first_walk_has_a_node_once_for_each_path():
    assert depth_first(DIAMOND, "top", "above") == (
        ["top", "left", "bottom", "right", "bottom"],
        {"top": "above", "left": "top", "bottom": "right", "right": "top"},
    )


def test_a_depth_first_walk_into_a_cycle_is_refused():
    with pytest.raises(ValueError, match="'a' is part of a cycle"):
        depth_first({"top": ["a"], "a": ["b"], "b": ["a"]}, "top")


@pytest.mark.parametrize(
    ("graph", "found"),
    [(DIAMOND, False), ({}, False), ({"a": ["a"]}, True), ({"a": ["b"], "b": ["c"], "c": ["b"], "d": []}, True)],
    ids=["diamond", "empty", "loop", "cycle"],
)
def test_a_cycle_is_found(graph: Graph, found: bool):
    assert has_cycle(graph) is found


def test_a_walk_from_an_unknown_node_is_a_key_error():
    for walk in (breadth_first, depth_first):
        with pytest.raises(KeyError):
            walk(DIAMOND, "nowhere")


def test_a_chain_of_100_000_nodes_is_walked():
    numbers = list(DEEP)
    assert topological_sort(DEEP) == numbers
    assert breadth_first(DEEP, 0)[0] == numbers
    assert depth_first(DEEP, 0)[0] == numbers
    assert not has_cycle(DEEP)
