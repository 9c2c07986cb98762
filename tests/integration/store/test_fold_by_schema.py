"""A stranger who has only the files in ``schema/events`` gets the states that we get, at every event."""

from __future__ import annotations

import ast
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_es import ExecutionGraph, StudyStatus, StudyStep
from maestro_es.cli.commands import cli
from maestro_es.core import events as e
from maestro_es.core.events import EVENT_TYPES, VERSIONS, NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.reducer import apply
from tests.fakes.night import make_night
from tests.integration.store import fold as stranger
from tests.integration.store.fold import Fold
from tests.property.studies import dice, history, seeds, shapes
from tools.testbed.golden import FOLDER as GOLDEN
from tools.testbed.logs import reopen
from tools.testbed.processes import DEADLINE


def command(*words: object) -> str:
    done = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def agree(fold: Fold, graph: MemoryGraph, event: e.Recorded) -> None:
    """Check that a stranger's fold has come to the state that ours has."""
    ours = {step.number: (step.name, step.state.name, step.phase.name) for step in graph.steps()}
    theirs = {number: (step["name"], step["state"], fold.phase(number)) for number, step in fold.steps.items()}
    assert theirs == ours, event
    if graph.study.study_id:
        assert fold.study == {"status": graph.study.status.name, "paused": graph.study.paused}, event


def agree_at_every_event(study: Path) -> Counter[str]:
    """Compare a stranger's fold of a log with ours, and with `status --at`; returns how often each event is in it."""
    fold, graph, log = Fold(), MemoryGraph(), study / "events.db"
    with reopen(log) as opened:
        recorded = list(opened.events())
    for seq, event in zip(fold.over(log), recorded, strict=True):
        apply(graph, event)
        agree(fold, graph, event)
        if graph.study.study_id:
            shown = json.loads(command("status", "--json", "--at", seq, study))["steps"]
            assert {step["name"]: step["state"] for step in shown} == {
                step["name"]: step["state"] for step in fold.steps.values()
            }, event
    return Counter(type(event.event).__name__ for event in recorded)


def test_the_stranger_knows_nothing_of_our_code():
    tree = ast.parse(Path(str(stranger.__file__)).read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "__future__"}


def test_a_golden_log_with_events_of_every_type_adds_up_to_the_same(tmp_path: Path):
    shutil.copy(GOLDEN / "0.1.0" / "events.db", tmp_path / "events.db")
    assert set(agree_at_every_event(tmp_path)) == set(EVENT_TYPES)


def test_a_night_with_a_node_failure_timeouts_and_a_retry_adds_up_to_the_same(tmp_path: Path):
    make_night(tmp_path / "night")
    found = agree_at_every_event(tmp_path / "night")
    assert min(found[name] for name in ("HardwareFailed", "StepTimedOut", "StepRestarted", "StepReset")) > 0


def _tick_until(graph: ExecutionGraph, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done() and time.monotonic() < deadline:
        graph.execute_ready_steps()
        time.sleep(0.05)
    assert done()


def _add(graph: ExecutionGraph, name: str, cmd: str, *parents: str, limit: int = 1, **run: object) -> None:
    graph.add_step(name, StudyStep(name, "d", {"cmd": cmd, **run}), name, limit)
    for parent in parents:
        graph.add_connection(parent, name)


def test_real_steps_that_time_out_fail_are_cancelled_held_skipped_and_lost_add_up_to_the_same(tmp_path: Path):
    root = tmp_path / "study"
    with ExecutionGraph.create(root) as graph:
        _add(graph, "slow", "sleep 60", walltime="00:01", restart="true")
        _add(graph, "bad", "exit 3")
        _add(graph, "after", "true", "slow", "bad")
        _add(graph, "last", "true", "after")
        _add(graph, "long", "sleep 60")
        _add(graph, "kept", "true")
        graph.hold("kept")
        _tick_until(graph, lambda: graph.steps["slow"].state.name == "FINISHED")
        graph.skip("bad")
        command("cancel", "-y", f"{root}/", "long")
        command("export", root, "-o", tmp_path / "log.jsonl")
        _tick_until(graph, lambda: graph.steps["last"].state.name == "FINISHED")
    (root / "events.db").rename(tmp_path / "lost.db")
    command("recover", root, "--from", tmp_path / "log.jsonl")
    with ExecutionGraph.open(root) as graph:
        graph.release("kept")
        _tick_until(graph, lambda: graph.status is not StudyStatus.RUNNING)

    found = agree_at_every_event(root)
    assert {
        "StepTimedOut", "StepRestarted", "StepFailed", "StepHeld", "StepSkipped", "StepReset", "CancelRequested",
        "StepCancelled", "LogRecovered", "StudyCompleted",
    } <= set(found)  # fmt: skip


@given(shapes(), seeds, st.integers(0, 120))
@settings(max_examples=100)
def test_any_events_that_can_follow_each_other_add_up_to_the_same(shape: Sequence[NewEvent], seed: int, length: int):
    fold, graph = Fold(), MemoryGraph()
    for seq, (step, event) in enumerate(history(list(shape), dice(seed), length), 1):
        name = type(event).__name__
        recorded = e.Recorded(seq, seq, 1, step, event)
        apply(graph, recorded)
        fold.take(step or 0, name, VERSIONS[name], json.loads(msgspec.json.encode(event)))
        agree(fold, graph, recorded)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_schema_says_what_each_field_means_and_what_the_event_does(name: str):
    schema = json.loads((stranger.FOLDER / f"{name}.v{VERSIONS[name]}.json").read_text("utf-8"))
    for definition in schema["$defs"].values():
        assert definition["description"]
        fields = [*definition.get("properties", {}).values(), *definition.get("prefixItems", ())]
        assert all(field["description"] for field in fields)
        assert "enum" not in definition or "x-names" in definition or set(map(type, definition["enum"])) == {str}
    assert {*schema["x-results"][-1]}.isdisjoint({"if", "if-step"})
