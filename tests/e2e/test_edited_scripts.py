"""Scripts that a person has edited in their workspaces: nothing of them is lost, and they run if that is asked for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es, stop_own_ticks
from tools.testbed.processes import wait_for

MEND = """
description: {name: mend, description: a typo in the command}
study:
- {name: a, description: d, run: {cmd: "ecoh hello > out"}}
- {name: b, description: d, run: {cmd: "cat $(a.workspace)/out", depends: [a]}}
"""
#: Its second script is written with the first one, and runs when that has run out of time.
LONG = """
description: {name: long, description: d}
study:
- name: a
  description: d
  run: {cmd: 'touch begun; sleep 60', restart: 'echo ours > out', walltime: '00:00:03'}
"""


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Launch a study whose runners can't ask for ticks."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))

    def start(text: str) -> Path:
        (tmp_path / "study.yaml").write_text(text)
        done = maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml")
        assert done.returncode == 0, done
        return stop_own_ticks(tmp_path / "study")

    return start


def to_the_end(study: Path) -> str:
    """Tick to the end of a study; returns how it ended, and what was said on the way."""
    said = [""]

    def ended() -> str:
        said[0] += maestro_es("tick", study).stderr
        found = json.loads(maestro_es("status", study, "--json", "--summary").stdout)["study"]["status"]
        return "" if found == "RUNNING" else f"{found}\n{said[0]}"

    return wait_for(ended)


def mend(script: Path) -> str:
    """Do as ``sed -i``: a new file in the place of the old one; returns its digest."""
    text = script.read_text().replace("ecoh", "echo")
    mode = script.stat().st_mode
    script.unlink()
    script.write_text(text)
    script.chmod(mode)
    return hashlib.sha256(text.encode()).hexdigest()


def events(study: Path, kind: str) -> list[dict[str, object]]:
    lines = maestro_es("history", study, "--type", kind, "--json").stdout.splitlines()
    return [json.loads(line)["data"] for line in lines]


def test_a_script_that_was_mended_by_hand_runs_as_it_stands(launch):
    study = launch(MEND)
    assert to_the_end(study).startswith("FAILURE")
    digest = mend(study / "a" / "a.sh")
    (study / "a" / "a.sh").chmod(0o644)  # as many editors leave it

    told = maestro_es("retry", study, "--failed", "--keep-script").stdout

    assert f"{study}: a/a.sh was edited: the edited script will run\n" in told
    assert to_the_end(study).startswith("FINISHED")
    assert (study / "a" / "out").read_text() == "hello\n"
    job = events(study, "JobSubmitted")[1]
    assert (job["script_digest"], job["edited"]) == (digest, True)
    assert hashlib.sha256((study / "a" / "a.sh").read_bytes()).hexdigest() == digest
    assert maestro_es("verify", study).returncode == 0


def test_retry_reports_an_edit_and_it_is_kept_beside_the_script_that_is_written_again(launch):
    study = launch(MEND)
    assert to_the_end(study).startswith("FAILURE")
    before = (study / "a" / "a.sh").read_text()
    digest = mend(study / "a" / "a.sh")
    with (study / "study.yaml").open("a") as copy:
        copy.write("# a remark\n")

    told = maestro_es("retry", study.name, "--failed", cwd=study.parent).stdout

    assert ": a/a.sh was edited: a tick will keep the edit as a.sh.edited and write the script again; " in told
    assert f"'maestro-es retry {study.name} a --keep-script' runs the edited script\n" in told
    assert ": study.yaml was edited, but this does not change this study" in told
    said = to_the_end(study)
    assert said.startswith("FAILURE")
    assert f"{study}/a/a.sh was edited: the edit was kept as a/a.sh.edited and does not run\n" in said
    assert hashlib.sha256((study / "a" / "a.sh.edited").read_bytes()).hexdigest() == digest
    assert (study / "a" / "a.sh").read_text() == before
    assert (study / "study.yaml").read_text().endswith("# a remark\n")
    [kept] = events(study, "ScriptSetAside")
    assert kept == {"script": "a/a.sh", "kept_as": "a/a.sh.edited", "digest": digest}

    (study / "a" / "a.sh").write_text((study / "a" / "a.sh").read_text() + "# another edit\n")
    assert "will keep the edit as a.sh.edited.2 and" in maestro_es("retry", study, "--failed").stdout
    assert maestro_es("retry", study, "a", "--keep-script").returncode == 0  # after all, as it has not run yet
    to_the_end(study)
    assert (study / "a" / "a.sh").read_text().endswith("# another edit\n")
    assert sorted(path.name for path in (study / "a").glob("*.edited*")) == ["a.sh.edited"]


def test_a_script_that_was_removed_is_no_edit_to_keep(launch):
    study = launch(MEND)
    assert to_the_end(study).startswith("FAILURE")
    (study / "a" / "a.sh").unlink()

    told = maestro_es("retry", study, "a", "--keep-script").stdout

    assert f"{study}: a/a.sh does not exist: a tick will write it as the log defines it\n" in told


def test_a_restart_script_that_is_edited_while_the_step_runs_is_kept_when_a_tick_restarts_it(launch):
    study = launch(LONG)
    wait_for((study / "a" / "begun").exists)
    script = study / "a" / "a.restart.sh"
    script.write_text(script.read_text().replace("ours", "mine"))

    said = to_the_end(study)

    assert said.startswith("FINISHED")
    [kept] = events(study, "ScriptSetAside")
    assert (kept["script"], kept["kept_as"]) == ("a/a.restart.sh", "a/a.restart.sh.edited")
    assert f"{script}.edited\n" in maestro_es("show", study, "a").stdout
    assert (study / "a" / "out").read_text() == "ours\n"
    assert "mine" in script.with_name("a.restart.sh.edited").read_text()


def test_an_edit_of_the_script_that_does_not_run_is_left_alone(launch):
    study = launch(LONG.replace("echo ours > out", "sleep 60"))
    assert to_the_end(study).startswith("FAILURE")
    script = study / "a" / "a.sh"
    script.write_text(script.read_text() + "# mine\n")

    assert f"{study}: a/a.sh was edited, but a.restart.sh will run\n" in maestro_es("retry", study, "a").stdout
    assert maestro_es("tick", study).returncode == 0
    assert script.read_text().endswith("# mine\n")
    assert maestro_es("cancel", "-y", study).returncode == 0
    to_the_end(study)


def test_what_we_have_written_ourselves_is_no_edit_though_the_study_was_moved(launch):
    study = launch(MEND.replace("ecoh", "false $(OUTPUT_PATH)/ecoh"))
    assert to_the_end(study).startswith("FAILURE")
    moved = study.with_name("moved")
    os.rename(study, moved)

    told = maestro_es("retry", moved, "--failed").stdout

    assert "edited" not in told
    assert to_the_end(moved).startswith("FAILURE")
    assert str(moved) in (moved / "a" / "a.sh").read_text()
    assert [*(moved / "a").glob("*.edited*")] == []
