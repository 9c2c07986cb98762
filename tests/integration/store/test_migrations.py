"""The tables come from the migrations, applied by sqlite-utils, each of them whole."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path

import sqlite_utils

from maestro_es.core import events as e
from maestro_es.core.model import StepRecord
from maestro_es.store.file_check import check_schema, schema_digest
from maestro_es.store.migrations import KNOWN, SCHEMA_DIGEST, apply_migrations, scripts, statements
from tests.integration.store.logs import create, history, reopen, same, written


def tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    query = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_%' ESCAPE '\\'"
    return sorted(connection.execute(query).fetchall())


def test_there_are_as_many_migrations_as_are_known():
    folder = resources.files("maestro_es.schema") / "migrations"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith("sql"))

    assert len(files) == KNOWN
    assert [int(name[:4]) for name in files] == list(range(1, KNOWN + 1))
    assert [name + ".sql" for name, _ in scripts()] == files


def test_a_new_log_has_all_tables_and_says_so(tmp_path: Path):
    create(tmp_path / "events.db").close()
    connection = sqlite3.connect(tmp_path / "events.db")

    assert connection.execute("PRAGMA user_version").fetchone() == (KNOWN,)
    assert {name for kind, name in tables(connection) if kind == "table"} == {
        "event", "projection", "template", "step", "edge", "funnel",
    }  # fmt: skip
    assert {name for kind, name in tables(connection) if kind == "trigger"} == {
        "event_is_gapless", "event_is_never_updated", "event_is_never_deleted",
    }  # fmt: skip
    assert {name for kind, name in tables(connection) if kind == "view"} == {
        "v_event", "v_attempt", "v_wait", "v_step", "v_invocation",
    }  # fmt: skip
    connection.close()


def test_the_digest_of_the_schema_is_that_of_a_new_log(tmp_path: Path):
    """A migration changes it. A log with another one is compared statement by statement, which takes a tick 20 ms."""
    with create(tmp_path / "events.db") as log:
        found = schema_digest(log._connection)

    assert found == SCHEMA_DIGEST, f"SCHEMA_DIGEST in store/migrations.py is to be {found!r}"


def test_a_log_of_each_earlier_version_has_tables_of_ours(tmp_path: Path):
    connection = sqlite3.connect(":memory:")
    for _, script in scripts():
        for statement in statements(script):
            connection.execute(statement)
        check_schema(connection, tmp_path)


def test_sqlite_utils_knows_which_migrations_were_applied(tmp_path: Path):
    create(tmp_path / "events.db").close()
    database = sqlite_utils.Database(tmp_path / "events.db", execute_plugins=False)

    [name] = [name for name in database.table_names() if "migrations" in name]
    applied = [row["name"] for row in database[name].rows]
    database.close()

    assert applied == [name for name, _ in scripts()]


def test_applying_them_again_changes_nothing(tmp_path: Path):
    with written(tmp_path / "events.db") as log:
        before = log.query("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        apply_migrations(log._connection)

        assert log.query("SELECT type, name, sql FROM sqlite_master ORDER BY name") == before
        assert same(log)


def test_a_log_that_lacks_its_migrations_gets_them_when_it_is_opened(tmp_path: Path):
    path = tmp_path / "events.db"
    create(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for kind, name in tables(connection):
        if kind in {"table", "view"}:
            connection.execute(f"DROP {kind} {name}")
    [(applied,)] = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%migrations'").fetchall()
    connection.execute(f"DROP TABLE {applied}")
    connection.execute("PRAGMA user_version = 0")
    assert tables(connection) == []
    connection.close()

    with reopen(path) as log:
        log.append(history())
        assert log.query("PRAGMA user_version") == [(KNOWN,)]
        assert same(log)


def test_a_log_from_before_steps_could_be_held_is_folded_into_the_new_columns(tmp_path: Path):
    path = tmp_path / "events.db"
    written(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for kind, name in tables(connection):
        if kind in ("view", "table") and name != "event":
            connection.execute(f"DROP {kind} {name}")
    connection.execute("DROP INDEX event_of_study")
    for statement in statements(dict(scripts())["0002_projection"]):
        connection.execute(statement)
    connection.execute("DELETE FROM _sqlite_migrations WHERE name >= '0004'")
    connection.execute("PRAGMA user_version = 3")
    connection.close()

    with reopen(path) as log:
        assert log.query("PRAGMA user_version") == [(KNOWN,)]
        assert same(log)


def test_the_view_of_steps_of_an_older_log_gets_the_columns_that_it_lacks(tmp_path: Path):
    path = tmp_path / "events.db"
    written(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP VIEW v_step")
    [older] = [sql for sql in statements(dict(scripts())["0003_views"]) if "CREATE VIEW v_step" in sql]
    connection.execute(older)
    connection.execute("DELETE FROM _sqlite_migrations WHERE name LIKE '0008%'")
    connection.execute("PRAGMA user_version = 7")
    connection.close()

    with reopen(path) as log:
        log.append([(log.graph.number_of("alone"), e.StepHeld())])
    rows = sqlite3.connect(path).execute("SELECT name, held, skipped FROM v_step WHERE held OR skipped")
    assert rows.fetchall() == [("alone", 1, 0)]


def test_the_columns_of_a_step_are_the_fields_of_its_record(tmp_path: Path):
    with create(tmp_path / "events.db") as log:
        columns = [row[1] for row in log.query("PRAGMA table_info(step)")]

    assert set(columns) == set(StepRecord.__struct_fields__)


def test_a_script_is_split_where_its_statements_end():
    script = """\
-- words; with a semicolon
CREATE TABLE a (b TEXT DEFAULT ';');

CREATE TRIGGER t BEFORE INSERT ON a
BEGIN
    SELECT 1;
END;
"""

    assert [statement.split("\n")[-2] for statement in statements(script)] == [
        "CREATE TABLE a (b TEXT DEFAULT ';');",
        "END;",
    ]


def test_every_migration_stays_within_the_sql_of_rhel_8():
    """SQLite 3.26 knows none of these."""
    for name, sql in scripts():
        code = "\n".join(line.partition("--")[0] for line in sql.upper().splitlines())
        for word in ("STRICT", "RETURNING", "GENERATED", "->>", "DROP COLUMN", "MATERIALIZED"):
            assert word not in code, (name, word)
