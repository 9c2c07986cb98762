"""`maestro-es env` and `run --export`: what steps see is chosen, shown and changed, and values stay in one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.e2e.test_environment import SHELL, Hangar, without_runners_ticks
from tests.fakes.faults import needs_strace
from tools.testbed.processes import wait_for


@pytest.fixture
def hangar(tmp_path: Path) -> Hangar:
    return Hangar(tmp_path)


@pytest.fixture
def waiting(hangar: Hangar) -> Iterator[Hangar]:
    """A study whose first step waits for `go`, and that is ticked by the test alone."""
    hangar.run()
    without_runners_ticks(hangar)
    yield hangar
    (hangar.folder / "go").touch()


def kept(hangar: Hangar) -> list[Path]:
    return sorted((hangar.root / ".maestro-es").glob("environment.*"))


def finish(hangar: Hangar) -> None:
    (hangar.folder / "go").touch()

    def has_ended() -> bool:
        hangar.like_cron("tick", hangar.root)
        return (hangar.root / "withsign" / "other").exists()

    wait_for(has_ended)


def test_names_are_shown_and_values_if_they_are_asked_for(waiting: Hangar):
    plain = waiting.like_cron("env", waiting.root).stdout
    assert "Umask:  0007\n" in plain
    assert "stack 67108864" in plain
    assert "MY_INPUT_DIR" in plain
    assert "/data" not in plain
    assert "BASH_FUNC_module%%" in plain
    values = waiting.like_cron("env", waiting.root, "--values").stdout
    assert any(line.split() == ["MY_INPUT_DIR", "/data"] for line in values.splitlines())
    [found] = map(json.loads, waiting.like_cron("env", waiting.root, "--json", "--values").stdout.splitlines())
    assert found["variables"]["MY_INPUT_DIR"] == "/data"
    assert (found["umask"], found["export"], found["limits"]["core"]) == ("0007", "ALL", 0)


def test_a_change_is_that_of_the_next_steps_and_the_log_has_no_value(waiting: Hangar):
    words = ("--set", "MY_INPUT_DIR=/hush", "--set=NEW=hush", "--unset", "output", "--reason", "other data")
    done = waiting.like_cron("env", waiting.root, *words)
    assert done.stdout.splitlines() == [
        f"{waiting.root}: added: NEW",
        f"{waiting.root}: changed: MY_INPUT_DIR",
        f"{waiting.root}: removed: output",
    ]
    assert len(kept(waiting)) == 1
    finish(waiting)
    first, later = waiting.seen("first")[0], waiting.seen("later")[0]
    assert (first["MY_INPUT_DIR"], first["output"]) == ("/data", "my own")
    assert (later["MY_INPUT_DIR"], later["NEW"], later.get("output")) == ("/hush", "hush", None)

    export = waiting.like_cron("export", waiting.root).stdout
    assert "hush" not in export
    assert "--set MY_INPUT_DIR=... --set=NEW=... --unset output" in export
    history = waiting.like_cron("history", waiting.root, "--type", "EnvironmentRecorded").stdout
    assert "other data" in history
    show = waiting.like_cron("show", waiting.root, "first").stdout
    assert "(the next attempt, added NEW, changed MY_INPUT_DIR, removed output)" in show
    changes = waiting.like_cron("diff", waiting.root, "9").stdout
    assert "Variables: added NEW; changed MY_INPUT_DIR; removed output\n" in changes
    assert "env" in waiting.like_cron("blame", waiting.root, "later").stdout.split("other data")[0]


def test_a_refresh_takes_everything_again_but_for_what_a_person_gave_a_value(waiting: Hangar):
    assert waiting.like_cron("env", waiting.root, "--set", "http_proxy=other").returncode == 0
    setup = f'{SHELL.partition("exec")[0]}\nexport MY_INPUT_DIR=/elsewhere FRESH=1\numask 027\nexec "$@"'
    done = waiting.from_a_shell("env", waiting.root, "--refresh", setup=setup)
    assert done.stdout.splitlines()[:2] == [f"{waiting.root}: added: FRESH", f"{waiting.root}: changed: MY_INPUT_DIR"]
    assert f"{waiting.root}: umask is 0027 now, was 0007" in done.stdout
    finish(waiting)
    env, other = waiting.seen("later")
    assert (env["MY_INPUT_DIR"], env["http_proxy"], env["FRESH"], other[2]) == ("/elsewhere", "other", "1", "0027")
    limits = waiting.from_a_shell("diff", waiting.root, "1").stdout.partition("Limits:")[2].splitlines()[0]
    assert "stack: unknown -> 67108864" in limits
    assert "-1" not in limits
    again = waiting.from_a_shell("env", waiting.root, "--refresh", setup=setup)
    assert again.stdout == f"{waiting.root}: nothing to change\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--unset", "NOT_THERE"], "NOT_THERE: not in the environment"),
        (["--set", "NOT_HERE"], "NOT_HERE: not set in this shell"),
        (["--set", "A-B=1"], "'A-B' is not the name"),
        (["--set", "SBATCH_WAIT=1"], "SBATCH_WAIT can't be set"),
        (["--set", "MAESTRO_ES_TOKEN=1"], "MAESTRO_ES_TOKEN can't be set"),
        (["--set", "A=1", "--refresh"], "--refresh records this whole shell"),
        (["--export", "NONE"], "--export needs --refresh"),
        (["--refresh", "--export", "A B"], "'A B' is not the name"),
        (["--at", "1", "--values"], "values are not kept"),
    ],
)
def test_what_can_not_be_changed_is_refused_in_one_line(waiting: Hangar, words: list[str], says: str):
    before = kept(waiting)
    done = waiting.like_cron("env", waiting.root, *words)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert says in line
    assert kept(waiting) == before


def test_a_name_that_a_refresh_does_not_find_is_warned_of(waiting: Hangar):
    done = waiting.from_a_shell("env", waiting.root, "--refresh", "--export", "MY_INPUT_DIR,BOGUS")
    warning = "maestro-es: warning: --export lists variables that are not set: BOGUS\n"
    assert (done.returncode, done.stderr) == (0, warning)


def test_a_change_that_dies_before_its_event_is_none(waiting: Hangar):
    needs_strace()
    before = kept(waiting)
    traced = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:signal=KILL:when=2"]
    program = [sys.executable, "-m", "maestro_es", "env", str(waiting.root), "--set", "A=1"]
    assert subprocess.run([*traced, *program], check=False).returncode != 0
    assert len(kept(waiting)) == 2
    finish(waiting)
    assert "A" not in waiting.seen("later")[0]
    assert waiting.like_cron("env", waiting.root, "--set", "B=1").returncode == 0
    assert len(kept(waiting)) == 1
    assert kept(waiting) != before


@pytest.mark.parametrize(
    ("export", "sees", "lacks"),
    [
        ("NONE", {"HOME", "PATH"}, {"MY_INPUT_DIR", "output"}),
        ("MY_INPUT_DIR,X='a,b'", {"HOME", "PATH", "MY_INPUT_DIR", "X"}, {"output"}),
        ("ALL,SSH_CONNECTION,X=a", {"MY_INPUT_DIR", "output", "SSH_CONNECTION", "X"}, set()),
    ],
)
def test_export_chooses_what_steps_see(hangar: Hangar, export: str, sees: set[str], lacks: set[str]):
    (hangar.folder / "go").touch()
    hangar.run("--wait", "--export", export)
    for step in ("first", "later"):
        env, other = hangar.seen(step)
        assert sees <= env.keys()
        assert not lacks & env.keys()
        assert other[2:4] == ["0007", "65536"] or other[1:3] == ["0007", "65536"]  # no module without its function
    assert "a,b" not in hangar.like_cron("export", hangar.root).stdout


def test_a_variable_that_a_step_will_not_have_is_named_before_it_runs(hangar: Hangar):
    spec = hangar.folder / "study.yaml"
    later = "name: later, description: d, run: {cmd: '"
    spec.write_text(spec.read_text().replace(later, f"{later}echo $SSH_CONNECTION $MY_INPUT_DIR; "))
    (hangar.folder / "go").touch()
    for words in (["validate"], ["run", "-y", "-o", hangar.root]):
        done = hangar.from_a_shell(*words, spec)
        assert done.returncode == 0
        [line] = done.stderr.splitlines()
        assert ": In study step 'later', $SSH_CONNECTION is set here" in line
        assert "--export 'ALL,SSH_CONNECTION'" in line
    assert hangar.from_a_shell("validate", "--export", "ALL,SSH_CONNECTION", spec).stderr == ""


@pytest.mark.parametrize(
    ("given", "remedy", "works"),
    [
        ("NONE", "--export 'MY_INPUT_DIR' passes it on", "MY_INPUT_DIR"),
        ("output", "--export 'output,MY_INPUT_DIR' passes it on", "output,MY_INPUT_DIR"),
        ("A=5,output", "Add ',MY_INPUT_DIR' to the end of your --export to pass it on", "A=5,output,MY_INPUT_DIR"),
    ],
)
def test_the_remedy_for_a_variable_that_a_step_will_not_have_keeps_what_was_given(
    hangar: Hangar, given: str, remedy: str, works: str
):
    spec = hangar.folder / "study.yaml"
    spec.write_text(spec.read_text().replace("run: {cmd: '. ", "run: {cmd: 'echo $MY_INPUT_DIR; . "))
    done = hangar.from_a_shell("validate", "--export", given, spec)
    assert len(done.stderr.splitlines()) == 2
    for line in done.stderr.splitlines():
        assert line.endswith(f". {remedy}.")
    assert hangar.from_a_shell("validate", "--export", works, spec).stderr == ""


def test_a_log_without_the_file_starts_no_step(waiting: Hangar):
    export = waiting.folder / "log.jsonl"
    assert waiting.like_cron("export", waiting.root, "-o", export).returncode == 0
    finish(waiting)
    assert "/data" not in export.read_text()
    new = waiting.folder / "new"
    assert waiting.like_cron("import-log", export, new).returncode == 0
    waiting.root.rename(waiting.folder / "old")
    done = waiting.like_cron("tick", new)
    assert done.returncode == 75
    assert f"'maestro-es env {new} --refresh'" in done.stderr
    assert waiting.like_cron("env", new, "--set", "A=1").returncode == 1
    listed = waiting.like_cron("env", new)
    assert listed.returncode == 1
    assert "MY_INPUT_DIR" in listed.stdout
    setup = f'{SHELL.partition("exec")[0]}\nexport FRESH=1; unset output\nexec nice -n 3 "$@"'
    refreshed = waiting.from_a_shell("env", new, "--refresh", setup=setup)
    assert refreshed.returncode == 0
    added, removed, unknown = refreshed.stdout.splitlines()
    assert (added, removed) == (f"{new}: added: FRESH", f"{new}: removed: output")
    assert unknown.startswith(f"{new}: perhaps changed, as the earlier values are lost: ")
    assert ", MY_INPUT_DIR, " in unknown
    changes = waiting.like_cron("diff", new, "9").stdout
    assert "added FRESH; removed output; perhaps changed, as the earlier values are lost " in changes
    assert waiting.like_cron("env", new).returncode == 0


def test_a_program_in_python_records_its_environment_too(tmp_path: Path):
    program = (
        "from maestro_es import ExecutionGraph, StudyStep\n"
        f"graph = ExecutionGraph.create({str(tmp_path / 'graph')!r})\n"
        "graph.add_step('a', StudyStep('a', 'd', {'cmd': 'echo $MINE > mine'}), 'a', 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "MINE": "yes"})
    maestro_es("tick", tmp_path / "graph")
    mine = tmp_path / "graph" / "a" / "mine"
    wait_for(lambda: mine.exists() and mine.read_text() == "yes\n")
