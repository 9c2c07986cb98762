"""Inserts events into a bare table of SQLite, in the same blocks: insert_events.py FILE EVENTS."""

from __future__ import annotations

import sqlite3
import sys

TABLE = """
CREATE TABLE event (seq INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, invocation INTEGER NOT NULL, step INTEGER,
    type TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL, digest BLOB NOT NULL);
CREATE INDEX event_step ON event (step);
CREATE INDEX event_type ON event (type)
"""
BLOCK = 4000
DIGEST = b"0" * 32


def row(seq: int) -> tuple[int, int, int, int, str, int, str, bytes]:
    """Return a row as long as those of maestro-es."""
    step = (seq + 3) // 4
    return (
        seq,
        1_750_000_000_000_000 + seq,
        1,
        step,
        "JobStarted",
        1,
        f'{{"token":"{step:08x}-{step}-1","at":{seq}}}',
        DIGEST,
    )


if __name__ == "__main__":
    connection = sqlite3.connect(sys.argv[1])
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(TABLE)
    events = int(sys.argv[2])
    for first in range(1, events + 1, BLOCK):
        with connection:
            connection.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                map(row, range(first, min(first + BLOCK, events + 1))),
            )
