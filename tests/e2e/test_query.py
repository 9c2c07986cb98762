"""``maestro-es query``: SQL on the log of a study, as a user types it. It reads, and can do nothing else."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils.utils import decode_base64_values

from maestro_es.core import events as e
from maestro_es.core.model import Param
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from tests.e2e.command import maestro_es
from tools.testbed.processes import wait_for

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

STEPS = "SELECT number, name, json_extract(params, '$.N') AS n, exit_code FROM v_step ORDER BY number"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three steps."""
    root = tmp_path_factory.mktemp("query") / "pi"
    created = e.StudyCreated(study_id="cafe" * 8, root=str(root), name="pi")
    template = e.StepTemplateAdded(name="a", description="", run={"cmd": "true"})
    steps = [
        (number, e.StepAdded(name=f"a_N.{number}", template="a", workspace=f"a/{number}", params=_params(number)))
        for number in (1, 2, 3)
    ]
    create_log(make_directory(root), [(None, created), (None, template), *steps], Runtime())
    return root


def _params(number: int) -> tuple[Param, ...]:
    return (Param("N", f"{number}, <ü>", f"N.{number}", "N"),)


@pytest.fixture
def unchanged(study: Path) -> Iterator[None]:
    """Check that a test leaves every file of the study as it was."""
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    yield
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


def ask(study: Path, *words: str) -> str:
    done = maestro_es("query", study, *words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(*words: str | Path, cwd: Path | None = None) -> str:
    """Return the one line in which a query is refused."""
    done = maestro_es("query", *words, cwd=cwd)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    return done.stderr.removeprefix("maestro-es: ").rstrip("\n")


def test_an_answer_is_a_table_csv_an_array_or_an_object_a_line(study):
    rows = [
        {"number": number, "name": f"a_N.{number}", "n": f"{number}, <ü>", "exit_code": None} for number in (1, 2, 3)
    ]
    assert ask(study, STEPS).splitlines() == [
        "number  name   n       exit_code",
        *(f"     {number}  a_N.{number}  {number}, <ü>         --" for number in (1, 2, 3)),
    ]
    table = list(csv.DictReader(ask(study, STEPS, "--csv").splitlines()))
    assert table == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    assert json.loads(ask(study, STEPS, "--json")) == rows
    assert [json.loads(line) for line in ask(study, STEPS, "--nl").splitlines()] == rows


def test_no_rows_are_a_header_an_empty_array_or_nothing(study):
    none = "SELECT seq, type FROM event WHERE 0"
    assert [ask(study, none, *form) for form in ((), ("--csv",), ("--json",), ("--nl",))] == [
        "seq  type\n", "seq,type\n", "[]\n", "",
    ]  # fmt: skip


def test_a_blob_is_hexadecimal_and_in_json_what_sqlite_utils_reads(study):
    digest = "SELECT digest FROM event WHERE seq = 1"
    [(known,)] = _direct(study, digest)
    assert ask(study, digest).split() == ask(study, digest, "--csv").split() == ["digest", known.hex()]
    [row] = json.loads(ask(study, digest, "--json"))
    assert decode_base64_values(row) == {"digest": known}


def _direct(study: Path, sql: str) -> list[tuple[bytes]]:
    with contextlib.closing(sqlite3.connect(f"file:{study}/events.db?mode=ro", uri=True)) as log:
        return log.execute(sql).fetchall()


def test_columns_of_one_name_stay_apart_in_json(study):
    assert json.loads(ask(study, "SELECT 1 AS a, 2 AS a", "--json")) == [{"a": 1, "a_2": 2}]
    assert ask(study, "SELECT 1 AS a, 2 AS a", "--csv") == "a,a\n1,2\n"


def test_parameters_are_given_by_name(study):
    sql = "SELECT name FROM v_step WHERE name = :step OR number = CAST(:number AS INTEGER)"
    given = ("-p", "step", "a_N.1", "--param", "number", "3")
    assert ask(study, sql, *given, "--csv").split() == ["name", "a_N.1", "a_N.3"]


def test_the_study_is_the_one_around_or_stands_before_or_after_the_sql(study, tmp_path):
    (study / "a").mkdir(exist_ok=True)
    sql = "SELECT name FROM v_step WHERE number = 2 --" + " and a long comment" * 20  # longer than a name may be
    for words, cwd in (
        ((sql,), study / "a"),
        ((study, sql), tmp_path),
        ((sql, study), tmp_path),
        (("pi", sql), study.parent),
    ):
        done = maestro_es("query", *words, cwd=cwd)
        assert (done.returncode, done.stdout, done.stderr) == (0, "name\na_N.2\n", ""), words


def test_saved_queries_are_listed_with_their_questions_and_sql(tmp_path):
    listed = maestro_es("query", "--list", cwd=tmp_path).stdout.splitlines()
    assert listed[0].split() == ["Name", "Parameters", "Question"]
    [attempts] = [line for line in listed if line.startswith("attempts ")]
    assert attempts.split(maxsplit=2) == ["attempts", "step", "How did all attempts of a step end?"]
    [data] = [
        each for each in json.loads(maestro_es("query", "--list", "--json").stdout) if each["name"] == "attempts"
    ]
    assert data["parameters"] == ["step"]
    assert data["sql"].startswith("SELECT ")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM event", "UPDATE step SET state = 'FINISHED'", "INSERT INTO step SELECT * FROM step",
        "DROP VIEW v_step", "CREATE TABLE x (y)", "CREATE TEMP TABLE x (y)", "ATTACH '{}/other.db' AS other", "BEGIN",
        "PRAGMA journal_mode = WAL", "PRAGMA user_version = 99", "PRAGMA writable_schema = ON", "DETACH main",
        "WITH x AS (SELECT 1) DELETE FROM event", "REINDEX", "ANALYZE", "EXPLAIN DELETE FROM event", "SAVEPOINT x",
        "SELECT load_extension('{}/evil.so')",
    ],
)  # fmt: skip
def test_sql_that_would_do_anything_but_read_is_refused(study, tmp_path, sql):
    line = refused(study, sql.format(tmp_path))
    assert line.startswith("a query can only read, so SQLite refused this: not authorized")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELEC 1", 'SQL error: near "SELEC": syntax error'),
        ("SELECT * FROM v_atempt", "SQL error: no such table: v_atempt; did you mean v_attempt?"),
        ("SELECT e.stepp FROM v_event e", "SQL error: no such column: e.stepp; did you mean step?"),
        ("SELECT json_extract('no', '$')", "SQL error: malformed JSON"),
        ("SELECT 1; SELECT 2", "SQL error: You can only execute one statement at a time."),
        ("-- nothing", None),
        ("", "this SQL returns no rows; a query is a SELECT, WITH or VALUES statement"),
        ("VACUUM", None),
    ],
)
def test_an_error_in_sql_is_one_line_in_the_words_of_sqlite(study, sql, line):
    found = refused(study, "--", sql)
    assert line is None or found == line


def test_what_a_query_needs_and_does_not_get_is_said_in_one_line(study, tmp_path):
    assert refused(study, "SELECT :step").endswith(":step. Give it with -p NAME VALUE.")
    assert refused(study, "--saved", "atempts") == (
        "no saved query is called 'atempts'; did you mean 'attempts'? 'maestro-es query --list' lists them"
    )
    assert refused(study, "--saved", "attempts") == ("the saved query 'attempts' needs step; it takes -p step VALUE")
    assert refused(study, "--saved", "retries", "-p", "step", "x").endswith(
        "has no parameter 'step'; it takes no parameters"
    )
    for words in (
        ("SELECT 1",),
        (tmp_path, "SELECT 1"),
    ):
        assert refused(*words, cwd=tmp_path).endswith("not a study directory, there is no events.db in it"), words
    assert refused(tmp_path / "none", "SELECT 1").endswith("none: there is no such directory")
    assert refused("none", "--saved", "retries", cwd=tmp_path).endswith("none: there is no such directory")
    assert refused(study).startswith("Give a query in SQL, or --saved NAME.")
    assert refused("./none", cwd=study).startswith("Give a query in SQL, or --saved NAME.")
    for wrong in ((study, "a", "b"), (study, study), (study, "SELECT 1", "--saved", "retries"), (study, "--list")):
        assert refused(*wrong).endswith("See 'maestro-es query --help'."), wrong


def test_ctrl_c_ends_a_query_that_would_never_end(study):
    process = subprocess.Popen(
        [sys.executable, "-m", "maestro_es", "query", study, ENDLESS],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        _wait_until_it_reckons(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "maestro-es: interrupted\n")


def _wait_until_it_reckons(pid: int) -> None:
    """Wait until a process has SQLite's file open and has used a second of its CPU since."""
    wait_for(
        lambda: any(os.path.realpath(handle).endswith("events.db") for handle in Path(f"/proc/{pid}/fd").iterdir())
    )
    start = _ticks(pid)
    wait_for(lambda: _ticks(pid) > start + os.sysconf("SC_CLK_TCK"))


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


#: One call of a function that compares 20 MB fifty million times. SQLite looks at its time limit between calls only.
UNINTERRUPTIBLE = "SELECT instr(zeroblob(50000000), zeroblob(20000000) || x'01')"

IMPATIENT = """
from maestro_es.cli import main, query
from maestro_es.store import connection
query._GRACE, connection._PATIENCE = 1, 0.1
main.main()
"""


def test_a_function_that_sqlite_can_not_interrupt_ends_with_the_process(study):
    command = [sys.executable, "-c", IMPATIENT, "query", study, UNINTERRUPTIBLE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGALRM, "", "")


def test_an_answer_that_is_not_read_to_its_end_leaves_no_traceback(study):
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i FROM n"
    for form in ("", "--csv", "--json", "--nl"):
        done = subprocess.run(
            ["sh", "-c", f'"{sys.executable}" -m maestro_es query "$0" "$1" {form} | head -n 1', study, sql],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A log of its own, for another program to change."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "events.db").write_bytes((study / "events.db").read_bytes())
    return tmp_path / "copy"


def meddle(copy: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(copy / "events.db", isolation_level=None)) as log:
        for statement in statements:
            log.execute(statement)


def test_a_view_that_another_program_has_changed_is_not_run(copy):
    [(made,)] = _direct(copy, "SELECT sql FROM sqlite_master WHERE name = 'v_step'")
    meddle(copy, "DROP VIEW v_step", str(made).replace("state,", "load_extension('evil') AS state,", 1))
    assert "another program has created the view 'v_step'" in refused(copy, "SELECT name FROM v_step")
    assert "another program has created the view 'v_step'" in refused(copy, "SELECT 1")


@pytest.mark.parametrize("view", ["SELECT load_extension('evil') AS x", "SELECT seq AS x FROM event", ENDLESS])
def test_a_view_that_another_program_has_added_is_not_run(copy, view):
    meddle(copy, f"CREATE VIEW other AS {view}")
    for sql in (
        "SELECT * FROM other",
        "SELECT count(*) FROM OTHER",
        "WITH w AS (SELECT * FROM other) SELECT 1 FROM w",
    ):
        assert "the view 'other' of this log is not one of this version" in refused(copy, sql)
    assert ask(copy, "SELECT count(*) AS n FROM event", "--csv") == "n\n6\n"
