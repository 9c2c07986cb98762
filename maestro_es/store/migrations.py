"""The tables of an `events.db`: made and brought up to date from ``schema/migrations/NNNN_words.sql``.

sqlite-utils applies them, each in a transaction of its own, and keeps the list of those applied. It is imported only
when something is to be applied: a tick finds the number of the newest one in the file's ``user_version``.
"""

from __future__ import annotations

import sqlite3
from typing import Any

#: How many migrations this version knows; a test compares it with ``schema/migrations``.
KNOWN = 4

#: Marks a file as an event log of ours: "mes1".
APPLICATION_ID = 0x6D657331


def apply_migrations(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the file does not have yet."""
    from sqlite_utils import Database, Migrations  # noqa: PLC0415 - 80 ms that a tick does without

    migrations = Migrations("maestro-es")
    for name, sql in scripts():
        migrations(name=name)(_runner(sql))
    migrations.apply(Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA user_version = {KNOWN}")


def scripts() -> list[tuple[str, str]]:
    """Return name and text of each migration, in order."""
    from importlib import resources  # noqa: PLC0415 - likewise

    folder = resources.files("maestro_es.schema") / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [(entry.name.removesuffix(".sql"), entry.read_text("utf-8")) for entry in files]


def _runner(sql: str) -> Any:  # noqa: ANN401 - sqlite-utils' type of a migration function
    def apply(database: Any) -> None:  # noqa: ANN401 - sqlite_utils.Database
        for statement in statements(sql):
            database.execute(statement)

    return apply


def statements(sql: str) -> list[str]:
    """Split a script into statements; `executescript` would commit the transaction that a migration runs in."""
    found, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
