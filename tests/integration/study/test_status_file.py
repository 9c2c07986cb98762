"""``status.csv``: a tick replaces the lines that changed, and the file is the one that all steps would make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Param, StudyStatus
from maestro_es.store.study_log import StudyLog
from maestro_es.study import last_tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.status_csv import maestro_text
from maestro_es.study.status_file import write_status
from tests.fakes.faults import needs_strace
from tools.testbed.logs import Clock, attempt, create, history, instructions
from tools.testbed.studies import Bench, Step

NOW = 9_000_000_000
HOST = Runtime().host


def make(root: Path, count: int) -> tuple[StudyDir, StudyLog]:
    """Create a study of `count` steps, whose lines are in the opposite order. Some values contain commas."""
    study = StudyDir(root)
    study.state.mkdir(parents=True)
    log = create(study.log, Clock())
    log.append([
        (None, e.StudyCreated(study_id="cafe0123", root=str(root))),
        (None, e.StepTemplateAdded(name="a", description="", run={"cmd": "run"})),
        *((number, added(number, 2 * (count - number))) for number in range(1, count + 1)),
    ])  # fmt: skip
    return study, log


def added(number: int, row: int) -> e.StepAdded:
    value = "1, 2\n3" if number % 7 == 0 else str(number)
    params = (Param("N", value, f"N.{number}", "N"),)
    return e.StepAdded(name=f"a_{number}", template="a", params=params, workspace=f"a/N.{number}", row=row)


def finish(number: int) -> Iterator[NewEvent]:
    yield from attempt(number, 1)
    yield number, e.StepFinished(token=f"t{number}-1", at=3_000_000)


def written(study: StudyDir, log: StudyLog, now: int = NOW) -> bytes:
    write_status(study, log, now, HOST)
    return study.status_csv.read_bytes()


def of_all_steps(log: StudyLog, now: int = NOW) -> bytes:
    return maestro_text(log.graph.steps(), now).encode()


def test_after_each_event_the_file_is_what_all_steps_make(tmp_path: Path):
    study = StudyDir(tmp_path / "study")
    study.state.mkdir(parents=True)
    with create(study.log, Clock()) as log:
        for new_event in history():
            log.append([new_event])

            assert written(study, log) == of_all_steps(log), new_event


def test_lines_in_many_blocks_change_in_their_places(tmp_path: Path):
    study, log = make(tmp_path / "study", 3000)
    with log:
        assert written(study, log) == of_all_steps(log)
        log.append([*finish(1), *finish(2999), *attempt(1500, 1), *finish(1501), *finish(7)])
        assert written(study, log) == of_all_steps(log)
        log.append([(3001, added(3001, 4)), (3002, added(3002, 100_000)), *finish(700)])

        assert written(study, log) == of_all_steps(log)


def test_the_run_times_of_running_steps_are_of_the_tick_that_writes(tmp_path: Path):
    study, log = make(tmp_path / "study", 1000)
    with log:
        log.append([*attempt(3, 1), *attempt(900, 1)])
        written(study, log)
        log.append(finish(500))
        later = NOW + 3_600_000_000

        assert written(study, log, later) == of_all_steps(log, later)


def test_events_that_change_no_line_leave_the_file_alone(tmp_path: Path):
    study, log = make(tmp_path / "study", 10)
    with log:
        log.append([*attempt(1, 1), *list(attempt(3, 1))[:2]])
        written(study, log)
        before = study.status_csv.stat()
        log.append([(None, e.StudyPaused()), (2, e.StepHeld()), (3, e.JobDelayed(token="t3-1", reason="licence"))])
        written(study, log, NOW + 3_600_000_000)

        assert study.status_csv.stat() == before


@pytest.mark.parametrize("change", ["edited", "removed", "truncated", "no note", "bad note", "earlier note"])
def test_a_file_that_is_not_the_noted_one_is_made_of_all_steps(tmp_path: Path, change: str):
    study, log = make(tmp_path / "study", 600)
    with log:
        written(study, log)
        note = study.status_blocks.read_bytes()
        log.append(finish(5))
        text = written(study, log)
        if change == "edited":
            study.status_csv.write_bytes(text.replace(b"a_300", b"b_300"))
        elif change == "removed":
            study.status_csv.unlink()
        elif change == "truncated":
            os.truncate(study.status_csv, 0)
        elif change == "no note":
            study.status_blocks.unlink()
        else:
            study.status_blocks.write_bytes(b"" if change == "bad note" else note)
        log.append(finish(7))

        assert written(study, log) == of_all_steps(log)


def test_a_log_that_took_the_place_of_another_shows_its_own_steps(tmp_path: Path):
    study, log = make(tmp_path / "study", 600)
    with log:
        log.append(finish(5))
        written(study, log)
    study.log.unlink()
    with create(study.log, Clock()) as log:
        log.append([*history(), *((None, e.StudyPaused()) for _ in range(600))])

        assert written(study, log) == of_all_steps(log)


def test_in_another_time_zone_all_times_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study, log = make(tmp_path / "study", 600)
    with log:
        log.append(finish(5))
        written(study, log)
        log.append(finish(400))
        monkeypatch.setenv("TZ", "XYZ-5")
        time.tzset()
        try:
            assert written(study, log) == of_all_steps(log)
        finally:
            monkeypatch.undo()
            time.tzset()


def test_killed_at_any_rename_a_tick_leaves_a_file_that_the_next_one_puts_right(tmp_path: Path):
    needs_strace()
    bench = Bench(tmp_path / "study")
    bench.create(*(Step(f"s{number}") for number in range(1, 10)))
    with bench.open() as study:
        study.log.append([(None, e.StudyPaused())])
    bench.tick()
    for count in range(1, 10):
        with bench.open() as study:
            study.log.append([(count, e.StepSkipped(by="me"))])
        code = tick_killed_at_rename(bench.root, count)
        bench.tick()
        with bench.open() as study:
            assert bench.dir.status_csv.read_text() == maestro_text(study.graph.steps(), NOW)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert count > 2, "the file and its note were replaced by renames"


def tick_killed_at_rename(root: Path, count: int) -> int:
    inject = f"inject=rename:signal=SIGKILL:when={count}"
    tick = [sys.executable, "-m", "tests.fakes.one_tick", str(root)]
    killed = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=rename", "-e", inject, *tick]
    return subprocess.run(killed, capture_output=True, timeout=60, check=False).returncode


def test_a_large_file_is_written_seldom_while_the_study_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bench = Bench(tmp_path / "study")
    bench.create(*(Step(f"s{number}") for number in range(1, 6)))
    with bench.open() as study:
        study.log.append([(None, e.StudyPaused())])
    bench.tick()
    first = bench.dir.status_csv.read_text()
    monkeypatch.setattr(last_tick, "_LARGE", 10)
    monkeypatch.setattr(last_tick, "_BYTES_A_SECOND", 1)

    def skip_and_tick(number: int) -> str:
        with bench.open() as study:
            study.log.append([(number, e.StepSkipped(by="me"))])
        bench.tick()
        return bench.dir.status_csv.read_text()

    assert skip_and_tick(1) == first, "it was written a moment ago"
    os.utime(bench.dir.status_csv, (1, 1))
    assert skip_and_tick(2).count("FINISHED") == 2, "it was written long ago"
    assert skip_and_tick(3).count("FINISHED") == 2
    later = time.time() + 3600
    os.utime(bench.dir.status_csv, (later, later))
    assert skip_and_tick(4).count("FINISHED") == 4, "the clock of the file system is not ours"
    assert skip_and_tick(5).count("FINISHED") == 5, "the study has ended"
    assert bench.status is StudyStatus.FINISHED


def test_what_a_change_costs_does_not_grow_with_the_study(tmp_path: Path):
    costs = {}
    for count in (2000, 40_000):
        study, log = make(tmp_path / str(count), count)
        with log:
            written(study, log)
            log.append([*finish(1), *finish(600), *attempt(1800, 1)])
            costs[count] = instructions(log, partial(write_status, study, log, NOW, HOST))

    assert costs[40_000] < 1.5 * costs[2000], costs


@pytest.mark.parametrize("changed", [False, True], ids=["whole", "changed"])
def test_a_large_file_is_written_in_little_memory(tmp_path: Path, changed: bool):
    study, log = make(tmp_path / "study", 40_000)
    with log:
        if changed:
            written(study, log)
            log.append(finish(1))
        tracemalloc.start()
        write_status(study, log, NOW, HOST)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < study.status_csv.stat().st_size / 4
