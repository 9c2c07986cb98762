"""A batch is all or nothing, whatever happens inside it, and belongs to the thread and the process that began it."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.errors import DamagedLog, LogNotUsable, MaestroError, RequestRefused
from maestro_es.store.log_file import explain
from maestro_es.store.verification import verify

#: What a child of the tests exits with if all was as expected.
_WELL = 7


def _add(graph: ExecutionGraph, *names: str) -> None:
    for name in names:
        graph.add_step(name, StudyStep(name, "a step", {"cmd": "true"}), name, 0)


@pytest.fixture
def graph(tmp_path):
    with ExecutionGraph.create(tmp_path / "study") as graph:
        yield graph


def _elsewhere(graph: ExecutionGraph) -> list[str]:
    """Return the steps that are in the file, in which all must be right."""
    with ExecutionGraph.open(graph.path) as other:
        verify(other._study.log)
        return list(other.steps)


def _nested(graph: ExecutionGraph) -> None:
    with graph.batch():
        _add(graph, "b")


@pytest.mark.parametrize(
    "inside",
    [_nested, ExecutionGraph.execute_ready_steps, ExecutionGraph.cancel_study, ExecutionGraph.close],
    ids=["batch", "tick", "cancel", "close"],
)
@pytest.mark.parametrize("suppressed", [False, True])
def test_what_would_end_a_batch_from_inside_undoes_or_leaves_it(
    graph, inside: Callable[[ExecutionGraph], object], suppressed: bool
):
    def both() -> None:
        with graph.batch():
            _add(graph, "a")
            try:
                inside(graph)
            except RequestRefused:
                if not suppressed:
                    raise
            _add(graph, "c")

    if suppressed and inside is not ExecutionGraph.close:
        both()
        assert _elsewhere(graph) == ["a", "c"]
    else:
        with pytest.raises(MaestroError, match="batch"):
            both()
        assert _elsewhere(graph) == []


def _in_a_child(do: Callable[[], object]) -> int:
    """Call something in a forked child and return its exit code; the child ends as Python programs do."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            do()
            code = 0
        except LogNotUsable as error:
            code = _WELL if "fork" in str(error) else 1
        except BaseException:  # noqa: BLE001 - whatever it is, it must not get into pytest
            code = 1
        gc.collect()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    "use",
    [
        lambda graph: _add(graph, "z"),
        lambda graph: graph.steps,
        lambda graph: graph.execute_ready_steps(),
        lambda graph: ExecutionGraph.open(graph.path),
    ],
    ids=["add", "read", "tick", "open"],
)
def test_a_forked_child_can_not_use_the_batch_of_its_parent(graph, use: Callable[[ExecutionGraph], object]):
    with graph.batch():
        _add(graph, "a")
        assert _in_a_child(lambda: use(graph)) in (_WELL, 1)
        _add(graph, "b")
    assert _elsewhere(graph) == ["a", "b"]


_PROGRAM = """
import os, sys
from maestro_es import ExecutionGraph, StudyStep

def add(name):
    graph.add_step(name, StudyStep(name, "x" * 2000, {"cmd": "true"}), name, 0)

with ExecutionGraph.open(sys.argv[1]) as graph:
    graph._study.log._connection.execute("PRAGMA cache_size = 2")  # so that pages are written before the commit
    with graph.batch():
        for number in range(40):
            add(f"s{number}")
        child = os.fork()
        if child:
            journal = os.stat(sys.argv[1] + "/events.db-journal").st_size
            assert journal > 1000, journal
            os.waitpid(child, 0)
            assert os.stat(sys.argv[1] + "/events.db-journal").st_size == journal
            if sys.argv[3] == "killed":
                os.kill(os.getpid(), 9)
        elif sys.argv[2] == "exits":
            sys.exit(0)
        elif sys.argv[2] == "closes":
            graph.close()
            sys.exit(0)
        elif sys.argv[2] == "raises":
            raise ValueError("the child's")
        # "leaves": the child goes on to the end of the batch
"""


@pytest.mark.parametrize("child", ["exits", "closes", "raises", "leaves"])
@pytest.mark.parametrize("parent", ["goes on", "killed"])
def test_a_forked_child_leaves_the_journal_and_the_locks_of_its_parent_alone(graph, child: str, parent: str):
    """Pages of the batch are in the file before the commit: only the journal can undo them if the parent dies."""
    program = [sys.executable, "-c", _PROGRAM, str(graph.path), child, parent]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if parent == "goes on" else -signal.SIGKILL), done.stderr
    assert len(_elsewhere(graph)) == (40 if parent == "goes on" else 0)


def test_a_child_that_is_forked_outside_a_batch_may_open_the_study_again(graph):
    def go_on() -> None:
        with ExecutionGraph.open(graph.path) as own:
            _add(own, "b")

    _add(graph, "a")
    assert _in_a_child(lambda: graph.steps) == _WELL
    assert _in_a_child(go_on) == 0
    _add(graph, "c")
    assert _elsewhere(graph) == ["a", "b", "c"]


def _in_a_thread(do: Callable[[], object]) -> Exception | None:
    found: list[Exception] = []

    def call() -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return found[0] if found else None


def test_another_thread_is_told_that_it_is_another_thread(graph):
    _add(graph, "a")
    for use in (lambda: graph.steps, lambda: _add(graph, "b"), graph.execute_ready_steps, graph.close):
        error = _in_a_thread(use)
        assert type(error) is LogNotUsable
        assert "another thread opened this log" in str(error)
    assert list(graph.steps) == ["a"]


def test_another_thread_that_may_not_close_a_graph_leaves_its_batch_alone(graph):
    with graph.batch():
        _add(graph, "a")
        assert isinstance(_in_a_thread(graph.close), LogNotUsable)
        _add(graph, "b")
    assert {"a", "b"} <= set(graph.steps)


def test_a_batch_that_another_thread_ends_is_undone(graph):
    batch = graph.batch()
    batch.__enter__()
    _add(graph, "a")
    error = _in_a_thread(lambda: batch.__exit__(None, None, None))
    assert type(error) is LogNotUsable
    _add(graph, "b")
    assert _elsewhere(graph) == ["b"]


def test_a_closed_graph_says_that_it_is_closed(graph):
    _add(graph, "a")
    graph.close()
    graph.close()
    for use in (lambda: graph.steps, lambda: _add(graph, "b"), graph.execute_ready_steps, lambda: graph.hold("a")):
        with pytest.raises(LogNotUsable, match="this log was closed; open the study again"):
            use()
    assert _elsewhere(graph) == ["a"]


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.ProgrammingError("Incorrect number of bindings supplied."),
        sqlite3.InterfaceError("Error binding parameter 0"),
        sqlite3.IntegrityError("CHECK constraint failed: event"),
        sqlite3.DataError("string or blob too big"),
        sqlite3.OperationalError("no such table: step"),
        sqlite3.OperationalError("database is locked"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_only_what_sqlite_calls_damaged_is_to_be_restored(error: sqlite3.Error, tmp_path: Path):
    assert "restore" not in str(explain(error, tmp_path / "events.db"))


@pytest.mark.parametrize("words", ["database disk image is malformed", "file is not a database"])
def test_what_sqlite_calls_damaged_is_to_be_restored(words: str, tmp_path: Path):
    found = explain(sqlite3.DatabaseError(words), tmp_path / "events.db")
    assert isinstance(found, DamagedLog)
    assert "restore it from a copy" in str(found)
