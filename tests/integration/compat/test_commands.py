"""The functions behind Maestro's commands, for programs that call them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.compat.commands import cancel_study, run_study, setup_argparser, status_study, update_study_exec
from maestro_es.compat.conductor import Conductor

SPEC = "description: {name: s, description: d}\nstudy: [{name: a, description: d, run: {cmd: echo hello > here}}]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    Path("study.yaml").write_text(SPEC)


def test_a_study_is_run_and_its_status_shown(capfd: pytest.CaptureFixture[str]):
    args = setup_argparser().parse_args(["run", "-fg", "-y", "-s", "1", "-o", "out", "--hashws", "study.yaml"])

    assert (args.func, run_study(args)) == (run_study, 0)
    assert Path("out/a/here").read_text() == "hello\n"
    args = setup_argparser().parse_args(["status", "--layout", "legacy", "--disable-pager", "out", "none"])
    assert status_study(args) == 0
    said = capfd.readouterr().out
    assert "FINISHED" in said
    assert "none: there is no status table" in said


def test_a_program_that_calls_main_is_maestros_command(tmp_path: Path):
    (tmp_path / "maestro").write_text("from maestrowf.maestro import main\nmain()\n")
    words = [sys.executable, "-m", "maestro_es.compat", "maestro"]
    done = [
        subprocess.run([*words, *more], capture_output=True, text=True, check=False)
        for more in (["run", "-fg", "-y", "-s", "1", "-o", "out", "study.yaml"], ["--version"], [])
    ]

    assert [each.returncode for each in done] == [0, 0, 0], done
    assert (Path("out/a/here").read_text(), done[1].stdout) == ("hello\n", "maestro 1.2.1\n")
    assert done[2].stdout.startswith("usage: maestro")


def test_requests_are_left_in_the_directories(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "two"):
        Path(name).mkdir()
    update = ["update", "--rlimit", "2", "--sleep", "3", "--sleep", "4"]

    assert update_study_exec(setup_argparser().parse_args([*update, "one", "two"])) == 0
    assert Conductor.load_updated_study_exec("one") == {"rlimit": 2, "throttle": None, "sleep": 3}
    assert Conductor.load_updated_study_exec("two") == {"rlimit": 2, "throttle": None, "sleep": 4}
    assert update_study_exec(setup_argparser().parse_args([*update, "one", "two", "two"])) == 1
    assert update_study_exec(setup_argparser().parse_args(["update", "one"])) == 1
    assert cancel_study(setup_argparser().parse_args(["cancel", "-y", "one", "none"])) == 1
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert cancel_study(setup_argparser().parse_args(["cancel", "two"])) == 0
    assert [Path(name, ".cancel.lock").exists() for name in ("one", "two")] == [True, False]
    assert capsys.readouterr().out.splitlines() == [
        "--sleep needs one value for all directories, or one for each of them",
        "there is nothing to change: give --rlimit, --throttle or --sleep",
        "none: there is no such directory",
    ]
