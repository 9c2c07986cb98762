"""Whatever is done to a log by another hand, `verify` says where."""

# ruff: noqa: S608 - SQL is made of our own tables and columns

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.errors import DamagedLog, MaestroError, NewerLog, RequestRefused
from maestro_es.store import event_log
from maestro_es.store.event_log import EMPTY, GENESIS, Head, Row, check_chain, row_digest, seal
from maestro_es.store.step_rows import FIELDS
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import Known, Verification, prove, verify
from tools.testbed.logs import (
    AFTER_REBOOT,
    IDENTITY,
    Clock,
    create,
    history,
    meddle,
    reopen,
    without_triggers,
    written,
)

#: The last event: `history`, and the starts of two invocations.
LAST = len(history()) + 2

COLUMNS = ("seq", "recorded_at", "invocation", "step", "type", "version", "data", "digest")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "events.db").close()
    return tmp_path / "events.db"


@pytest.fixture
def rows(path: Path) -> list[Row]:
    with reopen(path) as log:
        return list(log.rows())


def verified(path: Path) -> Verification:
    with reopen(path) as log:
        return verify(log)


def test_a_log_that_nobody_has_touched_is_right(path: Path, rows: list[Row]):
    assert verified(path) == Verification(len(rows), rows[-1][7].hex())


def test_an_empty_log_is_right(tmp_path: Path):
    with create(tmp_path / "new.db") as log:
        assert verify(log) == Verification(0, GENESIS.hex())


def test_the_same_events_at_the_same_times_have_the_same_head(tmp_path: Path):
    with written(tmp_path / "a.db") as first, written(tmp_path / "b.db") as second:
        assert verify(first) == verify(second)


# -- the chain -------------------------------------------------------------------------------------------------------


def flips(value: object) -> Iterator[object]:
    """Yield a value of a column with each of its bytes changed, as SQLite could return it."""
    if value is None:
        yield from (0, 1)
    elif isinstance(value, int):
        stored = value.to_bytes(8, "big")
        yield from (int.from_bytes(other, "big", signed=True) for other in flipped(stored))
    elif isinstance(value, bytes):
        yield from flipped(value)
    else:
        for other in flipped(str(value).encode()):
            try:
                yield other.decode()
            except UnicodeDecodeError:
                continue  # SQLite refuses to return it


def flipped(data: bytes) -> Iterator[bytes]:
    for index in range(len(data)):
        for bit in (0x01, 0x80):
            yield data[:index] + bytes([data[index] ^ bit]) + data[index + 1 :]


def test_a_change_of_any_byte_of_any_column_of_any_event_is_found_where_it_is(rows: list[Row]):
    assert len(rows) >= 60
    before = EMPTY
    for place, row in enumerate(rows):
        for column, name in enumerate(COLUMNS):
            for value in flips(row[column]):
                changed: Any = (*row[:column], value, *row[column + 1 :])
                with pytest.raises(DamagedLog, match=rf"^event {row[0]} (is missing|was changed)"):
                    list(check_chain([changed, *rows[place + 1 : place + 2]], before))
                assert value != row[column], name
        before = Head(row[0], row[1], row[7])


def long_log(path: Path, events: int) -> list[Row]:
    """Write a log of so many events, with something of everything in it; returns its rows."""
    with written(path) as log:
        while log.head.seq < events:
            log.append([(None, e.StudyPaused(reason="naïve \0 '")), (None, e.StudyResumed())])
        return list(log.rows())


def test_a_change_of_any_byte_of_any_column_in_the_file_is_found_where_it_is(tmp_path: Path):
    rows = long_log(tmp_path / "events.db", 200)
    connection = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    before = EMPTY
    changes = 0
    with without_triggers(connection):
        connection.execute("BEGIN")
        for row in rows:
            for column, name in enumerate(COLUMNS[1:], 1):
                for value in others(row[column]):
                    if value is None and name != "step":
                        continue  # SQLite takes none
                    connection.execute(f"UPDATE event SET {name} = ? WHERE seq = ?", (value, row[0]))
                    with pytest.raises(DamagedLog, match=f"^event {row[0]} was changed"):
                        list(check_chain(event_log.read_rows(connection, row[0] - 1, 1), before))
                    changes += 1
                connection.execute(f"UPDATE event SET {name} = ? WHERE seq = ?", (row[column], row[0]))
            before = Head(row[0], row[1], row[7])
        connection.execute("COMMIT")
    connection.close()
    assert changes > 30_000
    assert verified(tmp_path / "events.db").events == len(rows)


def others(value: object) -> Iterator[object]:
    """Yield a value of a column with each of its bytes changed, and what may look like it and is something else."""
    yield from flips(value)
    if value is None:
        yield from ("", b"", "None")
    elif isinstance(value, bytes):
        yield from (value.hex(), value[:-1], value + b"\0", None, str(value))
    elif isinstance(value, int):
        yield from (None, str(value).encode(), value + 0.5, f"{value}x")
    else:
        text = str(value)
        yield from (text.encode(), text + " ", text + "\0", "\0" + text, text.replace(":", ": ", 1) + "\t", None, "")


@pytest.mark.parametrize("column", [1, 2, 3, 5])
def test_what_reads_like_a_number_and_is_none_is_found(rows: list[Row], column: int):
    row = next(row for row in rows if row[3] is not None)
    before = Head(row[0] - 1, 0, rows[row[0] - 2][7])
    for value in (str(row[column]), float(row[column])):  # type: ignore[arg-type]  # a number
        changed: Any = (*row[:column], value, *row[column + 1 :])
        with pytest.raises(DamagedLog, match=f"^event {row[0]} was changed"):
            list(check_chain([changed], before))


@pytest.mark.parametrize("data", ['{ "token":"t9-1"}', '{"token":"t1-1","token":"t9-1"}', "{}\0"])
def test_a_payload_that_means_the_same_in_other_words_is_found(path: Path, data: str):
    connection = sqlite3.connect(path, isolation_level=None)
    with without_triggers(connection):
        connection.execute("UPDATE event SET data = ? WHERE seq = ?", (data, LAST))
    connection.close()

    with pytest.raises(DamagedLog, match=rf"^event {LAST} was changed .* \(JobSubmitted of step 'alone'\)"):
        verified(path)


def test_the_first_wrong_event_is_named_for_programs_too(path: Path):
    meddle(path, "UPDATE event SET data = '{}' WHERE seq IN (40, 50)")

    with pytest.raises(DamagedLog, match=r"^event 40 was changed") as caught:
        verified(path)
    details = caught.value.details
    assert (details["check"], details["seq"], details["type"], details["step"]) == ("digest", 40, "JobStarted", 3)


def test_a_field_of_the_projection_is_named_for_programs_too(path: Path):
    meddle(path, "UPDATE step SET job_id = 'x' WHERE number = 2")

    with pytest.raises(DamagedLog) as caught:
        verified(path)
    details = caught.value.details
    assert (details["table"], details["row"], details["column"]) == ("step", "sim_SIZE.10", "job_id")
    assert (details["found"], details["log"]) == ("x", "22")


def test_a_projection_that_is_only_not_trusted_after_a_reboot_is_compared_as_it_is(path: Path):
    meddle(path, "UPDATE step SET state = 'CANCELLED' WHERE number = 2")

    with (
        StudyLog.open(path, Clock(), AFTER_REBOOT, fold=False) as log,
        pytest.raises(DamagedLog, match="differs in state"),
    ):
        verify(log)


def test_a_trigger_that_is_gone_is_missed_and_put_back_by_a_rebuild(path: Path, rows: list[Row]):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER event_is_never_updated")
    connection.close()

    with reopen(path) as log:
        with pytest.raises(DamagedLog, match="trigger event_is_never_updated is not as it was made; the events are"):
            verify(log)
        log.rebuild()
        assert verify(log).events == len(rows)


# -- what was known that day -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [64, 9, 8])
def test_a_head_that_was_noted_proves_that_the_log_of_that_day_is_the_beginning_of_this_one(
    path: Path, rows: list[Row], digits: int
):
    with reopen(path) as log:
        log.append([(None, e.StudyPaused())])
        known = prove(log, rows[39][7].hex().upper()[:digits])

    assert known == Known(40, rows[39][1], rows[39][7].hex())


def test_a_head_is_proven_though_a_later_event_was_changed_and_not_if_an_earlier_one_was(path: Path, rows: list[Row]):
    meddle(path, "UPDATE event SET step = 4 WHERE seq = 41")

    with reopen(path) as log:
        assert prove(log, rows[39][7].hex()).seq == 40
        with pytest.raises(DamagedLog, match=r"^event 41 was changed"):
            prove(log, rows[49][7].hex())


def test_a_head_of_another_log_proves_nothing(path: Path):
    with reopen(path) as log, pytest.raises(DamagedLog, match="no event has the digest 0123456789"):
        prove(log, "0123456789")


@pytest.mark.parametrize("head", ["1234567", "x" * 8, "0" * 65, "%%%%%%%%", ""])
def test_a_head_is_at_least_eight_hexadecimal_digits(path: Path, head: str):
    with reopen(path) as log, pytest.raises(RequestRefused, match="--head takes 8 to 64 hexadecimal digits"):
        prove(log, head)


def test_the_beginning_of_two_digests_is_of_neither(path: Path):
    meddle(path, "UPDATE event SET digest = (SELECT digest FROM event WHERE seq = 7) WHERE seq = 9")

    with reopen(path) as log:
        digest = next(iter(log.query("SELECT lower(hex(digest)) FROM event WHERE seq = 7")))[0]
        with pytest.raises(RequestRefused, match="events 7 and 9 both have a digest that begins"):
            prove(log, str(digest)[:8])


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "seq"])
@pytest.mark.parametrize("seq", [1, 2, 33, "last"])
def test_a_change_in_the_file_is_found(path: Path, rows: list[Row], column: str, seq: int | str):
    seq = len(rows) if seq == "last" else seq
    value = {"data": "replace(data, '\"', '\" ')", "digest": "randomblob(32)", "type": "'StudyPaused'"}
    meddle(path, f"UPDATE event SET {column} = {value.get(column, f'coalesce({column}, 0) + 1')} WHERE seq = {seq}")

    with pytest.raises(DamagedLog, match=f"^event {seq} was changed after it was written: its digest is wrong"):
        verified(path)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM event WHERE seq = 1", "event 1 is missing: event 2 follows event 0"),
        ("DELETE FROM event WHERE seq = 20", "event 20 is missing: event 21 follows event 19"),
        ("DELETE FROM event WHERE seq BETWEEN 5 AND 50", "event 5 is missing: event 51 follows event 4"),
        ("UPDATE event SET seq = seq + 30000 WHERE seq > 40", "is missing: event 30041 follows event"),
        ("DELETE FROM event WHERE seq > 60", f"the log ends with event 60, but it had {LAST}: events were"),
        (
            "UPDATE event SET data = CAST(x'7b22ff' AS TEXT) WHERE seq = 9",
            "^event 9 can't be read: it holds bytes that are not text",
        ),
    ],
)
def test_events_that_were_taken_away_are_missed(path: Path, statement: str, words: str):
    meddle(path, statement)

    with pytest.raises(DamagedLog, match=words):
        verified(path)


def reseal(path: Path, change: dict[int, e.AnyEvent] | None = None, **columns: Any) -> None:
    """Rewrite the log with other events in it, and the digests to match: what a skilled hand could do."""
    with reopen(path) as log:
        rows = list(log.rows())
    connection = sqlite3.connect(path)
    with without_triggers(connection):
        connection.execute("DELETE FROM event")
        digest = GENESIS
        for found in rows:
            event = (change or {}).get(found[0])
            seq, time, invocation, step = found[:4]
            row = next(seal(Head(seq - 1, time, digest), time, invocation, [(step, event)]))[0] if event else found
            plain = [
                columns.get(name, value) if row[0] == LAST else value for name, value in zip(COLUMNS, row, strict=True)
            ]
            digest = row_digest(digest, tuple(plain[:7]))
            event_log.insert(connection, [(*plain[:7], digest)])  # type: ignore[list-item]  # a row
    connection.commit()
    connection.close()


def test_a_log_that_was_written_anew_has_another_head(path: Path, rows: list[Row]):
    reseal(path, {32: IDENTITY})
    assert verified(path).head == rows[-1][7].hex()

    reseal(path, {LAST - 6: e.PollFailed(adapter="slurm", message="another story")})
    with reopen(path) as log:
        log.rebuild()
        assert verify(log).head != rows[-1][7].hex()


def test_a_history_that_can_not_have_been_is_found_though_its_digests_are_right(path: Path):
    reseal(path, {LAST: e.StepFinished(token="nobody's", at=1)})

    with pytest.raises(DamagedLog, match=f"event {LAST}: StepFinished can't follow for step 'alone'"):
        verified(path)


def test_an_event_of_no_invocation_is_found_though_its_digest_is_right(path: Path):
    reseal(path, invocation=5)

    with pytest.raises(DamagedLog, match=f"event {LAST}: event 5 is not the start of an invocation"):
        verified(path)


def test_a_payload_that_is_none_is_found_though_its_digest_is_right(path: Path):
    reseal(path, data='{"token":5}')

    with pytest.raises(
        DamagedLog, match=f"event {LAST}: its payload is not a valid JobSubmitted: Expected `str`, got `int`"
    ):
        verified(path)


@pytest.mark.parametrize("columns", [{"type": "StepDreamt"}, {"version": 2}])
def test_an_event_of_a_later_version_is_no_damage(path: Path, columns: dict[str, Any]):
    reseal(path, **columns)

    with pytest.raises(NewerLog, match=rf"event {LAST} is a .* which this version of maestro-es can't read"):
        verified(path)


def test_a_time_that_goes_back_is_found_though_its_digest_is_right(path: Path):
    reseal(path, recorded_at=1)

    with pytest.raises(DamagedLog, match=f"event {LAST} is earlier than the one before it"):
        verified(path)


# -- the projection --------------------------------------------------------------------------------------------------

OTHER_VALUES = {
    "name": "'other'", "template": "'alone'", "params": "'[]'", "workspace": "'w'", "workspaces": """'{"a":"b"}'""",
    "scheduled": "1 - scheduled", "state": "'FAILED'", "kind": "'retry'", "cause": "'lost'", "cancelling": "1",
    "token": "'t'", "job_id": "'0'", "job_host": "'h'", "job_instance": "'i'", "message": "'spoilt'",
}  # fmt: skip


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "number"])
def test_a_field_of_a_step_that_differs_is_named(path: Path, field: str):
    meddle(path, f"UPDATE step SET {field} = {OTHER_VALUES.get(field, f'coalesce({field}, 0) + 1')} WHERE number = 2")

    with pytest.raises(
        DamagedLog, match=rf"projection of step 2 \('.*'\) differs in {field}: it has .* run 'maestro-es"
    ):
        verified(path)


STUDY = """UPDATE projection SET study = json_set(study, '$.{}', json('{}'))"""


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "INSERT INTO edge (parent, child) VALUES (1, 11)",
            "the projection has an extra row in edge: parent 1, child 11",
        ),
        ("DELETE FROM edge WHERE child = 3", "the projection lacks a row in edge: parent 1, child 3"),
        (
            "INSERT INTO edge (parent, child) VALUES (99, 1)",
            "the projection has an extra row in edge: parent 99, child 1",
        ),
        ("DELETE FROM funnel", "the projection lacks a row in funnel: template 'sim', child 5"),
        (
            "INSERT INTO funnel VALUES ('make', 9)",
            "the projection has an extra row in funnel: template 'make', child 9",
        ),
        (
            "INSERT INTO funnel VALUES ('zoo', 9)",
            "the projection has an extra row in funnel: template 'zoo', child 9",
        ),
        ("DELETE FROM template WHERE name = 'sim'", "the projection lacks a row in template: name 'sim'"),
        ("INSERT INTO template VALUES ('zoo', '{}', 0)", "the projection has an extra row in template: name 'zoo'"),
        (
            "UPDATE template SET unfinished = 7 WHERE name = 'sim'",
            "template 'sim' differs in unfinished: it has 7, .* 1",
        ),
        ("UPDATE template SET data = '{}' WHERE name = 'sim'", "template 'sim' differs in data"),
        ("DELETE FROM step WHERE number = 4", r"the projection lacks step 4 \('sim_SIZE.30'\)"),
        ("DELETE FROM step WHERE number = 11", r"the projection lacks step 11 \('later'\)"),
        ("DELETE FROM step", r"the projection lacks step 1 \('make'\)"),
        ("UPDATE step SET number = 99 WHERE number = 11", r"the projection lacks step 11 \('later'\)"),
        ("UPDATE step SET number = 0 WHERE number = 1", r"the projection has an extra step 0 \('make'\)"),
        ("UPDATE projection SET applied_seq = 99", f"the log ends with event {LAST}, but it had 99"),
        (STUDY.format("paused", "true"), "the study differs in paused: it has True, the events give False"),
        (STUDY.format("root", '"/s"'), "the study differs in root: it has '/s', the events give '/t'"),
        (STUDY.format("states.FAILED", "2"), "the study differs in states"),
        (STUDY.format("settings.submission_throttle", "4"), "the study differs in settings"),
        (STUDY.format("open_steps", "1"), "the study differs in open_steps: it has 1"),
    ],
)
def test_the_first_difference_of_the_projection_is_named(path: Path, statement: str, words: str):
    meddle(path, statement)

    with pytest.raises(DamagedLog, match=words):
        verified(path)


def test_a_step_too_many_is_named(path: Path):
    others = ", ".join(FIELDS[2:])
    meddle(path, f"INSERT INTO step (number, name, {others}) SELECT 12, 'ghost', {others} FROM step WHERE number = 1")

    with pytest.raises(DamagedLog, match=r"the projection has an extra step 12 \('ghost'\)"):
        verified(path)


def test_a_projection_that_differs_is_mended_by_a_rebuild(path: Path, rows: list[Row]):
    meddle(path, "UPDATE step SET state = 'FINISHED'", "DELETE FROM funnel", "UPDATE template SET unfinished = 0")

    with reopen(path) as log:
        with pytest.raises(DamagedLog, match="the events are right: run 'maestro-es rebuild'"):
            verify(log)
        log.rebuild()
        assert verify(log).events == len(rows)


def test_an_index_that_lost_a_row_is_found(path: Path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'phase = 1', 'phase = 9') WHERE name = 'step_ready'"
    )
    connection.execute("PRAGMA writable_schema = RESET")
    connection.close()

    with pytest.raises(DamagedLog, match=r"the file is damaged: .*step_ready; restore it from a copy"):
        verified(path)


def test_events_that_others_append_meanwhile_are_verified_too(path: Path, rows: list[Row]):
    with reopen(path) as log, reopen(path) as other:
        other.append([(None, e.StudyPaused())])

        assert verify(log).events == len(rows) + 2


# -- the bytes of the file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(4))
def test_a_byte_of_the_file_that_changed_is_found_or_of_no_account(tmp_path: Path, part: int):
    """Of no account are bytes that hold nothing: what is read is then all right."""
    path = tmp_path / "events.db"
    written(path).close()
    whole = path.read_bytes()
    with reopen(path) as log:
        rows = list(log.rows())
    found = 0
    for place in range(part * 41, len(whole), 4 * 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            with reopen(path) as log:
                verify(log)
                assert list(log.rows()) == rows
        except MaestroError:
            found += 1
    assert found > 20


def test_the_head_of_the_file_tells_what_it_is(path: Path):
    whole = path.read_bytes()
    for place in range(100):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        try:
            events = verified(path).events
        except MaestroError:
            continue
        assert events == LAST
