"""Of a damaged file all that can be read is saved, and nothing is invented."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.errors import DamagedLog, MaestroError
from maestro_es.store.event_log import Row
from maestro_es.store.log_export import line
from maestro_es.store.salvage import lines, salvage
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from tools.testbed.logs import IDENTITY, Clock, create, history, meddle, reopen, written

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of several hundred events on many pages, some of them too long for a page."""
    with written(tmp_path / "events.db") as log:
        for number in range(60):
            log.append([(None, e.StudyPaused(reason=f"{number} " * (number * 40))), (None, e.StudyResumed())])
    return tmp_path / "events.db"


@pytest.fixture
def rows(path: Path) -> list[Row]:
    with reopen(path) as log:
        return list(log.rows())


def test_of_a_whole_log_all_is_saved(path: Path, rows: list[Row]):
    saved = salvage(path)

    assert saved.rows == rows
    assert (saved.gaps, saved.missing) == ({}, 0)
    assert list(lines(saved)) == list(map(line, rows))


def check(path: Path, rows: list[Row]) -> int:
    """Check that verify finds the damage in one line or there is none, and what is saved; returns how many were."""
    wrong = ""
    try:
        with StudyLog.open(path, Clock(), IDENTITY, fold=False) as log:
            assert verify(log).events == len(rows)
    except MaestroError as error:
        wrong = str(error)
        assert wrong
        assert "\n" not in wrong
        assert wrong.isprintable()
    try:
        saved = salvage(path)
    except DamagedLog:
        return 0
    assert set(saved.rows) <= set(rows)
    if not wrong:
        assert saved.rows == rows
    told = [json.loads(text) for text in lines(saved)]
    assert [found["seq"] for found in told if "seq" in found] == [row[0] for row in saved.rows]
    missing = {seq for first, last in saved.gaps.values() for seq in range(first, last + 1)}
    assert missing.isdisjoint(row[0] for row in saved.rows)
    assert missing | {row[0] for row in saved.rows} >= set(range(1, saved.rows[-1][0] + 1) if saved.rows else ())
    return len(saved.rows)


@pytest.mark.parametrize("kind", ["zeros", "ones", "noise", "another"])
def test_a_page_that_was_overwritten_takes_its_own_events_and_no_others(path: Path, rows: list[Row], kind: str):
    whole = path.read_bytes()
    noise = random.Random(1)  # noqa: S311 - no secret
    counts = []
    for start in range(0, len(whole), PAGE):
        other = whole[(start + 3 * PAGE) % len(whole) :][:PAGE]
        page = {"zeros": bytes(PAGE), "ones": b"\xff" * PAGE, "noise": noise.randbytes(PAGE), "another": other}[kind]
        path.write_bytes(whole[:start] + page + whole[start + PAGE :])
        counts.append(check(path, rows))
    assert min(counts) >= len(rows) - 120  # a page holds no more
    assert sorted(counts)[len(counts) // 2] >= len(rows) - 3


def test_a_file_that_was_cut_off_keeps_what_stands_before(path: Path, rows: list[Row]):
    whole = path.read_bytes()
    for length in (*range(PAGE, len(whole), PAGE), *range(1000, len(whole), 7001), 1, 99, len(whole) - 1):
        path.write_bytes(whole[:length])
        check(path, rows)


def test_bytes_that_changed_anywhere_invent_nothing(path: Path, rows: list[Row]):
    whole = path.read_bytes()
    for place in range(17, len(whole), len(whole) // 150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        assert check(path, rows) >= len(rows) - 120


def test_what_follows_a_gap_is_handed_over_as_unproven_and_the_rest_as_proven(path: Path, rows: list[Row]):
    meddle(
        path, "UPDATE event SET type = 'StudyResumed', data = '{}' WHERE seq = 30", "DELETE FROM event WHERE seq = 40"
    )

    saved = salvage(path)

    assert [row[0] for row in saved.rows] == [*range(1, 30), *range(31, 40), *range(42, len(rows) + 1)]
    assert saved.gaps == {31: (30, 30), 42: (40, 41)}
    damage = [json.loads(text) for text in lines(saved) if text.startswith('{"damage"')]
    assert damage[1]["damage"] == "events 40 to 41 are missing"
    assert damage[1]["unproven"] == [json.loads(line(rows[40]))]


def test_the_end_that_is_missing_is_known_from_the_projection(path: Path, rows: list[Row]):
    meddle(path, f"DELETE FROM event WHERE seq > {len(rows) - 3}")  # noqa: S608 - a number

    saved = salvage(path)

    assert saved.rows == rows[:-3]
    assert list(saved.gaps.values()) == [(len(rows) - 2, len(rows))]


def test_of_a_file_that_is_no_log_nothing_is_saved(tmp_path: Path):
    path = tmp_path / "events.db"
    path.touch()
    with pytest.raises(DamagedLog, match="the event log is empty, there is nothing to save"):
        salvage(path)
    path.write_bytes(os.urandom(3 * PAGE + 5))
    assert salvage(path).rows == []


def test_a_large_log_is_saved_whatever_its_pages_hold(tmp_path: Path):
    path = tmp_path / "events.db"
    with create(path) as log:
        log.append(history()[:1])
        for _ in range(40):
            log.append([(None, e.PollFailed(adapter="slurm", message="x" * 300)), (None, e.StudyPaused())] * 40)
        rows = list(log.rows())
    whole = path.read_bytes()
    path.write_bytes(bytes(PAGE) + whole[PAGE:])  # SQLite itself can't even open it now

    assert len(salvage(path).rows) >= len(rows) - 2
