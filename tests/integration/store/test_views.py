"""The views answer questions without our code: read-only, by other programs, and quickly."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tools.testbed.logs import written

VIEWS = ("v_event", "v_attempt", "v_wait", "v_step", "v_invocation")


@pytest.fixture
def read_only(tmp_path: Path):
    written(tmp_path / "events.db").close()
    (tmp_path / "events.db").chmod(0o400)
    connection = sqlite3.connect(f"file:{tmp_path}/events.db?mode=ro", uri=True)
    yield connection
    connection.close()


def test_an_attempt_is_a_row(read_only):
    query = "SELECT number, kind, job_id, started, outcome FROM v_attempt WHERE step = 'sim_SIZE.20' ORDER BY number"
    assert read_only.execute(query).fetchall() == [
        (1, "first", "31", "1970-01-01T00:00:02.000000+00:00", "hardware failed"),
        (2, "resubmit", None, None, "rejected"),
        (3, "resubmit", None, None, "abandoned"),
        (4, "resubmit", "34", "1970-01-01T00:00:02.000000+00:00", "finished"),
    ]


def test_an_adopted_job_is_waited_for_from_its_request(read_only):
    query = "SELECT job_id, adopted, outcome FROM v_attempt WHERE step = 'alone'"
    assert read_only.execute(query).fetchall() == [("91", 1, "in flight")]


def test_a_step_stands_there_in_words_and_its_parameters_by_name(read_only):
    query = "SELECT state, phase, params FROM v_step WHERE name = 'sim_SIZE.10'"
    assert read_only.execute(query).fetchall() == [("FINISHED", "DONE", '{"SIZE":"10"}')]


def test_each_event_says_who_wrote_it(read_only):
    query = "SELECT DISTINCT invocation, actor, host, command FROM v_event"
    assert read_only.execute(query).fetchall() == [
        (invocation, "me", "login1", "tick")
        for (invocation,) in read_only.execute("SELECT invocation FROM v_invocation").fetchall()
    ]
    [(total, last)] = read_only.execute("SELECT sum(events), max(last_seq) FROM v_invocation").fetchall()
    assert total == last == read_only.execute("SELECT max(seq) FROM event").fetchone()[0]


def test_times_are_ones_that_sqlite_reckons_with(read_only):
    query = "SELECT datetime(started, '+1 minute'), strftime('%H', started) FROM v_attempt WHERE job_id = '11'"
    assert read_only.execute(query).fetchall() == [("1970-01-01 00:01:02", "00")]


@pytest.mark.parametrize("view", VIEWS)
def test_other_programs_read_the_views(read_only, tmp_path, view):
    done = subprocess.run(
        [sys.executable, "-m", "sqlite_utils", "rows", str(tmp_path / "events.db"), view],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert len(json.loads(done.stdout)) == read_only.execute(f"SELECT count(*) FROM {view}").fetchone()[0] > 0  # noqa: S608 - ours


@pytest.mark.parametrize(
    ("view", "where"),
    [
        ("v_event", "step = 'post'"),
        ("v_attempt", "step = 'post'"),
        ("v_wait", "step = 'post'"),
        ("v_step", "name = 'post'"),
        ("v_invocation", "invocation = 1"),
        ("v_event", "seq > 1000"),
    ],
)
def test_one_step_or_invocation_is_found_by_the_indexes(read_only, view, where):
    plan = [row[3] for row in read_only.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE {where}")]  # noqa: S608 - ours
    assert [line for line in plan if line.startswith("SCAN") and "VIRTUAL TABLE" not in line] == []
