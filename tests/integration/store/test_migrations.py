"""The tables come from the migrations, applied by sqlite-utils, and the views from a file each."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from functools import partial
from importlib import resources
from pathlib import Path

import pytest
import sqlite_utils

import maestro_es
from maestro_es.core.model import StepRecord
from maestro_es.errors import StudyError
from maestro_es.store.file_check import check_schema, schema_digest
from maestro_es.store.migrations import (
    APPLICATION_ID,
    SCHEMA_DIGEST,
    SCHEMA_VERSION,
    VIEWS_VERSION,
    schema_drift,
    scripts,
    stamp,
    statements,
    upgrade,
    views,
)
from maestro_es.store.verification import verify
from tests.fakes.killed_statements import kill_at_statement
from tools.testbed.golden import FOLDER
from tools.testbed.logs import create, history, reopen, same, written


def tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    query = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_%' ESCAPE '\\'"
    return sorted(connection.execute(query).fetchall())


def test_the_version_of_the_tables_is_the_number_of_the_last_migration():
    folder = resources.files("maestro_es.schema") / "migrations"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith("sql"))

    assert [int(name[:4]) for name in files] == list(range(1, SCHEMA_VERSION + 1))
    assert [name + ".sql" for name, _ in scripts()] == files


def test_a_new_log_has_all_tables_and_says_so(tmp_path: Path):
    create(tmp_path / "events.db").close()
    connection = sqlite3.connect(tmp_path / "events.db")

    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
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
    """A log with another digest is compared statement by statement, which takes a tick 20 ms."""
    with create(tmp_path / "events.db") as log:
        found = schema_digest(log._connection)

    assert found == SCHEMA_DIGEST, (
        f"set SCHEMA_DIGEST in store/migrations.py to {found!r}; and if a view changed that a released version has "
        "created, raise VIEWS_VERSION"
    )


@pytest.mark.parametrize("golden", sorted(FOLDER.iterdir()), ids=lambda golden: golden.name)
def test_views_that_differ_from_those_of_a_golden_log_have_a_later_version(golden: Path):
    with contextlib.closing(sqlite3.connect(golden / "events.db")) as log:
        theirs = dict(log.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'").fetchall())
    versions = {stamp(sql) for sql in theirs.values()}

    assert len(versions) == 1
    if versions == {VIEWS_VERSION}:
        assert theirs == dict(views()), "run tools/golden-log; after the release of that version raise VIEWS_VERSION"
    else:
        assert max(versions) < VIEWS_VERSION


@pytest.mark.parametrize(
    ("statement", "refused"),
    [
        ("CREATE INDEX other ON event (abs(seq))", True),
        ("CREATE UNIQUE INDEX other ON Step (template)", True),
        ("CREATE TRIGGER other AFTER INSERT ON event BEGIN DELETE FROM step; END", True),
        ("CREATE TABLE other (a UNIQUE); CREATE INDEX other_a ON other (a)", False),
        ("CREATE VIEW other AS SELECT seq FROM event", False),
    ],
)
def test_a_user_may_add_tables_and_views_but_nothing_to_our_tables(tmp_path: Path, statement: str, refused: bool):
    connection = sqlite3.connect(":memory:")
    for _, script in scripts():
        connection.executescript(script)
    connection.executescript(statement)
    if not refused:
        check_schema(connection, tmp_path)
        return
    with pytest.raises(StudyError, match="these are not the tables of an event log: another program has created the"):
        check_schema(connection, tmp_path)


def test_a_log_of_each_earlier_version_has_tables_of_ours(tmp_path: Path):
    connection = sqlite3.connect(":memory:")
    for _, script in scripts():
        for statement in statements(script):
            connection.execute(statement)
        assert not check_schema(connection, tmp_path)
    for _, statement in views():
        connection.execute(statement)
    assert check_schema(connection, tmp_path)


def test_sqlite_utils_knows_which_migrations_were_applied(tmp_path: Path):
    create(tmp_path / "events.db").close()
    database = sqlite_utils.Database(tmp_path / "events.db", execute_plugins=False)

    [name] = [name for name in database.table_names() if "migrations" in name]
    applied = [row["name"] for row in database[name].rows]
    database.close()

    assert applied == [name for name, _ in scripts()]


def test_an_upgrade_of_a_log_that_is_up_to_date_changes_nothing(tmp_path: Path):
    with written(tmp_path / "events.db") as log:
        before = log.query("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        upgrade(log._connection)

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
        assert log.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert same(log)


def _create(path: Path) -> None:
    create(path).close()


def test_a_process_that_is_killed_while_it_creates_a_log_leaves_an_empty_file_or_a_log(tmp_path: Path):
    """Everything that makes a file a log is in one transaction."""
    for count in itertools.count(1):
        path = tmp_path / f"{count}.db"
        killed = kill_at_statement(count, partial(_create, path))
        with contextlib.closing(sqlite3.connect(path)) as log:
            found = [log.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
            assert found in ([0, 0], [APPLICATION_ID, SCHEMA_VERSION])
            assert (found == [0, 0]) == (tables(log) == [])
        if not killed:
            break
    assert count > 20
    assert found != [0, 0]


def test_a_rebuild_creates_what_the_schema_lacks(tmp_path: Path):
    path = tmp_path / "events.db"
    written(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "DROP VIEW v_wait",
        "DROP INDEX step_held",
        "DROP TABLE funnel",
        "DROP INDEX event_by_step",
        "CREATE INDEX event_by_step ON event (version)",
    ):
        connection.execute(statement)
    connection.close()

    with reopen(path) as log:
        before = schema_drift(log._connection)
        log.rebuild()
        assert sorted(before) == [
            "index event_by_step", "index funnel_by_child", "index step_held", "table funnel", "view v_wait",
        ]  # fmt: skip
        assert schema_digest(log._connection) == SCHEMA_DIGEST
        assert verify(log).events == log.head.seq
        assert same(log)


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


def test_the_schema_stays_within_the_sql_of_rhel_8():
    """SQLite 3.26 knows none of these."""
    for name, sql in scripts() + views():
        code = "\n".join(line.partition("--")[0] for line in sql.upper().splitlines())
        for word in ("STRICT", "RETURNING", "GENERATED", "->>", "DROP COLUMN", "MATERIALIZED"):
            assert word not in code, (name, word)


def test_no_query_of_ours_reads_a_view():
    """A view of another version may be missing columns, and one of another user may have no end.

    The command line runs no SQL of its own; the help of `query` shows some.
    """
    names = "|".join(name for name, _ in views())
    package = Path(maestro_es.__file__).parent
    for path in set(package.rglob("*.py")) - set((package / "cli").rglob("*.py")):
        assert not re.search(rf"(?i)\b(?:FROM|JOIN)\s+(?:{names})\b", path.read_text()), path


def test_each_view_has_a_file_of_its_name():
    for name, statement in views():
        assert re.match(r"CREATE VIEW (\w+) AS ", statement)[1] == name  # type: ignore[index]  # it does
