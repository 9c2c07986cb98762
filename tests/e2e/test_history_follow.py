"""`history --follow` as a user has it in a window: it shows what comes, waits when it must, and ends when told to."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestro_es.audit import history
from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.creation.create import create_log, make_directory
from maestro_es.errors import LogUnavailable
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "pi"
    created = e.StudyCreated(study_id="cafe" * 8, root=str(root), name="pi")
    create_log(make_directory(root), [(None, created)], Runtime())
    return root


@pytest.fixture
def follow(study):
    """Return what starts to follow the study, and can be interrupted: what a shell starts in the background can't."""
    started = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "maestro_es", "history", str(study), "--follow", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.communicate()


def append(root: Path, event: e.AnyEvent) -> None:
    with Session(root) as opened:
        opened.log.append([(None, event)])


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return the next lines that it prints."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def types(found: list[str]) -> list[str]:
    return [json.loads(line)["type"] for line in found]


def test_new_events_are_shown_as_they_come_also_beyond_the_end_until_interrupted(study, follow):
    process = follow("--json")
    assert types(lines(process, 2)) == ["InvocationStarted", "StudyCreated"]
    append(study, e.StudyPaused(reason="lunch"))
    append(study, e.StudyResumed())
    assert types(lines(process, 4)) == ["InvocationStarted", "StudyPaused", "InvocationStarted", "StudyResumed"]
    append(study, e.StudyCompleted(status=StudyStatus.FINISHED))
    assert types(lines(process, 2)) == ["InvocationStarted", "StudyCompleted"]
    append(study, e.StudyReopened())
    assert types(lines(process, 2)) == ["InvocationStarted", "StudyReopened"]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_a_table_has_one_header_and_filters_hold_for_new_events_too(study, follow):
    process = follow("--type", "StudyPaused", "--utc")
    assert lines(process, 1)[0].split() == ["Seq", "Time", "Step", "Event", "By", "What"]
    append(study, e.SettingsChanged(what="submission_throttle", before=0, after=3))
    append(study, e.StudyPaused(reason="lunch"))
    append(study, e.StudyResumed())
    append(study, e.StudyPaused(reason="tea"))
    assert [line.split()[-1] for line in lines(process, 2)] == ["lunch)", "tea)"]


def test_it_begins_with_the_last_events(study, follow):
    for _ in range(10):
        append(study, e.StudyPaused())
        append(study, e.StudyResumed())
    assert [json.loads(line)["seq"] for line in lines(follow("--json"), 10)] == list(range(33, 43))
    assert [json.loads(line)["seq"] for line in lines(follow("--json", "-n", "2"), 2)] == [41, 42]
    assert [json.loads(line)["seq"] for line in lines(follow("--json", "--since", "1h"), 42)] == list(range(1, 43))


def test_a_busy_log_is_waited_for(study, follow):
    process = follow("--json")
    lines(process, 2)
    other = sqlite3.connect(study / "events.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    time.sleep(4)
    assert process.poll() is None
    other.execute("ROLLBACK")
    other.close()
    append(study, e.StudyPaused())
    assert types(lines(process, 2)) == ["InvocationStarted", "StudyPaused"]


def test_it_holds_no_lock_between_two_looks(study, follow):
    lines(follow("--json"), 2)
    other = sqlite3.connect(study / "events.db", isolation_level=None, timeout=10)
    for _ in range(20):
        other.execute("BEGIN EXCLUSIVE")
        other.execute("ROLLBACK")
        time.sleep(0.1)
    other.close()


def test_it_leaves_quietly_when_nobody_reads_any_more(study, follow):
    process = follow("--json")
    lines(process, 2)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    append(study, e.StudyPaused())
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == ""


def test_a_log_that_can_not_be_read_for_long_ends_it_with_a_word(study):
    pauses: list[int] = []
    blocker = sqlite3.connect(study / "events.db", isolation_level=None)
    with Session(study) as opened:
        opened.log.wait_for_lock(0)
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LogUnavailable):
            for _ in history.follow(opened.log, history.Query(), lambda: pauses.append(1)):
                pass
        assert len(pauses) > 10
        blocker.close()
