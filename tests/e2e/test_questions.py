"""docs/questions.md answers as the program does: each command in it is run, and prints what stands there."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.audit.saved_queries import saved_queries
from maestro_es.store.migrations import views
from tests.e2e.conftest import Installed
from tests.fakes.ids import short_id
from tests.fakes.night import make_night

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "questions.md").read_text()

pytestmark = pytest.mark.xdist_group("installed")

#: A saved query on the page: its SQL, and the command that runs it, which may be the first of several in its block.
SAVED = re.findall(
    r"```sql\n(.*?)\n```\n\n```console\n\$ maestro-es query heat --saved (\S+)([^\n]*)\n", PAGE, re.DOTALL
)


def questions() -> Iterator[tuple[str, str]]:
    """Yield each command of the page and what it prints."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in block.removeprefix("$ ").split("\n$ "):
            lines = part.splitlines(keepends=True)
            size = next(size for size in range(1, len(lines) + 1) if _is_whole("".join(lines[:size])))
            yield "".join(lines[:size]).rstrip("\n"), "".join(lines[size:]).rstrip("\n")


def _is_whole(command: str) -> bool:
    try:
        return bool(shlex.split(command)) and not command.endswith("\\\n")
    except ValueError:
        return False


@pytest.fixture(scope="module")
def place(installed: Installed, tmp_path_factory):
    """Return a directory with the study `heat`, made as the page says."""
    place = tmp_path_factory.mktemp("questions")
    (place / "docs").symlink_to(installed.checkout / "docs")
    [command] = re.findall(r"^    (maestro-es import-log .*)$", PAGE, re.MULTILINE)
    ask(installed, place, command)
    return place


def ask(installed: Installed, place: Path, command: str, *, programs: str = "") -> str:
    env = installed.environment(**({"PATH": programs} if programs else {}))
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("command", "answer"),
    [pytest.param(*pair, id=short_id(pair[0].removeprefix("maestro-es "))) for pair in questions()],
)
def test_a_question_has_the_answer_that_stands_there(installed, place, command, answer):
    assert ask(installed, place, command) == answer


def test_the_sql_on_the_page_is_that_of_the_saved_queries():
    shown = {name: sql for sql, name, _ in SAVED}
    assert shown == {query.name: query.sql for query in saved_queries()}
    assert PAGE.count("```sql\n") == PAGE.count(" --saved ") == len(SAVED)


@pytest.mark.parametrize("query", saved_queries(), ids=[query.name for query in saved_queries()])
def test_a_saved_query_says_what_it_answers_and_runs_with_its_parameters(installed, place, query):
    assert query.question[0].isupper()
    assert "?" in query.question
    given = " ".join(f"-p {parameter} SIZE" for parameter in query.parameters)
    header, *_ = csv.reader(
        ask(installed, place, f"maestro-es query heat --saved {query.name} {given} --csv").splitlines()
    )
    assert header


@pytest.mark.skipif(not any(Path("/usr/bin").glob("sqlite3")), reason="there is no sqlite3 command line here")
@pytest.mark.parametrize(("sql", "name", "given"), SAVED, ids=[name for _, name, _ in SAVED])
def test_the_sqlite3_command_line_says_the_same(installed, place, sql, name, given):
    words = shlex.split(given)
    values = zip(words[1::3], words[2::3], strict=True)
    script = ["/usr/bin/sqlite3", "-csv", "-header", "heat/events.db"]
    lines = [f".parameter set :{parameter} \"'{value}'\"\n" for parameter, value in values]
    done = subprocess.run(
        script, cwd=place, input=f"{''.join(lines)}{sql}\n", capture_output=True, text=True, check=True
    )
    assert list(csv.reader(done.stdout.splitlines())) == list(
        csv.reader(ask(installed, place, f"maestro-es query heat --saved {name}{given} --csv").splitlines())
    )


def test_the_command_of_the_installation_takes_the_same_sql(installed, place):
    command = '~/.local/share/maestro-es/bin/sqlite-utils heat/events.db "SELECT count(*) AS n FROM v_step" --csv'
    assert " ".join(command.split()[:2]) in " ".join(PAGE.split())
    assert ask(installed, place, command.replace("bin/sqlite-utils", "bin/python -m sqlite_utils")) == "n\n10"


def holds(new: object, old: object) -> bool:
    """Whether a value has all fields of an earlier one, with the same values."""
    if isinstance(new, dict) and isinstance(old, dict):
        return new.keys() >= old.keys() and all(holds(new[key], value) for key, value in old.items())
    return new == old


def test_the_log_beside_the_page_is_that_of_the_night(installed, place):
    make_night(place / "night")
    made = [json.loads(line) for line in ask(installed, place, "maestro-es export night").splitlines()]
    shipped = [json.loads(line) for line in (DOCS / "heat.jsonl").read_text().splitlines()]
    assert [row["type"] for row in shipped] == [row["type"] for row in made]
    for old, new in zip(shipped, made, strict=True):
        assert holds(new["data"], old["data"])  # fields that came later may be in the new one
        assert [new[key] for key in ("seq", "recorded_at", "step")] == [
            old[key] for key in ("seq", "recorded_at", "step")
        ]


def test_the_page_lists_every_view_and_its_columns(place):
    listed = re.findall(r"^\| `(v_\w+)` \|.*\|(.*)\|$", PAGE, re.MULTILINE)

    assert {name for name, _ in listed} == {name for name, _ in views()}
    with contextlib.closing(sqlite3.connect(place / "heat" / "events.db")) as log:
        for name, columns in listed:
            assert re.findall(r"`(\w+)`", columns) == [row[1] for row in log.execute(f"PRAGMA table_info({name})")]
