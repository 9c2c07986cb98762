"""The attributes of a graph and of its steps say what the log says; few can be assigned, and that is an event."""

from __future__ import annotations

import csv
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, State, StudyStatus, StudyStep
from maestro_es.core import events as e
from maestro_es.core.model import CancelCode
from maestro_es.errors import NoAdapter, RequestRefused
from tests.fakes.python_graphs import add, run_to_end
from tools.testbed.processes import wait_for


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[ExecutionGraph]:
    with ExecutionGraph.create(tmp_path / "study") as graph:
        yield graph


@pytest.fixture
def ended(graph: ExecutionGraph) -> ExecutionGraph:
    """One step has finished, one has failed, one with it, one is held."""
    add(graph, "good", "held")
    add(graph, "bad", cmd="exit 3")
    add(graph, "after")
    graph.add_edge("bad", "after")
    graph.hold("held")
    wait_for(lambda: (graph.execute_ready_steps(), graph.values["after"].status)[1] is State.FAILED)
    wait_for(lambda: (graph.execute_ready_steps(), graph.values["good"].status)[1] is State.FINISHED)
    return graph


# -- progress --------------------------------------------------------------------------------------------------------


def test_a_new_graph_has_only_ready_steps(graph: ExecutionGraph):
    add(graph, "a", "b", "c")
    graph.add_edge("a", "c")
    assert graph.completed_steps == {"_source"}
    assert not graph.in_progress
    assert graph.failed_steps == graph.cancelled_steps == set()
    assert graph.ready_steps == ["a", "b"]
    assert (graph.ready_steps[0], graph.ready_steps[-1:], len(graph.ready_steps)) == ("a", ["b"], 2)
    assert graph.is_canceled is False
    assert graph.dry_run is False


def test_sets_of_names_have_the_methods_of_sets_and_lists_those_of_lists(graph: ExecutionGraph):
    add(graph, "a", "b")
    done, ready = graph.completed_steps, graph.ready_steps
    names = done.copy()
    assert names == {"_source"} == done.union() == done.intersection(["_source", "a"]) == done.difference({"a"})
    assert done.union({"x"}, ["y"]) == {"_source", "x", "y"}
    assert done.symmetric_difference({"_source", "x"}) == {"x"}
    assert done.issubset({"_source", "x"})
    assert done.issuperset(())
    assert done.isdisjoint({"x"})
    assert ready.copy() == ["a", "b"]
    assert list(reversed(graph.values)) == list(reversed(graph.adjacency_table)) == ["b", "a", "_source"]
    assert graph.values.copy() == dict(graph.values)
    edges = graph.adjacency_table.copy()
    edges["a"].append("x")
    assert graph.adjacency_table["a"] == []
    for copied in (names, ready.copy(), graph.values.copy(), edges):
        copied.clear()
    assert [len(graph.values), *graph.ready_steps] == [3, "a", "b"]


def test_steps_are_in_the_sets_of_their_states(ended: ExecutionGraph):
    assert ended.completed_steps == {"_source", "good"}
    assert ended.failed_steps == {"bad", "after"}
    assert ended.ready_steps == []
    assert "bad" in ended.failed_steps
    assert "good" not in ended.failed_steps
    assert "nowhere" not in ended.failed_steps
    assert ended.completed_steps | ended.failed_steps | ended.cancelled_steps == {"_source", "good", "bad", "after"}
    assert set(ended.values) - (ended.completed_steps | ended.failed_steps) == {"held"}
    assert repr(ended.cancelled_steps) == "set()"


def test_a_cancelled_graph_says_so_and_can_be_cancelled_again(graph: ExecutionGraph):
    add(graph, "long", cmd="sleep 60")
    add(graph, "after")
    graph.add_edge("long", "after")
    wait_for(lambda: (graph.execute_ready_steps(), graph.values["long"].status)[1] is State.RUNNING)
    assert graph.in_progress == {"long"}
    assert graph.cancel_study() is graph.cancel_study() is CancelCode.OK
    assert graph.is_canceled
    assert run_to_end(graph) is StudyStatus.CANCELLED
    before = [recorded for recorded in graph.history() if isinstance(recorded.event, e.CancelRequested)]
    assert graph.cancel_study() is CancelCode.OK
    after = [recorded for recorded in graph.history() if isinstance(recorded.event, e.CancelRequested)]
    assert len(before) == len(after) == 1
    assert graph.cancelled_steps == {"long", "after"}
    assert graph.is_canceled


def test_a_finished_graph_has_nothing_to_cancel(graph: ExecutionGraph):
    add(graph, "a")
    run_to_end(graph)
    before = graph.history()
    assert graph.cancel_study() is CancelCode.OK
    assert graph.history() == before


# -- what can be set -------------------------------------------------------------------------------------------------


def test_setters_append_events(graph: ExecutionGraph):
    add(graph, "a", restart="true")
    graph.name = "night"
    graph.description = "what it is for"
    graph.update_throttle(3)
    graph.update_rlimit(0)
    graph.name = "night"
    with ExecutionGraph.open(graph.path) as other:
        assert (other.name, other.description) == ("night", "what it is for")
        assert other.values["a"].restart_limit == 0
    changes = [recorded.event for recorded in graph.history() if isinstance(recorded.event, e.SettingsChanged)]
    assert [(change.what, change.after) for change in changes] == [
        ("name", "night"), ("description", "what it is for"), ("submission_throttle", 3), ("restart_limit", 0),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="new_submission_throttle must not be negative, but is -1"):
        graph.update_throttle(-1)
    with pytest.raises(TypeError, match="new_restart_limit must be a whole number"):
        graph.update_rlimit("3")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["completed_steps", "dry_run", "is_canceled", "path", "status", "steps", "anything"])
def test_nothing_else_can_be_assigned(graph: ExecutionGraph, name: str):
    with pytest.raises(AttributeError, match=f"{name} can't be set: only events change a study"):
        setattr(graph, name, True)


def test_further_words_about_a_study_are_kept_and_logged(graph: ExecutionGraph, caplog: pytest.LogCaptureFixture):
    graph.add_description("night", "what it is for", author="me", tags=["a", 1])
    graph.add_description("night", "what it is for", version=2)
    with ExecutionGraph.open(graph.path) as other, caplog.at_level(logging.INFO):
        other.log_description()
    lines = caplog.records[-1].getMessage().split()
    assert lines == [
        "name:",
        "night",
        "description:",
        "what",
        "it",
        "is",
        "for",
        "author:",
        "me",
        "tags:",
        "['a',",
        "1]",
        "version:",
        "2",
    ]
    with pytest.raises(TypeError, match="details"):
        graph.add_description("night", "", author=object())


def test_without_an_adapter_there_are_no_scripts_but_local_steps_run(graph: ExecutionGraph):
    add(graph, "a")
    for kind in (ValueError, NoAdapter):
        with pytest.raises(kind, match="no adapter was chosen"):
            graph.generate_scripts()
    graph.set_adapter({"type": "local"})
    graph.generate_scripts()
    assert graph.values["a"].script == str(graph.path / "a/a.sh")
    graph.set_adapter(None)
    with pytest.raises(NoAdapter):
        graph.generate_scripts()
    assert run_to_end(graph) is StudyStatus.FINISHED


# -- status.csv ------------------------------------------------------------------------------------------------------


def test_the_status_table_is_written_whole_while_the_lock_of_maestro_is_held(graph: ExecutionGraph, tmp_path: Path):
    add(graph, "a")
    folder = tmp_path / "elsewhere"
    with pytest.raises(FileNotFoundError):
        graph.write_status(folder)
    assert not folder.exists()
    folder.mkdir()
    (folder / "status.csv").write_text("old")
    handle = os.open(folder / ".status.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    write = "import sys; from maestro_es import ExecutionGraph as G; G.open(sys.argv[1]).write_status(sys.argv[2])"
    writer = subprocess.Popen([sys.executable, "-c", write, graph.path, folder])
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(1)
    assert (folder / "status.csv").read_text() == "old"
    os.close(handle)
    assert writer.wait(60) == 0
    rows = list(csv.DictReader((folder / "status.csv").read_text().splitlines()))
    assert [(row["Step Name"], row["State"]) for row in rows] == [("a", "INITIALIZED")]
    assert sorted(path.name for path in folder.iterdir()) == [".status.lock", "status.csv"]


def test_a_reader_that_holds_the_lock_of_the_status_table_delays_no_request(graph: ExecutionGraph):
    add(graph, "a", "b")
    run_to_end(graph)
    add(graph, "c")
    handle = os.open(graph.path / ".status.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    tick = "import sys; from maestro_es import ExecutionGraph as G; G.open(sys.argv[1]).tick()"
    ticking = subprocess.Popen([sys.executable, "-c", tick, graph.path])
    try:
        wait_for(lambda: graph.values["c"].jobid)
        with pytest.raises(subprocess.TimeoutExpired):
            ticking.wait(1)
        table = (graph.path / "status.csv").read_text()
        graph.name = "another"
        assert (graph.path / "status.csv").read_text() == table, "the request did not wait for the tick"
    finally:
        os.close(handle)
        assert ticking.wait(60) == 0


# -- records ---------------------------------------------------------------------------------------------------------


def test_the_record_of_a_new_step(graph: ExecutionGraph):
    graph.add_step(
        "a_SIZE.1",
        StudyStep("a", "is a step", {"cmd": "echo $(WORKSPACE)", "restart": "again", "walltime": "00:10:00"}),
        "a/SIZE.1",
        3,
        iter([("SIZE", 1), ("NAME", "x")]),
    )
    record = graph.values["a_SIZE.1"]
    place = f"{graph.path}/a/SIZE.1"
    assert (record.name, record.status, record.jobid, record.restarts, record.restart_limit) == (
        "a_SIZE.1", State.INITIALIZED, [], 0, 3,
    )  # fmt: skip
    assert record.params == {"SIZE": "1", "NAME": "x"}
    assert (record.workspace.name, record.workspace.value) == ("WORKSPACE", place)
    assert (record.step.name, record.step.real_name, record.step.run["cmd"]) == (
        "a_SIZE.1", "a_SIZE.1", f"echo {place}",
    )  # fmt: skip
    assert (record.step.run["nodes"], record.step.run["depends"]) == ("", "")
    assert record.walltime == "00:10:00"
    assert (record.script, record.restart_script, record.can_restart) == ("", "", True)
    assert (record.to_be_scheduled, record.is_local_step) == (False, True)
    assert {record.time_submitted, record.time_start, record.time_end} == {"--"}
    assert {record.run_time, record.elapsed_time} == {"--:--:--"}
    graph.set_adapter({"type": "lsf", "host": "h", "bank": "b", "queue": "q"})
    graph.add_step("b", StudyStep("b", "", {"cmd": "true", "nodes": 1}), "b", 0)
    assert (graph.values["b"].to_be_scheduled, graph.values["b"].is_local_step) == (True, False)
    assert graph.values["b"] == graph.values["b"] != record
    assert len({graph.values["b"], graph.values["b"], record}) == 2


def test_the_record_of_a_step_that_ran_twice(ended: ExecutionGraph):
    ended.retry("bad")
    wait_for(lambda: (ended.execute_ready_steps(), ended.values["bad"].status)[1] is State.FAILED)
    record = ended.values["bad"]
    assert len(record.jobid) == len(set(record.jobid)) == 2
    assert record.script == str(ended.path / "bad/bad.sh")
    rows = csv.DictReader((ended.path / "status.csv").read_text().splitlines())
    row = next(row for row in rows if row["Step Name"] == "bad")
    assert row["Job ID"] == record.jobid[-1]
    assert (row["Submit Time"], row["Start Time"], row["End Time"], row["Run Time"], row["Elapsed Time"]) == (
        record.time_submitted, record.time_start, record.time_end, record.run_time, record.elapsed_time,
    )  # fmt: skip


def test_a_record_refuses_what_only_a_tick_may_do(ended: ExecutionGraph):
    record, before = ended.values["bad"], ended.history()
    for name in (
        "setup_workspace", "generate_script", "execute", "restart", "mark_submitted", "mark_running", "mark_end",
        "mark_restart", "add_params",
    ):  # fmt: skip
        with pytest.raises(RequestRefused, match=f"{name}: only a tick changes step 'bad'; call execute_ready_steps"):
            getattr(record, name)("whatever", more=1)
    changes: list[Callable[[], object]] = [
        lambda: setattr(record, "status", State.FINISHED),
        lambda: setattr(record, "anything", 1),
        lambda: delattr(record, "status"),
    ]
    for change in changes:
        with pytest.raises(AttributeError, match="only events change a step"):
            change()
    inside: list[Callable[[], object]] = [
        lambda: record.jobid.append("1"),
        lambda: record.params.update(a="b"),
        lambda: record.step.run.update(cmd="false"),  # type: ignore[attr-defined]
    ]
    for change in inside:
        with pytest.raises(TypeError, match="only events change a study"):
            change()
    assert ended.history() == before


def test_what_is_assigned_in_the_state_reaches_no_log(graph: ExecutionGraph):
    add(graph, "a", "b")
    state = graph.state
    changes: list[Callable[[], object]] = [
        lambda: setattr(state, "study", None),
        lambda: setattr(state.study, "name", "other"),
        lambda: setattr(state.study, "status", StudyStatus.FINISHED),
        lambda: state.study.details.update(q=object()),
        lambda: setattr(state.step(1), "held", True),
        lambda: setattr(next(iter(state.steps())), "state", State.FINISHED),
        lambda: setattr(next(iter(state.ready(scheduled=False, limit=1))), "held", True),
        lambda: state.template("b").run.update(cmd="echo other"),
        lambda: state.save(state.step(1)),
        lambda: state.connect(1, 2),
    ]
    for change in changes:
        with pytest.raises((AttributeError, TypeError), match="only events change a study"):
            change()
    state.children(1).append(2)
    assert not hasattr(state, "flush")
    graph.hold("a")

    assert (state.study.name, state.step(1).held, state.children(1)) == (graph.name, True, [])
    assert graph.values["b"].step.run["cmd"] == "true"
    assert ExecutionGraph.verify(graph.path).events == len(graph.history())
    graph.release("a")
    assert run_to_end(graph) is StudyStatus.FINISHED
