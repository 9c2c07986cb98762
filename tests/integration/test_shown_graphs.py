"""A graph and its steps can be read at a prompt and in a notebook."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, StudyStep
from tests.fakes.python_graphs import add, run_to_end


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[ExecutionGraph]:
    with ExecutionGraph.create(tmp_path / "study") as graph:
        yield graph


class Cells(HTMLParser):
    """The texts in a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_graph_says_where_it_is_and_how_far(graph: ExecutionGraph):
    assert repr(graph) == f"<ExecutionGraph in {graph.path}: RUNNING, 0 of 0 steps done>"
    graph.name = "night"
    add(graph, "a", "b")
    graph.hold("b")
    while graph.values["a"].status.name != "FINISHED":
        graph.execute_ready_steps()
    assert repr(graph) == f"<ExecutionGraph 'night' in {graph.path}: RUNNING, 1 of 2 steps done>"
    assert repr(graph.values["b"]) == "<StepView b: INITIALIZED>"
    assert repr(graph.values["a"]) == f"<StepView a: FINISHED, job {graph.values['a'].jobid[0]}>"
    assert repr(graph.ready_steps) == "[]"


def test_a_notebook_shows_the_steps_that_are_not_done_first(graph: ExecutionGraph):
    graph.add_step("<b>", StudyStep("<b>", "", {"cmd": "true"}), "b", 0, {"X": "<i>"})
    add(graph, "a")
    graph.hold("a")
    while graph.values["<b>"].status.name != "FINISHED":
        graph.execute_ready_steps()
    page = Cells(graph._repr_html_())
    assert page.tags == {"p", "table", "tr", "th", "td"}
    assert page.texts[:8] == [repr(graph)[1:-1], "Step", "State", "Job", "Run time", "Parameters", "a", "INITIALIZED"]
    assert page.texts[-1] == "X=<i>"
    step = Cells(graph.values["<b>"]._repr_html_())
    assert step.texts[2:6] == ["name", "<b>", "status", "FINISHED"]
    assert step.tags == {"table", "tr", "th", "td"}


def test_a_long_table_is_cut(graph: ExecutionGraph):
    with graph.batch():
        add(graph, *(f"s{number}" for number in range(103)))
    page = Cells(graph._repr_html_())
    assert page.texts[-1] == "and 3 more steps"
    assert "s99" in page.texts
    assert "s100" not in page.texts


def test_a_graph_that_is_closed_or_gone_can_be_shown(graph: ExecutionGraph, tmp_path: Path):
    add(graph, "a")
    view = graph.values["a"]
    other = ExecutionGraph.create(tmp_path / "other")
    shutil.rmtree(other.path)
    graph.close()
    for shown in (graph, other):
        assert repr(shown).startswith(f"<ExecutionGraph in {shown.path}: ")
        assert shown._repr_html_().startswith("<p>ExecutionGraph in ")
    assert repr(view).startswith("<StepView of step 1: ")
    other.close()


def test_a_graph_that_has_ended_says_how(graph: ExecutionGraph):
    add(graph, "a", cmd="false")
    run_to_end(graph)
    assert repr(graph).endswith("FAILURE, 1 of 1 steps done>")
