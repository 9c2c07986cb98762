"""Whatever is wrong: one clear message, exit 1, nothing changed, and never a traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es

GOOD = """
    description: {name: small, description: one step}
    study:
        - name: a
          description: says hello
          run: {cmd: echo hello}
    """


def _tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory, with its mode and content."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(root.rglob("*"))
    }


def _refuses(where: Path, *words: str | Path) -> str:
    """Run the command, which must refuse and change nothing; returns its message."""
    before = _tree(where)
    done = maestro_es(*words, cwd=where)
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert _tree(where) == before
    return done.stderr


def _spec(where: Path, text: str) -> Path:
    path = where / "study.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def _step(name: str, depends: str = "") -> str:
    return f"{{name: {name}, description: d, run: {{cmd: 'true'{depends}}}}}"


def _steps(*steps: str, more: str = "") -> str:
    head = "description: {name: small, description: d}\n"
    return head + "study: [" + ", ".join(steps) + "]\n" + more


BROKEN = {
    "broken YAML": ("study: [", "not valid YAML"),
    "an unknown key": (_steps("{name: a, description: d, run: {cmd: 'true', foo: 1}}"), "'foo'"),
    "a cycle": (_steps(_step("a", ", depends: [b]"), _step("b", ", depends: [a]")), "cycle"),
    "a step that waits for itself": (_steps(_step("a", ", depends: [a]")), "itself"),
    "an unknown parent": (_steps(_step("a", ", depends: [nobody]")), "nobody"),
    "two steps of one name": (_steps(_step("a"), _step("a")), "'a'"),
    "parameters of unequal length": (
        _steps(
            "{name: a, description: d, run: {cmd: 'echo $(P) $(Q)'}}",
            more="global.parameters: {P: {values: [1, 2], label: P.%%}, Q: {values: [1], label: Q.%%}}\n",
        ),
        "length",
    ),
    "labels that name one workspace": (
        _steps(
            "{name: a, description: d, run: {cmd: 'echo $(P)'}}",
            more="global.parameters: {P: {values: [a/b, ab], label: P.%%}}\n",
        ),
        "P.ab",
    ),
    "no description": ("study: [{name: a, description: d, run: {cmd: 'true'}}]\n", "description"),
    "no steps": ("description: {name: small, description: d}\nstudy: []\n", "study"),
    "an unknown scheduler": (_steps(_step("a"), more="batch: {type: condor}\n"), "condor"),
}


@pytest.mark.parametrize("command", [("run", "-y", "-o", "out"), ("validate",)], ids=["run", "validate"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_study_file_with_this_is_refused(tmp_path, case, command):
    text, word = BROKEN[case]
    message = _refuses(tmp_path, *command, _spec(tmp_path, text))
    assert word in message
    assert "study.yaml:" in message


def test_a_missing_study_file_is_refused(tmp_path):
    assert "nothing.yaml" in _refuses(tmp_path, "run", "-y", "nothing.yaml")


def test_all_problems_of_a_study_file_are_reported_at_once(tmp_path):
    text = _steps(_step("a", ", depends: [nobody]"), "{name: b, description: d, run: {cmd: 'true', foo: 1}}")
    message = _refuses(tmp_path, "validate", _spec(tmp_path, text))
    assert "nobody" in message
    assert "foo" in message


def test_options_that_make_no_sense_are_refused(tmp_path):
    spec = _spec(tmp_path, GOOD)
    assert "-a" in _refuses(tmp_path, "run", "-a", "0", spec)
    assert "-t" in _refuses(tmp_path, "run", "-t", "-1", spec)
    assert "pgen" in _refuses(tmp_path, "run", "--pargs", "a:1", spec)
    assert "nonsense" in _refuses(tmp_path, "nonsense")


def test_a_directory_that_can_not_be_made_is_refused(tmp_path):
    spec = _spec(tmp_path, GOOD)
    (tmp_path / "file").write_text("a file")
    assert "/proc/nowhere" in _refuses(tmp_path, "run", "-y", "-o", "/proc/nowhere/study", spec)
    assert "file" in _refuses(tmp_path, "run", "-y", "-o", "file/study", spec)
    assert "file" in _refuses(tmp_path, "run", "-y", "-o", "file", spec)


def test_a_directory_that_is_no_study_is_never_thrown_away(tmp_path):
    spec = _spec(tmp_path, GOOD)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "data").write_text("years of work")
    assert "precious" in _refuses(tmp_path, "run", "-y", "-o", "precious", spec)


READING = [
    ("status",), ("history",), ("tick",), ("pause",), ("resume",), ("verify",), ("rebuild",), ("cancel", "-y"),
    ("update", "--throttle", "1"),
]  # fmt: skip


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_directory_without_a_study_is_refused(tmp_path, command):
    (tmp_path / "empty").mkdir()
    assert "not a study directory" in _refuses(tmp_path, *command, "empty")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that has ended."""
    where = tmp_path_factory.mktemp("finished")
    done = maestro_es("run", "-y", "--wait", "-o", where / "study", _spec(where, GOOD))
    assert done.returncode == 0, done
    return where / "study" / "events.db"


def _study_with(tmp_path: Path, log: bytes) -> Path:
    study = tmp_path / "study"
    study.mkdir(mode=0o755)
    (study / "events.db").write_bytes(log)
    (study / "events.db").chmod(0o600)
    return study


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
@pytest.mark.parametrize("kept", [0, 1, 99, 4096, 5000])
def test_a_log_that_was_cut_off_is_refused(tmp_path, finished, command, kept):
    _study_with(tmp_path, finished.read_bytes()[:kept])
    assert "events.db" in _refuses(tmp_path, *command, "study")


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_foreign_database_is_refused(tmp_path, command):
    (tmp_path / "study").mkdir(mode=0o755)
    with sqlite3.connect(tmp_path / "study" / "events.db") as database:
        database.execute("CREATE TABLE event (seq INTEGER)")
    database.close()
    assert "not an event log of maestro-es" in _refuses(tmp_path, *command, "study")


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_log_of_a_newer_version_is_refused_by_the_version_that_wrote_it(tmp_path, finished, command):
    study = _study_with(tmp_path, finished.read_bytes())
    with sqlite3.connect(study / "events.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "maestro-es 0.1.0" in _refuses(tmp_path, *command, "study")


SPEAKING = [
    ("status", "study"), ("status", "study", "--json"), ("history", "study"), ("why", "study"), ("diff", "study", "1"),
    ("export", "study"), ("verify", "study"), ("tick", "--dry", "study"), ("status", "--help"),
]  # fmt: skip


@pytest.mark.parametrize("command", SPEAKING, ids="-".join)
def test_closed_streams_and_a_full_disk_behind_them_are_no_bug(finished, command):
    for streams in (">&-", ">&- 2>&- <&-", ">/dev/full"):
        words = ["env", "-u", "PYTHONUNBUFFERED", sys.executable, "-m", "maestro_es", *command]
        done = subprocess.run(
            ["sh", "-c", f'"$@" {streams}', "sh", *words],
            cwd=finished.parents[1],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        full = streams == ">/dev/full"
        message = done.stderr.replace("standard output can't be written: ", "")
        assert (done.returncode, message) == (full, "maestro-es: No space left on device\n" if full else ""), done


def test_a_list_of_studies_that_can_not_be_kept_is_one_line_with_a_remedy(tmp_path):
    spec = _spec(tmp_path, GOOD)
    for command in (("studies",), ("run", "-y", "-o", "study", spec)):
        done = maestro_es(*command, cwd=tmp_path, env={"HOME": os.devnull, "MAESTRO_ES_HOME": ""})
        assert done.returncode == 1, done
        assert done.stderr.startswith("maestro-es: /dev/null/.local/state/maestro-es"), done
        assert "MAESTRO_ES_HOME can name another directory" in done.stderr, done
        assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        (">/dev/full", "Study launched"), (">/dev/full 2>&1", ""), ("2>/dev/full", ""), (">&- 2>&-", ""),
        ("| true", ""),
    ],
    ids=["full", "both full", "errors full", "closed", "left"],
)  # fmt: skip
def test_a_study_that_was_launched_is_no_failure_though_nothing_can_be_printed(tmp_path, streams: str, told: str):
    """A script that takes it for one would launch a second study."""

    def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
        shell = ["bash", "-c", f'set -o pipefail; "$@" {streams}', "bash", sys.executable, "-m", "maestro_es"]
        return subprocess.run(
            [*shell, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )

    done = command("run", "-y", "-o", "study", _spec(tmp_path, GOOD.replace("cmd: ", "cmd: sleep 60; ")))
    assert (done.returncode, "study" in done.stderr) == (0, bool(told)), done
    assert told in done.stderr
    for words in (("pause",), ("resume",), ("update", "--throttle", "2"), ("rebuild",), ("cancel", "-y")):
        done = command(words[0], "study", *words[1:])
        assert (done.returncode in {0, 75}, bool(done.stderr)) == (True, bool(told)), (words, done)
    with sqlite3.connect(tmp_path / "study" / "events.db") as log:
        found = {name for (name,) in log.execute("SELECT DISTINCT type FROM event")}
    assert {"StudyPaused", "StudyResumed", "SettingsChanged", "CancelRequested"} <= found


def test_a_question_that_nobody_can_answer_is_left(tmp_path):
    script = '"$@" <&-'
    words = [sys.executable, "-m", "maestro_es", "run", "-o", "study", str(_spec(tmp_path, GOOD))]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "maestro-es: the question was not answered, so nothing was done; -y answers yes\n",
    )
    assert not (tmp_path / "study").exists()


def test_a_study_that_ends_with_its_first_tick_is_not_only_called_launched(tmp_path):
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: Batch job submission failed: Invalid partition' >&2; exit 1\n")
    sbatch.chmod(0o755)
    batch = "batch: {type: slurm, host: h, bank: b, queue: q}\n"
    spec = _spec(tmp_path, _steps("{name: a, description: d, run: {cmd: 'true', procs: 1}}", more=batch))
    path = f"{sbatch.parent}:{os.environ['PATH']}"
    done = maestro_es("run", "-y", "-o", "study", spec, cwd=tmp_path, env={"PATH": path})
    assert done.stdout.splitlines() == [
        f"Study launched in {tmp_path}/study",
        f"It has ended already: FAILURE; 'maestro-es why {tmp_path}/study' says more",
    ]


def test_what_is_no_utf_8_is_refused_in_one_line(tmp_path, finished):
    strange = os.fsdecode(b"b\xffd")
    spec = _spec(tmp_path, GOOD)
    for words in (
        ("run", "-y", "-o", strange, spec),
        ("update", finished.parent, "--throttle", "3", "--reason", strange),
        ("history", finished.parent, "--actor", strange),
        ("why", finished.parent, strange),
    ):
        message = _refuses(tmp_path, *words)
        assert "UTF-8" in message
        assert message.endswith("; rename it, or correct it\n")
        assert message.count("\n") == 1


def test_a_path_that_is_too_long_for_sqlite_is_refused_in_one_line_and_the_longest_one_is_not(tmp_path):
    spec = _spec(tmp_path, GOOD)
    longest = tmp_path
    while len(str(longest)) < 490 - 100:
        longest /= "d" * 80
    longest /= "s" * (490 - 1 - len(str(longest)))
    longest.parent.mkdir(parents=True)

    message = _refuses(tmp_path, "run", "-y", "-o", f"{longest}23", spec)
    assert message.endswith("SQLite can't open a file with such a long path; make it 2 bytes shorter\n")
    assert maestro_es("run", "-y", "-o", longest, spec, cwd=tmp_path).returncode == 0


def test_a_tick_that_could_be_meant_in_two_ways_is_refused_in_one_line(tmp_path, finished):
    study = finished.parent
    for words in (["--all", study], [study, "--all"], ["--all", "--queue"], ["--all", study, "--dry"]):
        message = _refuses(tmp_path, "tick", *words)
        assert message.startswith("maestro-es: --all can't be combined with STUDY or --queue. ")
        assert message.count("\n") == 1
    message = _refuses(tmp_path, "tick", "--queue", study, study)
    assert message.startswith("maestro-es: --queue takes only one STUDY. ")
    assert maestro_es("tick", "--queue", study, cwd=tmp_path).returncode == 0


def test_a_mistyped_study_is_named_and_not_the_directory_around(tmp_path):
    for command in ("status", "why", "retry"):
        assert "stduy: there is no such directory" in _refuses(tmp_path, command, "stduy")


def test_requests_that_make_no_sense_are_refused(finished):
    study = finished.parent
    assert "ended" in _refuses(study, "cancel", "-y")
    assert "ended" in _refuses(study, "pause")
    assert "not paused" in _refuses(study, "resume")
    assert "negative" in _refuses(study, "update", "--throttle", "-1")
    assert "nobody" in _refuses(study, "show", "nobody")
