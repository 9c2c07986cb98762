"""On a terminal nothing that comes from a file, a path or a scheduler is obeyed: it is shown."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause, Param
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under

#: A colour, the title of a window, a mark that turns the direction of what follows, a return of the carriage, DEL, an
#: 8-bit control sequence, and Unicode's own end of a line.
EVIL = "\x1b[31mred\x1b]0;title\x07\u202eright\rback\x7f\x9b2J\u2028end"

#: What may stand in an answer of ours: printable text, ends of lines, tabs, and our own colours.
HARMLESS = re.compile(r"(?:\x1b\[[0-9;]*m|\r\n|\n|\t|[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff])*")

COMMANDS = (
    ("status", "{}"), ("status", "--layout", "narrow", "{}"), ("status", "--layout", "legacy", "{}"),
    ("status", "--csv", "{}"), ("status", "--json", "{}"), ("status", "--disable-pager", "{}"),
    ("status", "--summary", "{}"), ("history", "{}"), ("history", "--csv", "{}"), ("history", "--json", "{}"),
    ("show", "{}", "a*"), ("why", "{}", "a*"), ("why", "{}"), ("blame", "{}", "a*"), ("verify", "{}"),
    ("query", "{}", "SELECT * FROM event"), ("query", "{}", "SELECT name FROM v_step"),
    ("query", "{}", "SELECT * FROM v_step", "--csv"), ("query", "{}", "SELECT data FROM event", "--json"),
    ("query", "{}", EVIL), ("query", "{}", "--saved", EVIL), ("query", "{}", f"SELECT 1 AS '{EVIL}'"),
    ("diff", "{}", "1"), ("diff", "{}", "1", "--json"), ("export", "{}"), ("tick", "--dry", "{}"), ("tick", "{}"),
    ("hold", "{}", "no such step " + EVIL), ("hold", "{}", "a*"), ("release", "{}", "a*"),
    ("pause", "{}", "--reason", EVIL), ("resume", "{}"), ("update", "{}", "--throttle", "3"), ("studies",),
    ("validate", "{}/evil.yaml"), ("run", "-y", "{}/evil.yaml"), ("run", "-y", "-o", "{}", "{}/good.yaml"),
    ("validate", "{}/none"), ("status", "{}/none"), ("import-log", "{}/evil.yaml", "{}/new"), ("import", "{}"),
    ("recover", "{}", "--from", "{}/evil.yaml"), ("rebuild", "{}"), ("cancel", "-y", "{}"), ("cron", "show"), (EVIL,),
    ("status", "--" + EVIL), ("run", "--wait", "-y", "-o", "{}-2", "{}/good.yaml"),
)  # fmt: skip

STUDY = """
description: {{name: "{name}", description: d}}
study:
    - {{name: "{step}", description: d, run: {{cmd: 'true', depends: ["{step}x"]}}}}
"""
GOOD = "description: {name: good, description: d}\nstudy: [{name: a, description: d, run: {cmd: 'true'}}]\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A study with evil in its path, in its names, in its parameters and in what its scheduler said."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["maestro-es", "run", EVIL])
    root = tmp_path / f"study-{EVIL}"
    made = make_directory(root)
    (root / "evil.yaml").write_text(STUDY.format(name="\\e[31m\\u202e\\r", step="\\e[31m\\u202e\\r"))
    (root / "good.yaml").write_text(GOOD)
    params = (Param(f"P{EVIL}", EVIL, EVIL, EVIL),)
    new_events: list[NewEvent] = [
        (None, e.StudyCreated(study_id="cafe" * 8, root=str(root), adapter={"type": "local"}, description=EVIL)),
        (None, e.StepTemplateAdded(name=f"a{EVIL}", description=EVIL, run={"cmd": f"echo {EVIL}"})),
        (1, e.StepAdded(name=f"a{EVIL}", template=f"a{EVIL}", workspace=f"a{EVIL}", params=params)),
        (1, e.StepFailed(cause=Cause.EXIT_CODE, at=1_000_000, message=EVIL)),
        (None, e.PollFailed(adapter=f"slurm{EVIL}", message=EVIL)),
    ]
    create_log(made, new_events, Runtime())
    yield root
    end_all_under(tmp_path)


#: What ends a line: for a terminal, for a program that reads lines, for Python, or for Unicode.
BREAKS = "two\nlines\rand\vmore\x85of\u2028them"


def test_a_message_is_one_line_whatever_the_paths_and_words_in_it_hold(tmp_path: Path, own_home: Path):
    folder = tmp_path / BREAKS
    folder.mkdir()
    (folder / "s.yaml").write_text(GOOD)
    root, spec, none, copy = (folder / name for name in ("study", "s.yaml", "none", "copy"))
    commands = [
        ("run", "-y", "-o", root, spec), ("run", "-y", "-o", root, none), ("run", "-n", "-o", root, spec),
        ("run", "-y", "-p", none, spec), ("validate", spec), ("validate", folder), ("status", root),
        ("status", folder), ("status", "--summary", root), ("status", "--at", BREAKS, root), ("history", root),
        ("why", root), ("show", root, BREAKS), ("hold", root, "a", "--reason", BREAKS), ("release", root, "a"),
        ("pause", root), ("resume", root), ("blame", root, "a"), ("update", root, "--throttle", "3"), ("verify", root),
        ("rebuild", root), ("export", root, "-o", copy), ("import-log", copy, folder / "other"),
        ("import-log", none, folder / "third"), ("recover", root, "--from", none), ("import", root), ("studies",),
        ("tick", root), ("tick", folder), ("cancel", root), ("cancel", "-y", root), ("reopen", root),
        ("retry", root, "a"), (BREAKS,),
    ]  # fmt: skip
    for words in commands:
        done = maestro_es(*words)
        lines = (done.stdout + done.stderr).splitlines()
        broken = [line for line in lines if line.startswith(("lines", "and", "more", "of", "them"))]
        assert (broken, "Traceback" in done.stderr) == ([], False), words
    root.rename(folder / "moved")
    [line] = maestro_es("tick", "--all").stderr.splitlines()
    assert "two\\nlines\\rand\\x0bmore\\x85of\\u2028them/study" in line


def on_a_terminal(*words: str, cwd: Path) -> tuple[int, bytes]:
    """Run the command line with a terminal for all its streams, and return what that was given."""
    ours, its = pty.openpty()
    command, env = [sys.executable, "-m", "maestro_es", *words], {**os.environ, "PAGER": "cat", "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=cwd, stdin=its, stdout=its, stderr=its, start_new_session=True, env=env
    ) as process:
        os.close(its)
        given = b""
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # the last one has closed it
                break
            if not some:
                break
            given += some
        code = process.wait(60)
    os.close(ours)
    return code, given


def test_what_comes_from_elsewhere_is_shown_and_never_obeyed(study: Path, tmp_path: Path):
    shown = ""
    for words in COMMANDS:
        code, given = on_a_terminal(*(word.replace("{}", str(study)) for word in words), cwd=tmp_path)
        text = given.decode().replace("\r\x1b[K", "")
        rest = HARMLESS.sub("", text)
        assert rest == "", (words, rest, text)
        assert "\x1b[31m" not in text.replace("\x1b[1;31m", ""), words
        assert "Traceback" not in text, (words, text)
        assert text or code == 0, words
        shown += text
    assert r"\x1b[31mred\x1b]0;title\x07\u202eright\rback\x7f\x9b2J\u2028end" in shown


def test_standard_error_that_cron_mails_is_clean(study: Path):
    for words in (("tick", "{}/none"), ("status", "{}/none"), ("validate", "{}/evil.yaml")):
        done = maestro_es(*(word.replace("{}", str(study)) for word in words))
        assert done.returncode == 1
        assert HARMLESS.sub("", done.stderr) == ""
        assert r"\u202eright" in done.stderr


def test_what_programs_read_is_exact(study: Path):
    command = [sys.executable, "-m", "maestro_es"]
    table = subprocess.run([*command, "status", "--csv", study], capture_output=True, check=True).stdout
    assert f"a{EVIL}".encode() in table
    [line] = [
        line for line in _export(command, study).split("\n") if line and json.loads(line)["type"] == "PollFailed"
    ]
    assert json.loads(line)["data"]["message"] == EVIL


def _export(command: list[str], study: Path) -> str:
    return subprocess.run([*command, "export", study], capture_output=True, check=True).stdout.decode()


def test_a_shell_is_told_how_a_word_goes_on():
    words = {"COMP_WORDS": "maestro-es stat", "COMP_CWORD": "1", "_MAESTRO_ES_COMPLETE": "bash_complete"}
    assert maestro_es(env=words).stdout == "plain,status\n"
