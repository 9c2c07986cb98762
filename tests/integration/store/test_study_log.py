"""The log in its file: what an append promises, and how the state follows it."""

# ruff: noqa: S608 - SQL is made of our own tables

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Phase, State, StudyStatus
from maestro_es.core.reducer import REDUCER_VERSION
from maestro_es.errors import ConcurrentAppend, InvalidTransition, NotAStudy
from maestro_es.store.event_log import EMPTY, check_chain
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from tools.testbed.logs import (
    AFTER_REBOOT,
    IDENTITY,
    Clock,
    create,
    history,
    meddle,
    reopen,
    same,
    tables,
    written,
)

PAUSE = [(None, e.StudyPaused())]
RESUME = [(None, e.StudyResumed())]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def log(path: Path) -> Iterator[StudyLog]:
    with written(path) as log:
        yield log


def kinds(log: StudyLog) -> list[str]:
    return [type(recorded.event).__name__ for recorded in log.events()]


# -- appending -------------------------------------------------------------------------------------------------------


def test_events_come_out_as_they_went_in(log: StudyLog):
    found = [(recorded.step, recorded.event) for recorded in log.events()]

    starts = [index for index, (_, event) in enumerate(found) if isinstance(event, e.InvocationStarted)]
    assert starts == [0, 31]
    assert [new_event for new_event in found if new_event[1] != IDENTITY] == history()
    assert len(found) >= 60


def test_every_event_names_the_start_of_the_process_that_wrote_it(log: StudyLog):
    assert {recorded.invocation for recorded in log.events(upto=31)} == {1}
    assert {recorded.invocation for recorded in log.events(after=31)} == {32}


def test_who_reads_only_leaves_no_trace(log: StudyLog, path: Path):
    before = path.read_bytes()

    with reopen(path) as other:
        assert same(other)  # it asks the live graph everything, several times
        assert same(other)
        verify(other)
        other.append([])
        other.refresh()

    assert path.read_bytes() == before


def test_a_transaction_in_which_nothing_is_recorded_writes_nothing(log: StudyLog, path: Path):
    before = path.read_bytes()

    with log.transaction():
        assert log.graph.in_flight()

    assert path.read_bytes() == before


def test_a_new_log_is_its_owners_alone_and_empty(path: Path):
    with create(path) as log:
        assert log.head == EMPTY
        assert list(log.events()) == []
        assert verify(log).events == 0

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_is_not_made_where_there_is_a_file(path: Path):
    path.write_text("mine")

    with pytest.raises(FileExistsError):
        create(path)
    assert path.read_text() == "mine"


def test_the_journal_is_one_that_survives_a_power_cut_on_a_shared_file_system(log: StudyLog):
    assert log.query("PRAGMA journal_mode") == [("truncate",)]
    assert log.query("PRAGMA synchronous") == [(2,)]  # FULL


def test_the_slower_of_two_writers_is_told_and_has_written_nothing(log: StudyLog, path: Path):
    with reopen(path) as other:
        other.append(PAUSE)
        before = path.read_bytes()

        with pytest.raises(ConcurrentAppend, match=rf"event {other.head.seq} was appended by another process"):
            log.append(RESUME)
        assert path.read_bytes() == before

        log.refresh()
        assert log.graph.study.paused
        log.append(RESUME)
        assert not log.graph.study.paused
    assert kinds(log)[-3:] == ["InvocationStarted", "StudyPaused", "StudyResumed"]
    assert same(log)


def test_a_writer_that_lost_decides_anew_on_the_new_state(log: StudyLog, path: Path):
    def decide() -> None:
        with log.transaction():
            assert not log.graph.study.paused
            other.append(PAUSE)
            log.record(RESUME)

    with reopen(path) as other, pytest.raises(ConcurrentAppend):
        decide()

    assert log.graph.study.paused
    assert log.head.seq == log.graph.applied_seq
    log.append(RESUME)
    assert same(log)


def test_the_start_of_an_invocation_that_was_rolled_back_is_written_again(path: Path):
    written(path).close()
    with reopen(path) as log:
        with pytest.raises(InvalidTransition):
            log.append([(1, e.StepReset())])
        with reopen(path) as other:
            for _ in range(5):
                other.append(PAUSE)
        log.refresh()

        log.append(RESUME)

        last = list(log.events())[-1]
        assert last.invocation == last.seq - 1
        assert verify(log).events == last.seq


def test_an_event_that_can_not_follow_takes_its_whole_transaction_with_it(log: StudyLog, path: Path):
    before, head = path.read_bytes(), log.head
    count = log.graph.study.steps
    state = tables(log.graph, count)

    with pytest.raises(InvalidTransition, match="StepFinished can't follow for step 'make', which is done"):
        log.append([(9, e.JobStarted(token="t9-1", at=1)), *PAUSE, (1, e.StepFinished(token="t1-1", at=2))])

    assert path.read_bytes() == before
    assert log.head == head
    assert tables(log.graph, count) == state
    assert same(log)


def test_an_error_of_the_caller_undoes_what_was_recorded(log: StudyLog):
    before = log.head

    def decide() -> None:
        with log.transaction():
            log.record([(9, e.JobStarted(token="t9-1", at=1))])
            log.record(PAUSE)
            assert log.graph.step(9).state is State.RUNNING
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decide()

    assert log.head == before
    assert log.graph.step(9).state is State.PENDING
    assert not log.graph.study.paused
    assert not log.in_transaction
    log.append(PAUSE)
    assert same(log)


def test_rules_see_in_a_transaction_what_it_has_recorded(log: StudyLog):
    with log.transaction():
        log.record([(9, e.StepFinished(token="t9-1", at=1))])

        assert [step.number for step in log.graph.ready(scheduled=False, limit=9)] == [11]
        assert [step.number for step in log.graph.in_flight()] == []
    assert same(log)


def test_time_never_goes_back_in_the_log_when_the_clock_does(path: Path):
    clock = Clock()
    with create(path, clock) as log:
        log.append(history()[:2])
        clock.now -= 3_600_000_000
        log.append(PAUSE)
        clock.now += 7_200_000_000
        log.append(RESUME)
        times = [recorded.recorded_at for recorded in log.events()]

        assert times == sorted(times)
        assert times[3] == times[2]
        assert times[4] > times[3]
        assert verify(log).events == len(times)


def test_a_transaction_of_many_events_is_one_transaction(path: Path):
    with create(path) as log:
        log.append(history()[:2])
        numbers = range(1, 25_001)
        steps = [(number, e.StepAdded(name=f"s{number}", template="make", workspace="w")) for number in numbers]
        with pytest.raises(InvalidTransition):
            log.append([*steps, (1, e.StepReleased())])
        assert log.head.seq == 3
        assert log.graph.study.steps == 0

        log.append(steps)

        assert log.graph.study.steps == 25_000
        assert verify(log).events == 25_003


# -- what the file itself refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE event SET data = '{}' WHERE seq = 5", "append-only: an event is never updated"),
        ("UPDATE event SET recorded_at = recorded_at", "append-only: an event is never updated"),
        ("UPDATE event SET seq = 1000 WHERE seq = 5", "append-only: an event is never updated"),
        ("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", "append-only: an event is never deleted"),
        ("DELETE FROM event", "append-only: an event is never deleted"),
        ("INSERT INTO event SELECT seq + 2, 1, 1, 1, type, 1, data, digest FROM event {last}", "the log is gapless"),
        ("INSERT INTO event SELECT seq, 1, 1, 1, type, 1, data, digest FROM event {last}", "the log is gapless"),
        ("INSERT OR REPLACE INTO event SELECT * FROM event WHERE seq = 5", "the log is gapless"),
        ("INSERT OR REPLACE INTO event SELECT * FROM event {last}", "the log is gapless"),
        ("REPLACE INTO event SELECT * FROM event", "the log is gapless"),
        ("INSERT OR IGNORE INTO event SELECT seq + 2, 1, 1, 1, type, 1, data, digest FROM event {last}", "gapless"),
        (
            """INSERT INTO event SELECT seq, 1, 1, 1, type, 1, '{}', digest FROM event WHERE seq = 5
            ON CONFLICT (seq) DO UPDATE SET data = '{}'""",
            "gapless",
        ),
        ("INSERT INTO event SELECT seq + 1, 1, seq + 2, 1, type, 1, data, digest FROM event {last}", "CHECK"),
        ("INSERT INTO event SELECT seq + 1, 'x', 1, 1, type, 1, data, digest FROM event {last}", "CHECK"),
        ("INSERT INTO event SELECT seq + 1, 1, 1, 'x', type, 1, data, digest FROM event {last}", "CHECK"),
        ("INSERT INTO event SELECT seq + 1, 1, 1, 1, type, 1, data, x'00' FROM event {last}", "CHECK"),
        ("INSERT INTO event SELECT seq + 1, 1, 1, 1, type, 1, CAST(data AS BLOB), digest FROM event {last}", "CHECK"),
    ],
)
def test_the_file_refuses_what_is_no_append(log: StudyLog, path: Path, statement: str, words: str):
    before = path.read_bytes()
    other = sqlite3.connect(path, isolation_level=None)

    with pytest.raises(sqlite3.IntegrityError, match=words):
        other.execute(statement.replace("{last}", "ORDER BY seq DESC LIMIT 1"))
    other.close()

    assert path.read_bytes() == before


# -- reading ---------------------------------------------------------------------------------------------------------


def test_a_log_is_read_from_and_up_to_an_event(log: StudyLog):
    assert [recorded.seq for recorded in log.events(after=3, upto=6)] == [4, 5, 6]
    assert [recorded.seq for recorded in log.events(after=log.head.seq)] == []
    assert [recorded.seq for recorded in log.events(upto=0)] == []
    assert [row[0] for row in log.rows(after=1, upto=2)] == [2]


def test_every_state_there_was_can_be_replayed(log: StudyLog):
    assert log.replay(upto=0).study.study_id == ""
    assert log.replay(upto=2).study.study_id == "cafe0123"
    assert log.replay(upto=3).study.steps == 0
    assert log.replay(upto=4).study.steps == 1
    assert log.replay().study.steps == 11


def test_a_time_means_the_last_event_that_was_there_by_then(log: StudyLog):
    times = {recorded.seq: recorded.recorded_at for recorded in log.events()}

    assert log.seq_at(times[1] - 1) == 0
    assert log.seq_at(times[1]) == 31
    assert log.seq_at(times[31]) == 31
    assert log.seq_at(times[log.head.seq] + 10**12) == log.head.seq


def test_the_chain_begins_with_zeros_and_ends_with_the_head(log: StudyLog):
    *_, last = check_chain(log.rows())

    assert last[7] == log.head.digest


def test_a_snapshot_keeps_others_from_changing_what_is_read(log: StudyLog, path: Path):
    with reopen(path) as other, log.snapshot() as connection:
        assert connection.execute("SELECT count(*) FROM step").fetchone() == (11,)
        other._connection.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(Exception, match="database is locked"):
            other.append(PAUSE)
        assert connection.execute("SELECT max(seq) FROM event").fetchone() == (log.head.seq,)

    log.append(PAUSE)


# -- the projection --------------------------------------------------------------------------------------------------


def test_the_live_state_is_that_of_a_replay_after_every_append(path: Path):
    with create(path) as log:
        for new_event in history():
            log.append([new_event])
            assert same(log), new_event
        assert log.graph.applied_seq == log.head.seq == len(history()) + 1


def test_a_log_that_is_opened_again_has_the_same_state(log: StudyLog, path: Path):
    count = log.graph.study.steps

    with reopen(path) as other:
        assert tables(other.graph, count) == tables(log.graph, count)
        assert other.head == log.head


def test_a_projection_that_lags_behind_is_caught_up(path: Path):
    written(path).close()
    older = path.with_name("older.db")
    with create(older) as log:
        log.append(history()[:30])
    # The tables of the older log beside the events of the newer one: as if its last flush had not been.
    tables_of_older = "".join(
        f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM older.{table};"
        for table in ("projection", "template", "step", "edge", "funnel")
    )
    connection = sqlite3.connect(path)
    connection.executescript(f"ATTACH '{older}' AS older; {tables_of_older}")
    assert connection.execute("SELECT applied_seq FROM projection").fetchone() == (31,)
    connection.close()

    with reopen(path) as log:
        assert log.graph.applied_seq == log.head.seq
        assert same(log)
        assert verify(log).events == log.head.seq


def test_a_projection_that_was_never_made_is_made(path: Path):
    written(path).close()
    meddle(path, *(f"DELETE FROM {table}" for table in ("projection", "template", "step", "edge", "funnel")))

    with reopen(path) as log:
        assert same(log)
        assert verify(log).events == log.head.seq


SPOILT = "UPDATE step SET message = 'spoilt' WHERE number = 2"


def test_a_projection_of_another_reducer_is_made_anew(path: Path):
    written(path).close()
    meddle(path, SPOILT, f"UPDATE projection SET reducer_version = {REDUCER_VERSION + 1}")

    with reopen(path) as log:
        assert same(log)
        assert log.graph.reducer_version == REDUCER_VERSION
        assert log.graph.step(2).message == ""


@pytest.mark.parametrize("study", ["", "{", '{"steps": "many"}', "null"])
def test_a_record_of_the_study_that_can_not_be_read_is_made_anew(path: Path, study: str):
    written(path).close()
    meddle(path, SPOILT, f"UPDATE projection SET study = '{study}'")

    with reopen(path) as log:
        assert same(log)
        assert verify(log).events == log.head.seq


def test_after_a_reboot_the_projection_is_not_trusted(path: Path):
    written(path).close()
    meddle(path, SPOILT)

    with reopen(path) as log:
        assert log.graph.step(2).message == "spoilt"
    with reopen(path, AFTER_REBOOT) as log:
        assert same(log)


def test_once_the_new_boot_has_written_the_projection_is_trusted_again(path: Path):
    written(path).close()
    with reopen(path, AFTER_REBOOT) as log:
        log.append(PAUSE)
    meddle(path, SPOILT)

    with reopen(path, AFTER_REBOOT) as log:
        assert log.graph.step(2).message == "spoilt"


def test_a_rebuilt_projection_is_the_live_one(log: StudyLog, path: Path):
    count = log.graph.study.steps
    before = tables(log.graph, count)

    log.rebuild()

    assert tables(log.graph, count) == before
    assert verify(log).events == log.head.seq
    with reopen(path) as other:
        assert tables(other.graph, count) == before


def test_a_rebuild_mends_what_was_spoilt(log: StudyLog, path: Path):
    meddle(
        path, SPOILT, "DELETE FROM edge", "INSERT INTO funnel VALUES ('sim', 1)", "DELETE FROM step WHERE number = 3"
    )

    log.rebuild()

    assert same(log)
    assert verify(log).events == log.head.seq


def test_a_rebuild_takes_in_what_others_have_appended(log: StudyLog, path: Path):
    with reopen(path) as other:
        other.append(PAUSE)

    log.rebuild()

    assert log.graph.study.paused
    log.append(RESUME)
    assert same(log)


def test_a_refresh_takes_in_what_others_have_appended(log: StudyLog, path: Path):
    with reopen(path) as other:
        other.append([(9, e.StepFinished(token="t9-1", at=1))])

    assert log.graph.step(9).phase is Phase.SUBMITTED
    log.refresh()
    assert log.graph.step(9).phase is Phase.DONE
    assert log.head == other.head


def test_the_questions_of_a_tick_are_answered_from_an_index(log: StudyLog):
    questions = [
        "SELECT * FROM step WHERE phase IN (2, 3) ORDER BY number",
        "SELECT * FROM step WHERE phase = 1 AND held = 0 AND cancelling = 0 AND scheduled = 1 ORDER BY number LIMIT 5",
        "SELECT * FROM step WHERE held = 1 AND phase != 4 ORDER BY number",
        "SELECT * FROM step WHERE cancelling = 1 AND phase != 4 ORDER BY number",
        "SELECT child FROM edge WHERE parent = 1 ORDER BY number",
        "SELECT parent FROM edge WHERE child = 1 ORDER BY parent",
        "SELECT child FROM funnel WHERE template = 'sim' ORDER BY child",
        "SELECT * FROM event WHERE step = 3",
    ]
    for question in questions:
        plan = " ".join(str(row[3]) for row in log.query(f"EXPLAIN QUERY PLAN {question}"))
        assert "USING" in plan, (question, plan)
        assert not plan.startswith("SCAN step") or "INDEX" in plan, (question, plan)


# -- where there is no log -------------------------------------------------------------------------------------------


def test_a_directory_without_a_log_is_no_study(tmp_path: Path):
    with pytest.raises(NotAStudy, match=r"not a study directory, there is no events[.]db in it"):
        reopen(tmp_path / "events.db")
    assert os.listdir(tmp_path) == []


def test_a_directory_in_the_place_of_the_log_is_no_study(tmp_path: Path):
    (tmp_path / "events.db").mkdir()

    with pytest.raises(NotAStudy, match=r"there is no events[.]db in it"):
        reopen(tmp_path / "events.db")


def test_a_study_that_completes_stays_so_in_the_file(path: Path):
    with create(path) as log:
        log.append([*history()[:3], (1, e.StepDryRun(at=1)), (None, e.StudyCompleted(status=StudyStatus.FINISHED))])

    with reopen(path) as log:
        assert log.graph.study.status is StudyStatus.FINISHED
        assert log.graph.study.open_steps == 0


def test_a_block_has_the_events_of_its_rows(tmp_path: Path):
    with written(tmp_path / "events.db") as log:
        blocks = list(log.blocks(after=3))
        rows = [row for block in blocks for row in zip(block.times, block.steps, block.events, strict=True)]
        assert rows == [(one.recorded_at, one.step, one.event) for one in log.events(after=3)]
        assert blocks[0].first == 4
