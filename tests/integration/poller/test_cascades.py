"""Steps that will not run end in parts: a tick that dies between two parts leaves the rest to the next tick."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from maestro_es import ExecutionGraph
from maestro_es.core import cascade, requests
from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus, SubmissionKind
from maestro_es.execution_graph.cancelling import CancellableGraph
from maestro_es.execution_graph.ticking import TickableGraph
from maestro_es.store import projection, study_log
from maestro_es.study.status_csv import maestro_text
from tests.fakes.faults import needs_strace
from tools.testbed.studies import Bench, Step

#: Steps that depend on `root`: directly, through others, and through a funnel.
DESCENDANTS = (
    Step("a1", template="a", parents=("root",)),
    Step("a2", template="a", parents=("root",)),
    Step("a3", template="a", parents=("a1",)),
    Step("b", parents=("a3", "a2")),
    Step("all", funnels=("a",)),
    Step("last", parents=("all",)),
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a study whose first step has failed, and no tick has seen that yet."""
    bench = Bench(tmp_path / "study")
    bench.create(Step("root", cmd="exit 1"), *DESCENDANTS)
    bench.tick()
    bench.until_reported()
    return bench


def ends(bench: Bench) -> dict[str, tuple[State, str, int | None, int]]:
    """Return how each step has ended."""
    with bench.open() as study:
        return {step.name: (step.state, step.message, step.blocker, step.attempt) for step in study.graph.steps()}


def tick_killed_at_commit(root: Path, count: int) -> int:
    """Run a tick as a process, and kill it just before commit number `count`, if it comes; returns its exit code."""
    inject = f"inject=ftruncate:signal=SIGKILL:when={count}"
    tick = [sys.executable, "-m", "tests.fakes.one_tick", str(root), "--at-once", "2"]
    only = ["-P", str(root / "events.db-journal"), "-e", "trace=ftruncate", "-e", inject]
    killed = ["strace", "-qq", "-f", "-o", "/dev/null", *only, *tick]
    return subprocess.run(killed, capture_output=True, timeout=60, check=False).returncode


def test_killed_at_any_commit_of_a_cascade_a_study_ends_as_if_nothing_had_happened(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    needs_strace()
    monkeypatch.setattr(cascade, "AT_ONCE", 2)
    shutil.copytree(bench.root, tmp_path / "before", symlinks=True)
    assert bench.finish() is StudyStatus.FAILURE
    expected = {name: end[::2] for name, end in ends(bench).items()}
    assert all(end[0] is State.FAILED for end in expected.values())
    killed_at = set()
    for ticks_before in range(6):
        for count in (1, 2, 3):
            shutil.rmtree(bench.root)
            shutil.copytree(tmp_path / "before", bench.root, symlinks=True)
            for _ in range(ticks_before):
                bench.tick()
            if tick_killed_at_commit(bench.root, count):
                killed_at.add((ticks_before, count))
            bench.check()
            assert all(end[-1] == 0 for name, end in ends(bench).items() if name != "root"), "none of them was tried"
            bench.finish()
            assert {name: end[::2] for name, end in ends(bench).items()} == expected
            if count not in {number for before, number in killed_at if before == ticks_before}:
                break
    assert {before for before, _ in killed_at} >= {0, 1, 2}, "each part is a transaction"


def test_a_part_of_a_cascade_says_that_the_next_ticks_end_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cascade, "AT_ONCE", 2)
    bench.tick()

    assert len(bench.events(e.CascadeStarted)) == 1
    with bench.open() as study:
        assert study.graph.study.states == {"FAILED": 3, "INITIALIZED": 4}
        assert not study.graph.ready(scheduled=False, limit=9)
    with ExecutionGraph.open(bench.root) as graph:
        why = str(graph.why("last"))
        assert "root is FAILED" in why or "root, which" in why, why
        assert "so it will not run, and the next ticks end it" in why


def test_one_command_ends_all_parts_and_lets_others_have_the_lock_between_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cascade, "AT_ONCE", 2)
    with TickableGraph.open_ours(bench.root, bench.runtime) as graph:
        graph.advance()
        assert graph.state.study.status is StudyStatus.FAILURE
        assert graph.state.study.states == {"FAILED": 7}
    assert [len(bench.events(kind)) for kind in (e.CascadeStarted, e.CascadeCompleted)] == [1, 1]
    with bench.open() as study:
        assert bench.dir.status_csv.read_text() == maestro_text(study.graph.steps(), study.runtime.now())


def test_a_step_that_is_retried_between_two_parts_runs_and_so_do_its_descendants(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cascade, "AT_ONCE", 2)
    bench.tick()
    with ExecutionGraph.open(bench.root) as graph:
        graph.skip("root", reason="not needed")
    assert bench.finish() is StudyStatus.FINISHED
    assert {end[0] for end in ends(bench).values()} == {State.FINISHED}
    bench.check()


def test_cancelled_in_parts_no_cancelled_step_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cascade, "AT_ONCE", 1)
    bench = Bench(tmp_path / "study")
    bench.create(*(Step(f"s{number}") for number in range(1, 6)), Step("after", parents=("s1",)), Step("other"))
    with bench.open() as study:
        study.request(lambda graph: requests.cancel(graph, ["s?"]))
    assert bench.finish() is StudyStatus.CANCELLED

    states = {name: end[0] for name, end in ends(bench).items()}
    assert states.pop("other") is State.FINISHED
    assert set(states.values()) == {State.CANCELLED}
    assert {event.token.split("-")[1] for event in bench.events(e.SubmissionRequested)} == {"7"}


def test_cancel_ends_a_whole_study_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cascade, "AT_ONCE", 2)
    bench = Bench(tmp_path / "study")
    bench.create(Step("first", cmd="sleep 60"), *(Step(f"s{number}", parents=("first",)) for number in range(1, 6)))
    bench.tick()
    with ExecutionGraph.open(bench.root) as graph:
        graph.cancel(wait_s=60)
    assert bench.status is StudyStatus.CANCELLED
    assert {end[0] for end in ends(bench).values()} == {State.CANCELLED}
    assert [len(bench.events(kind)) for kind in (e.CascadeStarted, e.CascadeCompleted)] == [1, 1]
    bench.check()


def test_what_cancel_needs_of_memory_does_not_grow_with_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(study_log, "_FLUSH_EVERY", 300)
    monkeypatch.setattr(projection, "_KEEP", 300)
    monkeypatch.setattr(cascade, "AT_ONCE", 600)
    peaks = {}
    for count in (1200, 4800):
        bench = Bench(tmp_path / str(count))
        bench.create(*(Step(f"s{number}", template="s") for number in range(count)))
        with CancellableGraph.open_ours(bench.root, bench.runtime) as graph:
            tracemalloc.start()
            graph.end_steps()
            peaks[count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert bench.status is StudyStatus.CANCELLED

    assert peaks[4800] < 1.5 * peaks[1200], peaks


def test_a_step_that_joins_behind_a_step_that_is_submitted_again_waits_for_it(tmp_path: Path):
    bench = Bench(tmp_path / "study")
    bench.create(Step("root"), Step("late"))
    lost = (
        e.SubmissionRequested(attempt=1, token="feed-1-1-cafe", kind=SubmissionKind.FIRST),
        e.JobSubmitted(token="feed-1-1-cafe", job_id="1"),
        e.HardwareFailed(token="feed-1-1-cafe", at=1, number=1, limit=3, reason="NODE_FAIL"),
    )
    with bench.open() as study:
        study.request(lambda _graph: [(1, event) for event in lost])
        study.request(lambda graph: requests.connect(graph, "root", "late"))

    assert bench.finish() is StudyStatus.FINISHED
