"""`Conductor`: a study runs to its end, in this process or in a later one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_es.adapters import spawner
from maestro_es.compat import Study, StudyStep
from maestro_es.compat.conductor import Conductor
from maestro_es.core.model import StudyStatus
from maestro_es.errors import RequestRefused


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    yield
    spawner.reap()


def study(*commands: str) -> Study:
    steps = []
    for number, command in enumerate(commands):
        step = StudyStep()
        step.name, step.description = f"s{number}", "a step"
        step.run |= {"cmd": command, "depends": [f"s{number - 1}"] if number else []}
        steps.append(step)
    made = Study("pi", {"name": "pi", "description": "about pi"}, steps=steps, out_path="out")
    made.setup_workspace()
    made.setup_environment()
    made.configure_study()
    return made


@pytest.mark.parametrize(("command", "ended"), [("true", StudyStatus.FINISHED), ("false", StudyStatus.FAILURE)])
def test_a_study_runs_to_its_end(command: str, ended: StudyStatus):
    conductor = Conductor(study("echo hello > hello", command))
    conductor.initialize({"type": "local"}, sleeptime=1)

    assert conductor.get_status("out")["State"] == ["INITIALIZED", "INITIALIZED"]
    assert conductor.monitor_study() is ended
    conductor.cleanup()
    assert (conductor.study_name, conductor.output_path, conductor.sleep_time) == ("pi", "out", 1)
    assert conductor.get_status("out")["State"] == ["FINISHED", ended.name.replace("FAILURE", "FAILED")]
    assert Path("out/s0/hello").read_text() == "hello\n"


@pytest.mark.parametrize("batch", [{"type": "nope"}, None, 5, {"type": "local", 1.5: object()}, {"type": "slurm"}])
def test_a_wrong_batch_block_creates_no_study(batch: Any):
    conductor = Conductor(study("true"))
    with pytest.raises((TypeError, ValueError)):
        conductor.initialize(batch)
    with pytest.raises((TypeError, ValueError)):
        conductor.initialize({"type": "local"}, sleeptime=-1)
    with pytest.raises(RequestRefused, match="call initialize before"):
        conductor.monitor_study()
    assert not list(Path("out").iterdir())


LATER = """\
from maestrowf.conductor import Conductor
conductor = Conductor(Conductor.load_study("out"))
conductor.initialize(Conductor.load_batch("out"), 1)
print(conductor.monitor_study().name)
"""


def test_a_study_that_is_stored_runs_in_a_later_process():
    Conductor.store_study(study("echo once >> ran"))
    Conductor.store_batch("out", {"type": "local", "shell": "/bin/sh"})
    Path("later.py").write_text(LATER)
    words = [sys.executable, "-m", "maestro_es.compat", "later.py"]
    said = [subprocess.check_output(words, text=True, timeout=60) for _ in range(2)]

    assert said == ["FINISHED\n", "FINISHED\n"]
    assert Path("out/s0/ran").read_text() == "once\n"
    assert Path("out/s0/s0.sh").read_text().startswith("#!/bin/sh\n")


def test_a_study_is_cancelled_by_a_file():
    conductor = Conductor(study("sleep 100", "true"))
    conductor.initialize({"type": "local"}, 1)
    Conductor.mark_cancelled("out")

    assert conductor.monitor_study() is StudyStatus.CANCELLED


def test_other_settings_are_asked_for_by_a_file():
    conductor = Conductor(study("true"))
    conductor.initialize({"type": "local"}, 1)
    Conductor.update_study_exec("out", {"rlimit": 7, "throttle": 3, "sleep": None})
    conductor.monitor_study()

    assert Conductor.load_updated_study_exec("out") == {}
    Conductor.update_study_exec("out", {"rlimit": 2, "throttle": None, "sleep": None})
    assert Conductor.load_updated_study_exec("out") == {"rlimit": 2, "throttle": None, "sleep": None}
    assert Conductor.load_updated_study_exec("out") == {}


def test_what_is_missing_is_named():
    Path("empty").mkdir()
    with pytest.raises(RequestRefused, match=r"empty: there must be one file \*\.study\.pkl, but there are 0"):
        Conductor.load_study("empty")
    with pytest.raises(RequestRefused, match=r"batch\.info: there is no such file"):
        Conductor.load_batch("empty")
    with pytest.raises(RequestRefused, match="study pi: call initialize before monitor_study"):
        Conductor(study("true")).monitor_study()
    assert Conductor.get_status("empty") == {}
