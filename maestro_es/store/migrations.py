"""The tables of an `events.db`: made and brought up to date from ``schema/migrations/NNNN_words.sql``.

sqlite-utils applies them, each in a transaction of its own, and keeps the list of those applied. It is imported only
when something is to be applied: a tick finds the number of the newest one in the file's ``user_version``.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

#: How many migrations this version knows; a test compares it with ``schema/migrations``.
KNOWN = 11

#: What `file_check.schema_digest` returns for a file with all of them; a test compares it, too.
SCHEMA_DIGEST = "8128802e77095462ef76bb1a7c17d9f269d319af2184e1de83166081e6944dac"

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


def spoilt(connection: sqlite3.Connection) -> list[str]:
    """Return which tables, indexes and views of a file are missing, and which triggers are not as they were made."""
    found = _objects(connection)
    return [
        f"{kind} {name}"
        for (kind, name), sql in _as_made().items()
        if (kind, name) not in found or (kind == "trigger" and found[kind, name] != sql)
    ]


def mend(connection: sqlite3.Connection) -> None:
    """Make the triggers of a file as they were made; they are what keeps its events from being changed by accident."""
    found = _objects(connection)
    for (kind, name), sql in _as_made().items():
        if kind == "trigger" and found.get((kind, name)) != sql:
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            connection.execute(sql)


class Made(NamedTuple):
    """What a name stands for: the kind of object, and the statements that any version of us has made it by."""

    kind: str
    statements: set[str]

    def covers(self, kind: str, sql: str) -> bool:
        """Whether an object is ours. Triggers and indexes may differ, and what sqlite-utils makes."""
        exact = kind in {"table", "view"} and self.statements
        return kind == self.kind and not (exact and normal(sql) not in self.statements)


def ever_made() -> dict[str, Made]:
    """Return what the migrations make, and have made on the way, by name in small letters."""
    made = {"_sqlite_migrations": Made("table", set())}
    scratch = sqlite3.connect(":memory:")
    try:
        for _, sql in scripts():
            for statement in statements(sql):
                scratch.execute(statement)
            for (kind, name), text in _objects(scratch).items():
                made.setdefault(name.lower(), Made(kind, set())).statements.add(normal(text))
    finally:
        scratch.close()
    return made


def normal(sql: str) -> str:
    """Return a statement without what versions of SQLite write differently: blanks, quotes, and large letters."""
    return "".join(sql.split()).replace('"', "").lower()


def _as_made() -> dict[tuple[str, str], str]:
    scratch = sqlite3.connect(":memory:")
    try:
        for _, sql in scripts():
            for statement in statements(sql):
                scratch.execute(statement)
        return _objects(scratch)
    finally:
        scratch.close()


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the statements of a file's schema by kind and name, but for what SQLite makes by itself."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    return {(kind, name): sql for kind, name, sql in connection.execute(query)}


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
