"""An execution graph is a DAG: views of what the log says, Maestro's walks, and edges that come and go as events."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, State, StudyStatus, StudyStep
from maestro_es.compat.abstracts import Graph
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.errors import NoSuchEdge, RequestRefused, UnknownStep
from maestro_es.execution_graph.dag import DAG
from maestro_es.execution_graph.step_view import StepView
from maestro_es.store.log_export import ExportReader
from tests.fakes.python_graphs import add, run_to_end
from tools.testbed.processes import wait_for


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[ExecutionGraph]:
    with ExecutionGraph.create(tmp_path / "study") as graph:
        yield graph


@pytest.fixture
def diamond(graph: ExecutionGraph) -> ExecutionGraph:
    """The edge to the right was added before the one to the left."""
    add(graph, "top", "left", "right", "bottom")
    for parent, child in (("top", "right"), ("top", "left"), ("left", "bottom"), ("right", "bottom")):
        graph.add_edge(parent, child)
    return graph


# -- views -----------------------------------------------------------------------------------------------------------


def test_values_are_a_mapping_with_the_root(diamond: ExecutionGraph):
    assert isinstance(diamond, DAG)
    assert isinstance(diamond, Graph)
    assert list(diamond.values) == ["_source", "top", "left", "right", "bottom"]
    assert len(diamond.values) == 5
    assert diamond.values["_source"] is None
    assert diamond.values["left"] == dict(diamond.values.items())["left"] == list(diamond.values.values())[2]
    assert "left" in diamond.values
    assert "nowhere" not in diamond.values
    assert 7 not in diamond.values
    assert diamond.values.get("nowhere") is None
    assert [(name, record.name) for name, record in diamond] == [(name, name) for name in list(diamond.values)[1:]]
    assert "left" in diamond
    assert diamond


def test_the_adjacency_table_has_children_in_the_order_of_their_edges(diamond: ExecutionGraph):
    assert dict(diamond.adjacency_table) == {
        "_source": ["top"],
        "top": ["right", "left"],
        "left": ["bottom"],
        "right": ["bottom"],
        "bottom": [],
    }
    assert len(diamond.adjacency_table) == 5
    assert "nowhere" not in diamond.adjacency_table
    assert repr(diamond.adjacency_table) == repr(dict(diamond.adjacency_table))


def test_a_view_shows_what_was_added_since_it_was_taken(graph: ExecutionGraph):
    values, edges = graph.values, graph.adjacency_table
    with ExecutionGraph.open(graph.path) as other:
        add(other, "a", "b")
        other.add_edge("a", "b")
    assert list(values) == ["_source", "a", "b"]
    assert edges["a"] == ["b"]
    with graph.batch():
        add(graph, "c")
        assert "c" in values
        assert edges["_source"] == ["a", "c"]


def test_views_reject_changes(diamond: ExecutionGraph):
    changes: list[Callable[[], object]] = [
        lambda: operator.setitem(diamond.values, "x", None),  # type: ignore[call-overload]
        lambda: operator.delitem(diamond.values, "top"),  # type: ignore[call-overload]
        lambda: operator.setitem(diamond.adjacency_table, "top", []),  # type: ignore[call-overload]
        lambda: diamond.adjacency_table["top"].append("bottom"),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="only events change a study"):
            change()
    with pytest.raises(AttributeError):
        diamond.values = {}  # type: ignore[misc, assignment]


def test_unknown_names_are_key_errors_and_value_errors(diamond: ExecutionGraph):
    asks: list[Callable[[], object]] = [
        lambda: diamond.values["nowhere"],
        lambda: diamond.adjacency_table["nowhere"],
        lambda: diamond.bfs_subtree("nowhere"),
        lambda: diamond.dfs_subtree("nowhere"),
        lambda: diamond.add_edge("nowhere", "top"),
        lambda: diamond.add_edge("top", "nowhere"),
        lambda: diamond.add_connection("_source", "nowhere"),
        lambda: diamond.add_connection("nowhere", "top"),
    ]
    for ask in asks:
        for kind in (KeyError, ValueError, RequestRefused, UnknownStep):
            with pytest.raises(kind, match="there is no step 'nowhere'"):
                ask()


# -- walks -----------------------------------------------------------------------------------------------------------


def test_walks_have_the_orders_of_maestro(diamond: ExecutionGraph):
    assert diamond.topological_sort() == ["_source", "top", "left", "right", "bottom"]
    assert diamond.bfs_subtree("_source") == (
        ["_source", "top", "right", "left", "bottom"],
        {"_source": None, "top": "_source", "right": "top", "left": "top", "bottom": "right"},
    )
    assert diamond.dfs_subtree("top", par="_source") == (
        ["top", "right", "bottom", "left", "bottom"],
        {"top": "_source", "right": "top", "bottom": "left", "left": "top"},
    )
    assert diamond.detect_cycle() is False


def test_a_funnel_is_an_edge_from_each_instance(tmp_path: Path, graph: ExecutionGraph):
    sims = [f"sim_{number}" for number in (1, 2)]
    new_events: list[NewEvent] = [(None, e.StepTemplateAdded(name="sim", description="", run={"cmd": "true"}))]
    new_events += [(n, e.StepAdded(name=sim, template="sim", workspace=sim)) for n, sim in enumerate(sims, 1)]
    new_events += [
        (None, e.StepTemplateAdded(name="post", description="", run={"cmd": "true"})),
        (3, e.StepAdded(name="post", template="post", workspace="post", funnels=("sim",))),
    ]
    graph._study.log.append(new_events)
    add(graph, "extra")
    graph.add_edge("sim_1", "extra")
    expected = {"_source": sims, "sim_1": ["post", "extra"], "sim_2": ["post"], "post": [], "extra": []}
    assert dict(graph.adjacency_table) == expected
    assert repr(graph.adjacency_table) == repr(expected)
    assert graph.bfs_subtree("_source")[0] == ["_source", *sims, "post", "extra"]
    with pytest.raises(
        RequestRefused, match="'post' waits for all instances of 'sim', so no single edge can be removed"
    ):
        graph.remove_edge("sim_1", "post")


# -- nodes and edges -------------------------------------------------------------------------------------------------


def test_a_node_is_a_step_or_the_record_of_one(
    graph: ExecutionGraph, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    graph.add_node("_source", None)
    graph.add_node("a", StudyStep("a", "a step", {"cmd": "true", "restart": "again"}))
    with ExecutionGraph.create(tmp_path / "other") as other:
        other.add_step("b", StudyStep("b", "another", {"cmd": "false"}), "place", 3, [("SIZE", 1)])
        graph.add_node("c", other.values["b"])
    before = graph.history()
    with caplog.at_level(logging.WARNING):
        graph.add_node("a", StudyStep("a", "a step", {"cmd": "false"}))
    assert "step a is there already" in caplog.text
    with pytest.raises(TypeError, match="the node 'd' must be a step or the record of one, not int"):
        graph.add_node("d", 7)

    assert graph.history() == before
    views = dict(graph)
    assert [(v.name, v.workspace.value, v.restart_limit) for v in views.values()] == [
        ("a", str(graph.path / "a"), 1),
        ("c", str(tmp_path / "other/place"), 3),
    ]
    assert views["c"].params == {"SIZE": "1"}


def test_a_removed_edge_is_an_event_and_lets_the_step_run(diamond: ExecutionGraph):
    assert diamond.remove_edge("top", "left") is None  # type: ignore[func-returns-value]
    assert [type(recorded.event) for recorded in diamond.history("left")][-1] is e.ConnectionRemoved
    assert diamond.adjacency_table["_source"] == ["top", "left"]
    assert diamond.steps["left"].unmet == 0
    assert run_to_end(diamond) is StudyStatus.FINISHED


def test_an_edge_that_is_not_there_is_not_removed(diamond: ExecutionGraph, caplog: pytest.LogCaptureFixture):
    before = diamond.history()
    for parent, child in (("left", "right"), ("_source", "left")):
        for kind in (ValueError, NoSuchEdge):
            with pytest.raises(kind, match="no edge"):
                diamond.remove_edge(parent, child)
    with pytest.raises(RequestRefused, match="'top' depends on no step, so its edge from '_source' stays"):
        diamond.remove_edge("_source", "top")
    with caplog.at_level(logging.WARNING):
        diamond.remove_edge("nowhere", "top")
        diamond.remove_edge("top", "nowhere")
    assert caplog.text.count("there is no step nowhere") == 2
    assert diamond.history() == before


def test_an_edge_to_a_step_that_was_submitted_stays(graph: ExecutionGraph):
    add(graph, "a")
    add(graph, "b", cmd="sleep 60")
    graph.add_edge("a", "b")
    wait_for(lambda: (graph.execute_ready_steps(), graph.values["b"].status)[1] is State.RUNNING)
    with pytest.raises(RequestRefused, match=r"'b' has been submitted \(RUNNING\), so its edges stay as they are"):
        graph.remove_edge("a", "b")
    graph.cancel_study()
    assert run_to_end(graph) is StudyStatus.CANCELLED
    with pytest.raises(RequestRefused, match=r"'b' has ended \(CANCELLED\)"):
        graph.remove_edge("a", "b")


def test_an_edge_that_would_make_a_cycle_is_refused(diamond: ExecutionGraph, caplog: pytest.LogCaptureFixture):
    before = diamond.history()
    with pytest.raises(ValueError, match="cycle"):
        diamond.add_edge("bottom", "top")
    diamond.add_edge("top", "top")
    assert "step top can't wait for itself" in caplog.text
    diamond.add_edge("top", "left")
    assert diamond.history() == before


def test_an_edge_that_would_make_a_cycle_through_a_funnel_is_refused(graph: ExecutionGraph):
    new_events: list[NewEvent] = [(None, e.StepTemplateAdded(name="sim", description="", run={"cmd": "true"}))]
    new_events += [(n, e.StepAdded(name=f"sim_{n}", template="sim", workspace=f"sim_{n}")) for n in (1, 2)]
    new_events += [
        (None, e.StepTemplateAdded(name="post", description="", run={"cmd": "true"})),
        (3, e.StepAdded(name="post", template="post", workspace="post", funnels=("sim",))),
    ]
    graph._study.log.append(new_events)
    with pytest.raises(ValueError, match="cycle"):
        graph.add_connection("post", "sim_2")
    assert graph.detect_cycle() is False


@pytest.mark.parametrize("together", [False, True])
def test_a_step_that_is_connected_to_a_failed_one_fails_too(graph: ExecutionGraph, together: bool):
    graph.add_step("bad", StudyStep("bad", "", {"cmd": "false"}), "bad", 0)
    add(graph, "good")
    assert run_to_end(graph) is StudyStatus.FAILURE
    with graph.batch() if together else contextlib.nullcontext():
        add(graph, "late")
        graph.add_connection("bad", "late")
        add(graph, "later")
        graph.add_connection("late", "later")
    assert (graph.steps["late"].state, graph.steps["later"].state) == (State.FAILED, State.FAILED)


def test_a_step_whose_edge_was_removed_after_the_export_has_not_finished(graph: ExecutionGraph, tmp_path: Path):
    add(graph, "a", "b", "c")
    graph.add_connection("a", "b")
    graph.add_connection("a", "c")
    graph.hold("a")
    export = tmp_path / "export.jsonl"
    export.write_text("".join(ExecutionGraph.export(graph.path)))
    graph.remove_edge("a", "b")
    wait_for(lambda: graph.execute_ready_steps() is not None and graph.steps["b"].state is State.FINISHED)
    graph.close()
    (graph.path / "events.db").unlink()
    ExecutionGraph.recover(ExportReader(export), graph.path)
    with ExecutionGraph.open(graph.path) as again:
        assert (again.steps["a"].state, again.steps["a"].held) == (State.INITIALIZED, True)


# -- size ------------------------------------------------------------------------------------------------------------


def test_a_chain_of_100_000_steps_is_walked(graph: ExecutionGraph):
    names = [f"s{number}" for number in range(1, 100_001)]
    new_events: list[NewEvent] = [(None, e.StepTemplateAdded(name="s", description="", run={"cmd": "true"}))]
    for number, name in enumerate(names, 1):
        parents = (number - 1,) if number > 1 else ()
        new_events.append((number, e.StepAdded(name=name, template="s", workspace=name, parents=parents)))
    graph._study.log.append(new_events)

    assert graph.topological_sort() == ["_source", *names]
    assert graph.bfs_subtree("s1")[0] == names
    assert graph.dfs_subtree("s1")[0] == names
    assert not graph.detect_cycle()
    assert sum(isinstance(record, StepView) for _, record in graph) == len(names)
    graph.remove_edge("s50000", "s50001")
    assert graph.adjacency_table["_source"] == ["s1", "s50001"]
    with pytest.raises(ValueError, match="cycle"):
        graph.add_edge("s50000", "s1")
