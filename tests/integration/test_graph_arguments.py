"""What a program gives the methods of a graph is checked first: a refusal is one line, and changes nothing."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_es import ExecutionGraph, State, StudyStep
from maestro_es.core.exported_variables import ExportChoice
from maestro_es.errors import LogNotUsable, LogUnavailable, RequestRefused, Unreachable
from tests.fakes.faults import leave_out
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
    lambda graph: graph.steps_to_end(),
    lambda graph: graph.run_until_ended(),
    lambda graph: graph.env({"A": "x"}),
    lambda graph: graph.env(refresh=True),
    lambda graph: graph.rebuild(),
    lambda graph: graph.share(group_reads=True),
]


@pytest.mark.parametrize("ask", ANSWERS)
def test_a_removed_or_replaced_study_answers_nothing(graph: ExecutionGraph, ask: Callable[[ExecutionGraph], object]):
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
        with pytest.raises(TypeError, match=r"steps? must be a string, not "):
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


#: Paths that lead to one directory. {} is the directory in which the study and the links are.
PLACES = {
    "in the study": ["cc", "{}/study/cc", "{}/link/cc"],
    "link in the study": ["inside", "real", "{}/link/real", "{}/link/inside"],
    "below a link in the study": ["real/deep", "inside/deep"],
    "link that leads out": ["leads out/x", "{}/elsewhere/x", "{}/outside/x"],
    "outside": ["{}/outside", "leads out", "{}/elsewhere"],
}


@pytest.mark.parametrize("paths", PLACES.values(), ids=PLACES)
def test_two_steps_never_share_a_workspace_through_a_link(tmp_path: Path, paths: list[str]):
    step = StudyStep("", "", {"cmd": "true"})
    for number, first in enumerate(paths):
        folder = tmp_path / str(number)
        (folder / "study/real").mkdir(parents=True)
        (folder / "elsewhere").mkdir()
        for link, target in {"link": "study", "outside": "elsewhere", "study/inside": "real"}.items():
            (folder / link).symlink_to(target)
        (folder / "study/leads out").symlink_to(folder / "elsewhere")
        with ExecutionGraph.create(folder / "link") as graph:
            graph.add_step("undone", step, folder / "before", 0)
            with contextlib.suppress(ZeroDivisionError), graph.batch():
                graph.add_step("undone too", step, folder / "elsewhere", 0)
                _ = 1 / 0
            graph.add_step("a", step, first.format(folder), 0)
            for other in paths:
                with pytest.raises(RequestRefused, match="would run in the same workspace"):
                    graph.add_step("b", step, other.format(folder), 0)


def test_a_closed_graph_answers_no_query(graph: ExecutionGraph):
    graph.close()
    with pytest.raises(LogNotUsable, match="this log was closed; open the study again"):
        graph.query("SELECT 1")


def test_an_empty_name_is_shown_as_one(graph: ExecutionGraph):
    with pytest.raises(RequestRefused, match="no step is called '';"):
        graph.hold("")


def test_the_settings_of_a_preview_are_checked(graph: ExecutionGraph):
    with pytest.raises(ValueError, match="what_if has no setting 'a'; its settings are throttle, rlimit"):
        ExecutionGraph.preview(graph.path, {"a": 1})
    with pytest.raises(TypeError, match=r"what_if\['throttle'\] must be a whole number, not 'x'"):
        ExecutionGraph.preview(graph.path, {"throttle": "x"})
    with pytest.raises(TypeError, match="what_if must be a dictionary, not int"):
        ExecutionGraph.preview(graph.path, 5)  # type: ignore[arg-type]
    assert len(ExecutionGraph.preview(graph.path, {"throttle": 1}).commands) == 1


TICKS: list[Callable[[ExecutionGraph], object]] = [
    lambda graph: graph.tick(),
    lambda graph: graph.tick_next(),
    lambda graph: graph.execute_ready_steps(),
    lambda graph: graph.run_until_ended(),
]


@pytest.mark.parametrize("tick", TICKS)
def test_a_tick_that_can_not_write_a_file_is_unreachable(
    graph: ExecutionGraph, tick: Callable[[ExecutionGraph], object]
):
    with read_only(graph.path), pytest.raises(Unreachable, match=r"study/.*(Permission denied|Read-only)"):
        tick(graph)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Forbid writing. Root may write in each directory, but not on a file system that is mounted read-only."""
    if os.geteuid():
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    mount = ["mount", "--bind", "-o", "ro", str(folder), str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        leave_out("no read-only directory, because none can be mounted")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
