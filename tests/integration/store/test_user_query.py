"""A statement that the user interrupts, in whatever reader, is no statement that has taken too long."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from maestro_es.errors import RequestRefused
from maestro_es.store.user_query import query
from tools.testbed.logs import written

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"


@pytest.mark.parametrize(
    "ask", [lambda log: log.query(ENDLESS), lambda log: query(log, ENDLESS, {})], ids=["our", "a user's"]
)
def test_ctrl_c_during_a_statement_is_a_keyboard_interrupt(tmp_path: Path, ask):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with written(tmp_path / "events.db") as log, subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -INT {os.getpid()}"]):
        try:
            with pytest.raises(KeyboardInterrupt):
                ask(log)
        finally:
            signal.signal(signal.SIGINT, before)
        assert log.query("SELECT count(*) FROM event") == [(log.head.seq,)]


def test_after_a_query_a_log_can_be_written_again(tmp_path: Path):
    with written(tmp_path / "events.db") as log:
        assert [*query(log, "SELECT count(*) FROM v_event", {}).rows] == [(log.head.seq,)]
        with pytest.raises(RequestRefused, match="a query can only read"):
            query(log, "DELETE FROM event", {})
        log.rebuild()
        assert log.query("SELECT * FROM pragma_query_only, pragma_trusted_schema") == [(0, 0)]


@pytest.mark.parametrize("number", [5, 12_345])
def test_the_rows_of_a_query_are_a_sequence_whatever_their_number(tmp_path: Path, number: int):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT :number"
    with written(tmp_path / "events.db") as log:
        rows = query(log, numbers, {"number": str(number)}).rows
    assert (rows[0], rows[-1], rows[-number]) == ((0,), (number - 1,), (0,))
    assert rows[-3:] == [(at,) for at in range(number - 3, number)]
    for outside in (number, -number - 1):
        with pytest.raises(IndexError):
            rows[outside]
