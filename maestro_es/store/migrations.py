"""Creates and upgrades the tables and views of an `events.db`, from ``schema/migrations`` and ``schema/views``.

`upgrade` makes all changes in one transaction. So even if a process is killed, a log has the complete schema of one
version. sqlite-utils applies the migrations and records which ones have been applied. Views need no migration, because
an upgrade drops and creates all of them. maestro-es itself reads no views. They are for users and other programs.

If the log is up to date, a tick calls no function of this module. It only compares the file's ``user_version`` with
`SCHEMA_VERSION`, and the digest of its schema with `SCHEMA_DIGEST`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

#: The version of the tables, stored as ``user_version``. It is the number of the last migration.
SCHEMA_VERSION = 1

#: The version of the views. A comment in each view contains it. Raise it if you change a view that a release has
#: created.
VIEWS_VERSION = 1

#: The result of `file_check.schema_digest` for a file with these tables and views.
SCHEMA_DIGEST = "a29a312441df3f1e87fc79f80e818badce404a50696a0f4bf94b512b6d9b37e5"

#: The application id of event logs, "mes1".
APPLICATION_ID = 0x6D657331

#: The first line of a view in its file, and the comment with its version.
_VIEW = r"CREATE VIEW (\w+) AS\n"
_STAMP = r"/\* maestro-es views ([0-9]{1,9}) \*/"

#: The objects of a schema by kind and name, each with its statement.
Objects = dict[tuple[str, str], str]


def is_current(connection: sqlite3.Connection) -> bool:
    """Return whether a file has the tables and views of this version, or of a later one."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    return version >= SCHEMA_VERSION and _views_version(connection) >= VIEWS_VERSION


def upgrade(connection: sqlite3.Connection) -> None:
    """Create or upgrade the tables and views of a file, in one transaction.

    The file is locked before its version is read. So if two processes upgrade a file, the second finds nothing to do.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_current(connection):
            _upgrade(connection)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _upgrade(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database, Migrations  # noqa: PLC0415 - a tick saves 80 ms without it

    for name in _our_views(connection):
        connection.execute(f'DROP VIEW "{name}"')
    migrations = Migrations("maestro-es")
    for name, sql in scripts():
        migrations(name=name)(_runner(sql))
    migrations.apply(Database(connection, execute_plugins=False))
    for _, sql in views():
        connection.execute(sql)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _runner(sql: str) -> Any:  # noqa: ANN401 - sqlite-utils' type of a migration function
    def apply(database: Any) -> None:  # noqa: ANN401 - sqlite_utils.Database
        for statement in statements(sql):
            database.execute(statement)

    return apply


# -- the files of the schema ------------------------------------------------------------------------------------------


def scripts() -> list[tuple[str, str]]:
    """Return the name and the text of each migration, in order."""
    return _files("migrations")


def views() -> list[tuple[str, str]]:
    """Return the name and the statement of each view, with the version of the views in a comment."""
    import re  # noqa: PLC0415 - a tick does without it

    scripts = []
    for name, sql in _files("views"):
        statement = sql[sql.index("CREATE VIEW") :].rstrip().rstrip(";")
        scripts.append(
            (name, re.sub(_VIEW, rf"CREATE VIEW \1 AS  /* maestro-es views {VIEWS_VERSION} */\n", statement, count=1))
        )
    return scripts


def _files(folder: str) -> list[tuple[str, str]]:
    from importlib import resources  # noqa: PLC0415 - likewise

    entries = (resources.files("maestro_es.schema") / folder).iterdir()
    files = sorted((entry for entry in entries if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [(entry.name.removesuffix(".sql"), entry.read_text("utf-8")) for entry in files]


def statements(sql: str) -> list[str]:
    """Split a script into statements, because `executescript` would commit the open transaction."""
    complete, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            complete.append(pending)
            pending = ""
    return complete


# -- the schema of a file ---------------------------------------------------------------------------------------------


def schema_drift(connection: sqlite3.Connection) -> list[str]:
    """Return the objects that an up-to-date file lacks, and its triggers and indexes that differ."""
    return [f"{kind} {name}" for kind, name in _drift(connection, _as_made())]


def repair_schema(connection: sqlite3.Connection) -> None:
    """Create the missing objects of a file, and recreate its triggers and indexes that differ."""
    ours = _as_made()
    for kind, name in _drift(connection, ours):
        connection.execute(f"DROP {kind} IF EXISTS {name}")
        connection.execute(ours[kind, name])


def _drift(connection: sqlite3.Connection, ours: Objects) -> list[tuple[str, str]]:
    objects = _objects(connection)
    exact = ("trigger", "index")
    return [key for key, sql in ours.items() if key not in objects or (key[0] in exact and objects[key] != sql)]


class Made(NamedTuple):
    """The object with a given name: its kind, and all statements with which any version so far has created it."""

    kind: str
    statements: set[str]  # if empty, any statement is accepted

    def covers(self, kind: str, sql: str) -> bool:
        """Return whether an object belongs to maestro-es.

        Triggers, indexes, and views of another version may have other statements.
        """
        exact = kind == "table" or (kind == "view" and stamp(sql) in {0, VIEWS_VERSION})
        return kind == self.kind and not (exact and self.statements and normal(sql) not in self.statements)


def ever_made() -> dict[str, Made]:
    """Return the objects that any migration creates, even if a later one removes them, by name in lower case."""
    made = {"_sqlite_migrations": Made("table", set())}
    for objects in _as_made_step_by_step():
        for (kind, name), sql in objects.items():
            made.setdefault(name.lower(), Made(kind, set())).statements.add(normal(sql))
    return made


def normal(sql: str) -> str:
    """Return a statement without blanks, quotes and upper case, because versions of SQLite differ in these."""
    return "".join(sql.split()).replace('"', "").lower()


def stamp(sql: str) -> int:
    """Return the version of the views that a view belongs to; 0 if it is not one of ours."""
    import re  # noqa: PLC0415 - a tick does without it

    match = re.search(_STAMP, sql)
    return int(match[1]) if match else 0


def _views_version(connection: sqlite3.Connection) -> int:
    return max((stamp(sql) for (kind, _), sql in _objects(connection).items() if kind == "view"), default=0)


def _our_views(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the views that a version of maestro-es has created, escaped for SQL."""
    views = (key[1] for key, sql in _objects(connection).items() if key[0] == "view" and stamp(sql))
    return [name.replace('"', '""') for name in views]


def _as_made() -> Objects:
    return list(_as_made_step_by_step())[-1]


def _as_made_step_by_step() -> Iterator[Objects]:
    """Yield the schema after each migration, and finally with the views."""
    scratch = sqlite3.connect(":memory:")
    try:
        for _, sql in scripts():
            for statement in statements(sql):
                scratch.execute(statement)
            yield _objects(scratch)
        for _, sql in views():
            scratch.execute(sql)
        yield _objects(scratch)
    finally:
        scratch.close()


def _objects(connection: sqlite3.Connection) -> Objects:
    """Return the objects of a file, without those that SQLite creates by itself."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    return {(kind, name): sql for kind, name, sql in connection.execute(query)}
