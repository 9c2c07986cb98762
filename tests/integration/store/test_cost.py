"""What the log costs as a study grows, counted in instructions of SQLite: these are the same on every machine."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from maestro_es import audit
from maestro_es.audit.history import Query
from maestro_es.cli import event_output
from maestro_es.cli.formats import Format
from maestro_es.core import cascade
from maestro_es.core import events as e
from maestro_es.core.cascade import fail_descendants
from maestro_es.core.decide import decide
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause
from maestro_es.core.observations import Observations
from maestro_es.core.step_keys import Need
from maestro_es.store import event_query, log_export, log_reader, past_graph, projection, study_log
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from tools.testbed.logs import create, instructions, reopen


def chain(length: int) -> list[NewEvent]:
    """Return a chain of steps, each of a template of its own."""
    new_events: list[NewEvent] = [(None, e.StudyCreated(study_id="cafe0123", root="/s"))]
    for number in range(1, length + 1):
        parents = (number - 1,) if number > 1 else ()
        new_events.append((None, e.StepTemplateAdded(name=f"s{number}", description="", run={"cmd": "run"})))
        step = e.StepAdded(name=f"s{number}", template=f"s{number}", workspace=f"s{number}", parents=parents)
        new_events.append((number, step))
    return new_events


def test_a_step_of_a_long_chain_is_stored_at_the_cost_of_one_of_a_short_chain(tmp_path: Path):
    costs = {}
    for length in (300, 3000):
        with create(tmp_path / f"{length}.db") as log:
            costs[length] = instructions(log, partial(log.append, chain(length))) / length

    assert costs[3000] < 1.3 * costs[300], costs


def descendants(count: int, shape: str) -> list[NewEvent]:
    """Return a step and `count` descendants. In a fan all wait for the step, in a chain each for the one before."""
    new_events: list[NewEvent] = [
        (None, e.StudyCreated(study_id="cafe0123", root="/s")),
        (None, e.StepTemplateAdded(name="a", description="", run={"cmd": "run"})),
    ]
    for number in range(1, count + 2):
        parents = () if number == 1 else (1,) if shape == "fan" else (number - 1,)
        new_events.append((number, e.StepAdded(name=f"s{number}", template="a", workspace="w", parents=parents)))
    return new_events


def fail_first(log: StudyLog) -> None:
    """Fail the first step, and in the same transaction all that wait for it."""
    with log.transaction():
        log.record([(1, e.StepFailed(at=1, cause=Cause.EXIT_CODE, message="exit code 1", exit_code=1))])
        log.record(fail_descendants(log.graph, 2, [1]))


@pytest.mark.parametrize("shape", ["fan", "chain"])
def test_each_descendant_of_a_failed_step_costs_the_same(tmp_path: Path, shape: str):
    costs = {}
    for count in (1000, 10_000):
        with create(tmp_path / f"{count}.db") as log:
            log.append(descendants(count, shape))
            costs[count] = instructions(log, partial(fail_first, log)) / count
            assert log.graph.study.states == {"FAILED": count + 1}

    assert costs[10_000] < 1.3 * costs[1000], costs


@pytest.mark.parametrize("shape", ["fan", "chain"])
def test_a_cascade_in_parts_costs_as_much_as_a_whole_one(tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch):
    costs = {}
    for part in (10_000, 500):
        monkeypatch.setattr(cascade, "AT_ONCE", part)
        with create(tmp_path / f"{part}.db") as log:
            log.append(descendants(5000, shape))
            log.append([(1, e.StepFailed(at=1, cause=Cause.EXIT_CODE, message="exit code 1"))])
            log.append([(None, e.CascadeStarted())])
            costs[part] = instructions(log, partial(decide_until_complete, log))
            assert log.graph.study.states == {"FAILED": 5001}

    assert costs[500] < 1.3 * costs[10_000], costs


def decide_until_complete(log: StudyLog) -> None:
    """Let ticks decide until no cascade is left."""
    seen = Observations(now=2, host="h", boot_id="b", token_suffix="s", size=Need(1))
    while log.graph.study.cascading:
        with log.transaction():
            decide(log.graph, seen, log.record)


@pytest.mark.parametrize("shape", ["fan", "chain"])
def test_the_descendants_of_a_failed_step_are_not_all_in_memory(
    tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(study_log, "_FLUSH_EVERY", 500)
    monkeypatch.setattr(projection, "_KEEP", 500)
    peaks = {}
    for count in (2000, 6000):
        with create(tmp_path / f"{count}.db") as log:
            log.append(descendants(count, shape))
        with reopen(tmp_path / f"{count}.db") as log:
            tracemalloc.start()
            fail_first(log)
            peaks[count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    assert peaks[6000] < 1.5 * peaks[2000], peaks


def test_the_history_of_a_long_log_is_not_all_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module, name in ((event_query, "_BLOCK"), (audit.history, "_AT_ONCE"), (event_output, "_PAGE")):
        monkeypatch.setattr(module, name, 200)
    peaks = {}
    for count in (2000, 6000):
        with create(tmp_path / f"{count}.db") as log:
            log.append(descendants(count, "chain"))
        with reopen(tmp_path / f"{count}.db") as log, contextlib.redirect_stdout(Sink()) as shown:
            tracemalloc.start()
            found = audit.history.history(log, Query())
            event_output.EventOutput(Format.TABLE, utc=True, with_study=False).show(("", entry) for entry in found)
            peaks[count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert shown.lines == count + 5  # with a header, the study, its template and the first step

    assert peaks[6000] < 1.3 * peaks[2000], peaks


def test_a_moment_of_the_past_takes_a_tenth_of_the_memory_of_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(past_graph, "_KEEP", 100)
    monkeypatch.setattr(log_reader, "_REPLAYED", 100)
    with create(tmp_path / "events.db") as log:
        log.append(descendants(6000, "chain"))
    peaks = []
    with reopen(tmp_path / "events.db") as log:
        for replay in (log.replay, partial(past_graph.replay_past, log)):
            tracemalloc.start()
            replay(6000)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    assert peaks[1] < 0.2 * peaks[0], peaks


def test_verify_does_not_keep_all_records_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(past_graph, "_KEEP", 100)
    monkeypatch.setattr(log_reader, "_REPLAYED", 100)
    with create(tmp_path / "events.db") as log:
        log.append(descendants(6000, "chain"))
    with reopen(tmp_path / "events.db") as log:
        tracemalloc.start()
        log.replay(6000)
        records = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        tracemalloc.start()
        verify(log)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 0.4 * records, (peak, records)


def test_a_replay_and_an_export_read_blocks_of_rows(tmp_path: Path):
    with create(tmp_path / "events.db") as log:
        log.append(descendants(4000, "fan"))
        statements: list[str] = []
        log._connection.set_trace_callback(statements.append)
        log.replay()
        assert sum(1 for _ in log_export.lines(log)) == log.head.seq
        verify(log)
    assert len(statements) < 40


class Sink(io.StringIO):
    """Counts the lines that are written, and keeps none."""

    lines = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


def test_a_step_that_several_failed_steps_block_is_as_failed_in_memory_as_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(study_log, "_FLUSH_EVERY", 50)
    monkeypatch.setattr(projection, "_KEEP", 40)
    width = 60
    new_events = descendants(width, "fan")
    for number in range(width + 2, 2 * width + 2):
        parents = tuple(2 + (number * 7 + each * 13) % width for each in range(4))
        step = e.StepAdded(name=f"s{number}", template="a", workspace=f"s{number}", parents=parents)
        new_events.append((number, step))
    path = tmp_path / "events.db"
    with create(path) as log:
        log.append(new_events)
        fail_first(log)
        in_memory = {step.name: (step.phase, step.state) for step in log.graph.steps()}
    with reopen(path) as log:
        assert in_memory == {step.name: (step.phase, step.state) for step in log.graph.steps()}


def test_a_long_study_file_is_recorded_in_a_few_times_its_size(tmp_path: Path):
    spec = "- {name: s, description: 'd', run: {cmd: \"true\", depends: [r]}}\n" * 10_000
    with create(tmp_path / "events.db") as log:
        tracemalloc.start()
        log.append([(None, e.StudyCreated(study_id="cafe0123", root="/s", spec=spec))])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 10 * len(spec)
