"""How long a query may take, how large its answer may be, and how a table fits a terminal."""

from __future__ import annotations

import pytest

from maestro_es.store import connection, user_query
from maestro_es.study import registry
from tests.integration.cli.test_reading import on_terminal

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'x' || i FROM n"


def test_a_query_that_takes_too_long_is_stopped(run, study, monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE", 0.3)
    ran = run("query", study, ENDLESS)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "maestro-es: the query took longer than 0 s and was stopped; narrow it with WHERE\n"


def test_an_answer_that_is_too_large_is_refused(run, study, monkeypatch):
    monkeypatch.setattr(user_query, "_LARGEST", 5_000_000)
    ran = run("query", study, LONG)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "maestro-es: the answer is larger than 5 MB; ask for fewer columns or rows, or add LIMIT\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "sql", ["SELECT * FROM v_attempt", "SELECT seq, time, step, type, data FROM v_event", "SELECT name FROM v_step"]
)
def test_a_table_fits_the_terminal_and_loses_nothing(study, sql, columns):
    lines = on_terminal(study, "query", sql, COLUMNS=str(columns)).splitlines()
    assert max(map(len, lines)) <= columns
    text = "".join("".join(lines).split())
    assert "a_N.1" in text
    assert "b_N.1" in text


def test_a_row_of_many_columns_is_a_list_on_a_narrow_terminal(study):
    lines = on_terminal(study, "query", "SELECT * FROM v_attempt LIMIT 2", COLUMNS="80").splitlines()
    assert lines[0] == "step:             a_N.1"
    assert lines[lines.index("") + 1] == "step:             a_N.2"


def test_long_cells_are_folded_at_blanks_and_numbers_stand_on_the_right(study):
    words = "SELECT 7 AS number, 'one two three four five six seven eight' AS words UNION SELECT 12, 'nine'"
    assert on_terminal(study, "query", words, COLUMNS="30").splitlines() == [
        "number  words",
        "     7  one two three four",
        "        five six seven eight",
        "    12  nine",
    ]


def test_history_and_studies_have_the_formats_of_a_query_by_the_same_names(run, study, monkeypatch, tmp_path):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    registry.register("cafe" * 8, study)
    for words in (("history", study), ("history", study, "--count-by", "type,day"), ("studies", "--at", "12")):
        assert run(*words, "--nl").out == run(*words, "--json").out != ""
    header, row = run("studies", "--at", "12", "--csv").out.splitlines()
    assert header.startswith("path,id,name,")
    assert row.startswith(f"{study},{'cafe' * 8},pi,")
