"""What all reading commands have in common; started as a user does."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

COMMANDS = ("status", "history", "show", "studies")

#: What must not be paid for by a command that draws nothing.
SLOW = {"yaml", "jsonschema", "sqlite_utils", "rich"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "maestro_es", *map(str, words)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_one_example_and_a_sentence(run, name):
    out = run(name, "--help").out
    assert len(re.findall(rf"Examples?:\n    maestro-es {name}", out)) == 1
    assert "--json" in out


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--summary"),
        ("status", "--json"),
        ("status", "--csv"),
        ("history",),
        ("history", "--csv"),
        ("show", "z"),
        ("studies",),
        ("studies", "--csv"),
        ("history", "--count-by", "type", "--nl"),
    ],
    ids=" ".join,
)
def test_a_command_that_draws_nothing_imports_nothing_slow(study, words):
    call = "cli(sys.argv[1:], standalone_mode=False)"
    code = "import sys; from maestro_es.cli.commands import cli\n"
    code += f"try: {call}\nfinally: print(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=study, capture_output=True, text=True, check=False, timeout=60
    )
    assert SLOW.isdisjoint(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("history",), ("query", "SELECT * FROM event")], ids=" ".join
)
def test_a_reader_that_stops_reading_leaves_no_traceback(study, words):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        done = subprocess.run(
            command(*words), cwd=study, stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.stderr == ""


def test_what_the_encoding_lacks_is_a_question_mark(study):
    done = subprocess.run(
        command("status", "--layout", "flat"),
        cwd=study,
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout.isascii()
    assert b"a_N.1" in done.stdout


def on_terminal(folder, *words, **environment):
    """Return what a command writes to a terminal of 200 columns, with cat for a pager."""
    master, slave = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "PAGER": "cat", **environment}
    variables.pop("NO_COLOR", None)
    with subprocess.Popen(
        command(*words), cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=variables
    ) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # Linux says so when the other end was closed
                break
            if not block:
                break
            text += block
        process.wait(60)
    os.close(master)
    return text.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_the_same_words(study):
    drawn = on_terminal(study, "status", "--layout", "flat", "--disable-pager")
    assert "\x1b[" in drawn
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert "upstream: a_N.2 is FAILED" in plain
    assert "┃ Step Name ┃" in plain


def test_colours_and_the_pager_can_be_left_out(study):
    drawn = on_terminal(study, "status", "--layout", "flat", "--disable-theme", "--disable-pager", PAGER="head -1")
    assert "┃ Step Name ┃" in drawn
    assert "\x1b" not in drawn


def test_a_pager_that_is_not_known_to_take_colours_gets_none(study):
    drawn = on_terminal(study, "status", "--layout", "flat", PAGER="cat")
    assert "┃ Step Name ┃" in drawn
    assert "\x1b" not in drawn


def test_the_users_pager_is_used_on_a_terminal(study):
    assert on_terminal(study, "status", "--layout", "flat", PAGER="head -1") == "Study:     pi\n"
