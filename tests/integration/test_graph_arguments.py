"""What a program gives the methods of a graph is checked first: a refusal is one line, and changes nothing."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_es import ExecutionGraph, State, StudyStep
from maestro_es.core.exported_variables import ExportChoice
from maestro_es.errors import LogUnavailable, RequestRefused
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


ANSWERS: list[Callable[[ExecutionGraph], object]] = [
    lambda graph: graph.query("SELECT 1"),
    lambda graph: graph.at(seq=1),
    lambda graph: list(graph.edits()),
    lambda graph: list(graph.edits("a")),
]


@pytest.mark.parametrize("ask", ANSWERS)
def test_a_replaced_study_answers_nothing(graph: ExecutionGraph, ask: Callable[[ExecutionGraph], object]):
    shutil.rmtree(graph.path)
    with pytest.raises(LogUnavailable):
        ask(graph)
    with ExecutionGraph.create(graph.path), pytest.raises(LogUnavailable):
        ask(graph)


QUESTIONS: list[Callable[[ExecutionGraph, Any], object]] = [
    lambda graph, step: graph.show(step),
    lambda graph, step: graph.blame(step),
    lambda graph, step: list(graph.edits(step)),
    lambda graph, step: graph.hold(step),
    lambda graph, step: graph.why(step),
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_the_name_of_a_step_is_checked(graph: ExecutionGraph, ask: Callable[[ExecutionGraph, Any], object]):
    wrong: object
    for wrong in ([], b"a", True):
        with pytest.raises(TypeError, match=r"steps? must be a text, not "):
            ask(graph, wrong)
    with pytest.raises(UnicodeEncodeError, match=r"steps? must be text in UTF-8"):
        ask(graph, "\ud800")
    for unknown in (5, 2**70):
        with pytest.raises(RequestRefused, match=f"no step is called {unknown};"):
            ask(graph, unknown)
    assert "\ud800" not in graph
    with pytest.raises(KeyError, match="there is no step"):
        graph.values["\ud800"]


def test_a_value_of_a_query_has_at_most_64_bits(graph: ExecutionGraph):
    with pytest.raises(RequestRefused, match="more than 64 bits"):
        graph.query("SELECT :a", {"a": 2**70})  # type: ignore[dict-item]


def test_edges_are_not_given_with_the_script(graph: ExecutionGraph):
    before = graph.history()
    with pytest.raises(RequestRefused, match="add each edge with add_connection"):
        graph.add_step("c", StudyStep("c", "", {"cmd": "true", "depends": ["a"]}), "c", 0)
    assert graph.history() == before
    graph.add_step("c", StudyStep("c", "", {"cmd": "true", "depends": []}), "c", 0)
