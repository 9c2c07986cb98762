"""Inserts the rows of a log into new tables, a block at a time, and prints what that took.

insert_rows.py LOG NEW

All tables that hold the study are copied, with their indexes. It prints CPU seconds, without those of reading.
"""

from __future__ import annotations

import sqlite3
import sys
import time

BLOCK = 10_000

if __name__ == "__main__":
    source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    target = sqlite3.connect(sys.argv[2])
    schema = source.execute(
        "SELECT name, type, sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    for _, kind, sql in schema:
        if kind in {"table", "index"}:
            target.execute(sql)
    took = 0.0
    for table in [name for name, kind, _ in schema if kind == "table"]:
        rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name of the schema
        marks = ", ".join("?" * len(rows.description))
        while block := rows.fetchmany(BLOCK):
            began = time.process_time()
            target.executemany(f"INSERT INTO {table} VALUES ({marks})", block)  # noqa: S608 - likewise
            took += time.process_time() - began
    began = time.process_time()
    target.commit()
    print(took + time.process_time() - began)
