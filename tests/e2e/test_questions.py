"""docs/questions.md answers as the program does: each command in it is run, and prints what stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.store.migrations import scripts
from tests.fakes.night import make_night

PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()

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
def place(tmp_path_factory):
    """Return a directory with the study `heat`, and programs by the names that the page uses."""
    place = tmp_path_factory.mktemp("questions")
    make_night(place / "heat")
    (place / "bin").mkdir()
    for name, script in {
        "maestro-es": f'#!/bin/sh\nexec "{sys.executable}" -m maestro_es "$@"\n',
        "sqlite3": SQLITE3,
    }.items():
        (place / "bin" / name).write_text(script)
        (place / "bin" / name).chmod(0o700)
    return place


def ask(place: Path, command: str, *, programs: str) -> str:
    env = {**os.environ, "TZ": "UTC", "PATH": programs}
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize(("command", "answer"), [pytest.param(*pair, id=pair[0][:60]) for pair in questions()])
def test_a_question_has_the_answer_that_stands_there(place, command, answer):
    assert ask(place, command, programs=f"{place / 'bin'}:{os.environ['PATH']}") == answer


@pytest.mark.skipif(not any(Path("/usr/bin").glob("sqlite3")), reason="there is no sqlite3 command line here")
def test_the_sqlite3_command_line_says_the_same(place):
    for command, answer in questions():
        if command.startswith("sqlite3"):
            assert ask(place, command, programs="/usr/bin:/bin") == answer


def test_there_are_questions_enough_and_an_answer_to_each():
    assert len(re.findall(r"^## ", PAGE, re.MULTILINE)) > 10
    assert all(answer.count("\n") >= 1 for _, answer in questions())


def test_the_page_lists_every_view():
    views = {name for _, sql in scripts() for name in re.findall(r"CREATE VIEW (\w+)", sql)}
    assert views == set(re.findall(r"^\| `(v_\w+)` \|", PAGE, re.MULTILINE))
