"""Reads four columns of all events of a log: scan_events.py FILE."""

from __future__ import annotations

import sqlite3
import sys

if __name__ == "__main__":
    connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    for _ in connection.execute("SELECT seq, step, type, data FROM event ORDER BY seq"):
        pass
