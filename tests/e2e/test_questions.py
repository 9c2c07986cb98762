"""docs/questions.md answers as the program does: each command in it is run, and prints what stands there."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.store.migrations import views
from tests.e2e.conftest import Installed
from tests.fakes.night import make_night

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "questions.md").read_text()

pytestmark = pytest.mark.xdist_group("installed")

#: What stands in for the sqlite3 command line where there is none: it prints lists, as that does.
SQLITE3 = f"""#!{sys.executable}
import sqlite3, sys
header, path, sql = sys.argv[1:]
found = sqlite3.connect("file:" + path + "?mode=ro", uri=True).execute(sql)
rows = [[column[0] for column in found.description], *found]
print("\\n".join("|".join("" if value is None else str(value) for value in row) for row in rows))
"""


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
    """Return a directory with the study `heat`, made as the page says, and a sqlite3 where there is none."""
    place = tmp_path_factory.mktemp("questions")
    (place / "docs").symlink_to(installed.checkout / "docs")
    [command] = re.findall(r"^    (maestro-es import-log .*)$", PAGE, re.MULTILINE)
    (place / "bin").mkdir()
    (place / "bin" / "sqlite3").write_text(SQLITE3)
    (place / "bin" / "sqlite3").chmod(0o700)
    ask(installed, place, command)
    return place


def ask(installed: Installed, place: Path, command: str, *, programs: str = "") -> str:
    env = installed.environment(**({"PATH": programs} if programs else {}))
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize(("command", "answer"), [pytest.param(*pair, id=pair[0][:60]) for pair in questions()])
def test_a_question_has_the_answer_that_stands_there(installed, place, command, answer):
    assert ask(installed, place, command, programs=f"{place / 'bin'}:{installed.path}") == answer


@pytest.mark.skipif(not any(Path("/usr/bin").glob("sqlite3")), reason="there is no sqlite3 command line here")
def test_the_sqlite3_command_line_says_the_same(installed, place):
    for command, answer in questions():
        if command.startswith("sqlite3"):
            assert ask(installed, place, command, programs="/usr/bin:/bin") == answer


def test_the_command_of_the_installation_takes_the_same_sql(installed, place):
    command = '~/.local/share/maestro-es/bin/sqlite-utils heat/events.db "SELECT count(*) AS n FROM v_step" --csv'
    assert " ".join(command.split()[:2]) in " ".join(PAGE.split())
    assert ask(installed, place, command.replace("bin/sqlite-utils", "bin/python -m sqlite_utils")) == "n\n10"


def test_the_log_beside_the_page_is_that_of_the_night(installed, place):
    make_night(place / "night")
    made = [json.loads(line) for line in ask(installed, place, "maestro-es export night").splitlines()]
    shipped = [json.loads(line) for line in (DOCS / "heat.jsonl").read_text().splitlines()]
    assert [row["type"] for row in shipped] == [row["type"] for row in made]
    for old, new in zip(shipped, made, strict=True):
        assert new["data"].items() >= old["data"].items()  # fields that came later may be in the new one
        assert [new[key] for key in ("seq", "recorded_at", "step")] == [
            old[key] for key in ("seq", "recorded_at", "step")
        ]


def test_the_page_lists_every_view_and_its_columns(place):
    listed = re.findall(r"^\| `(v_\w+)` \|.*\|(.*)\|$", PAGE, re.MULTILINE)

    assert {name for name, _ in listed} == {name for name, _ in views()}
    with contextlib.closing(sqlite3.connect(place / "heat" / "events.db")) as log:
        for name, columns in listed:
            assert re.findall(r"`(\w+)`", columns) == [row[1] for row in log.execute(f"PRAGMA table_info({name})")]
