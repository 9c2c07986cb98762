"""What a program gives the methods of a graph is checked first: a refusal is one line, and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, State
from maestro_es.core.exported_variables import ExportChoice
from maestro_es.errors import RequestRefused
from tests.fakes.python_graphs import add
from tools.testbed.processes import wait_for


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[ExecutionGraph]:
    with ExecutionGraph.create(tmp_path / "study") as graph:
        add(graph, "a", "b")
        yield graph


ENVIRONMENTS: list[Callable[[ExecutionGraph], object]] = [
    lambda graph: graph.env({"A": "x\0INJECTED=yes"}),
    lambda graph: graph.env({"A": "x\0"}),
    lambda graph: graph.env({"A\0B": "x"}),
    lambda graph: graph.env(refresh=True, export=ExportChoice(True, (), {"A": "x\0B=y"})),
]


@pytest.mark.parametrize("change", ENVIRONMENTS)
def test_no_variable_holds_a_nul(graph: ExecutionGraph, change: Callable[[ExecutionGraph], object]):
    graph.env({"A": "before"})
    before = graph.history()
    with pytest.raises(RequestRefused, match=r"NUL|not the name of a variable"):
        change(graph)
    assert graph.history() == before


@pytest.mark.parametrize("wait_s", [math.nan, True, "5", None, 10**5000], ids=["nan", "True", "text", "None", "huge"])
def test_a_cancel_with_a_wrong_time_records_nothing(graph: ExecutionGraph, wait_s: float):
    before = graph.history()
    with pytest.raises((TypeError, ValueError), match="wait_s must be a number of seconds"):
        graph.cancel(wait_s=wait_s)
    assert graph.history() == before
    graph.cancel(wait_s=math.inf)
    assert graph.values["a"].status is State.CANCELLED


def test_no_edge_is_added_to_a_step_that_has_started(graph: ExecutionGraph):
    add(graph, "long", cmd="sleep 300")
    wait_for(lambda: (graph.execute_ready_steps(), graph.values["a"].status)[1] is State.FINISHED)
    before = graph.history()
    with pytest.raises(RequestRefused, match=r"'a' has ended \(FINISHED\), so its edges stay"):
        graph.add_edge("b", "a")
    with pytest.raises(RequestRefused, match="'long' has been submitted"):
        graph.add_connection("b", "long")
    assert graph.history() == before
    graph.cancel()
