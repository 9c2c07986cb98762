"""Studies whose steps are rerun with commands, and that nothing drives but ``tick --all``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es, stop_own_ticks
from tools.testbed.processes import wait_for

HEAD = """
description: {name: repair, description: a study to repair}
study:
"""
#: The second step runs out of time until it has been started four times.
SLOW = """
    - name: make
      description: d
      run: {cmd: 'echo make >> $(OUTPUT_PATH)/ledger'}
    - name: slow
      description: d
      run:
        cmd: 'echo slow >> $(OUTPUT_PATH)/ledger; sleep 60'
        restart: 'echo slow >> $(OUTPUT_PATH)/ledger; [ $(grep -c slow $(OUTPUT_PATH)/ledger) -gt 3 ] || sleep 60'
        walltime: '00:00:02'
        depends: [make]
    - name: last
      description: d
      run: {cmd: 'echo last >> $(OUTPUT_PATH)/ledger', depends: [slow]}
"""
FAN = """
    - name: first
      description: d
      run: {cmd: 'echo first >> $(OUTPUT_PATH)/ledger'}
    - name: fan
      description: d
      run: {cmd: 'echo fan_$(N) >> $(OUTPUT_PATH)/ledger; date +%N > n', depends: [first]}
    - name: each
      description: d
      run: {cmd: 'echo each_$(N) >> $(OUTPUT_PATH)/ledger', depends: [fan]}
    - name: last
      description: d
      run: {cmd: 'echo last >> $(OUTPUT_PATH)/ledger; cat $(fan.workspace)/*/n > all', depends: [fan_*]}
    - name: aside
      description: d
      run: {cmd: 'echo aside >> $(OUTPUT_PATH)/ledger'}
global.parameters:
    N: {values: [1, 2, 3], label: N.%%}
"""
#: Its checkpoint counts how often the step has gone on.
CHECKPOINT = """
    - name: sim
      description: d
      run:
        cmd: 'echo 1 > ckpt; echo cmd >> trace; sleep 60'
        restart: 'echo from $(cat ckpt) >> trace; echo $(( $(cat ckpt) + 1 )) > ckpt; sleep 60'
        walltime: '00:00:01'
"""


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Launch a study whose runners can't ask for ticks."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))

    def start(steps: str) -> Path:
        (tmp_path / "study.yaml").write_text(HEAD + steps)
        done = maestro_es("run", "-y", "-o", tmp_path / "study", tmp_path / "study.yaml")
        assert done.returncode == 0, done
        return stop_own_ticks(tmp_path / "study")

    return start


def status(study: Path) -> dict[str, object]:
    found = json.loads(maestro_es("status", study, "--json", "--summary").stdout)["study"]
    assert isinstance(found, dict)
    return found


def tick_to_the_end(study: Path) -> str:
    """Do what cron does until the study has ended; returns how, and what was said on the way."""
    said = ""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        done = maestro_es("tick", "--all")
        said += done.stdout + done.stderr
        found = status(study)["status"]
        if found != "RUNNING":
            return f"{found} {said}".strip()
        time.sleep(0.2)
    pytest.fail(f"not at its end: {status(study)}")


def ledger(study: Path) -> Counter[str]:
    return Counter((study / "ledger").read_text().split())


def test_a_study_that_failed_is_retried_with_a_raised_limit_and_finished_by_cron_alone(launch):
    study = launch(SLOW)
    failed = f"FAILURE maestro-es: {study}: the study has ended, and 2 of its steps have failed"
    assert tick_to_the_end(study) == failed
    assert ledger(study) == {"make": 1, "slow": 2}

    done = maestro_es("retry", study, "--failed", "--reason", "once more as it is")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{study}: will run: slow (its restart script), last\n" in done.stdout
    (study / "ledger").write_text("make\n")
    assert tick_to_the_end(study) == failed

    done = maestro_es("retry", study, "--failed", "--rlimit", "9", "--reason", "it needs more restarts")
    assert f"{study}: restart_limit is 9 now, was 1\n" in done.stdout
    assert tick_to_the_end(study) == "FINISHED"
    assert ledger(study) == {"make": 1, "slow": 4, "last": 1}
    assert maestro_es("verify", study).returncode == 0
    told = maestro_es("history", study, "--type", "StudyReopened").stdout
    assert "once more as it is" in told
    assert "it needs more restarts" in told


def test_a_step_in_the_middle_of_a_finished_study_runs_again_with_its_descendants_and_nothing_else(launch):
    study = launch(FAN)
    assert tick_to_the_end(study) == "FINISHED"
    once = ledger(study)
    assert set(once.values()) == {1}

    refused = maestro_es("retry", study, "fan_N.2")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "fan_N.2 can't run again alone, because each_N.2, last ran after it: add --descendants" in refused.stderr
    assert maestro_es("tick", "--all").returncode == 0
    assert ledger(study) == once

    assert maestro_es("retry", study, "fan_N.2", "--descendants", "--reason", "a better seed").returncode == 0
    assert tick_to_the_end(study) == "FINISHED"
    assert ledger(study) - once == {"fan_2": 1, "each_2": 1, "last": 1}
    assert maestro_es("verify", study).returncode == 0


def test_of_many_who_retry_at_once_while_cron_ticks_one_does(launch):
    study = launch(SLOW.replace("'00:00:02'", "'00:00:09'").replace("sleep 60'", "exit 7'", 1))
    assert tick_to_the_end(study).startswith("FAILURE")

    command = [sys.executable, "-m", "maestro_es"]
    retries = [
        subprocess.Popen([*command, "retry", study, "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    ticks = [subprocess.Popen([*command, "tick", "--all"], stderr=subprocess.DEVNULL) for _ in range(3)]
    said = [program.communicate(timeout=60) for program in retries]
    assert [program.wait(60) for program in ticks] == [0, 0, 0]

    assert min(program.returncode for program in retries) == 0
    assert all(out.count("\n") + err.count("\n") <= 2 for out, err in said)
    assert not any("Traceback" in err for _, err in said)
    resets = maestro_es("history", study, "slow", "--type", "StepReset", "--json").stdout
    assert resets.count('"StepReset"') == sum(program.returncode == 0 for program in retries)
    tick_to_the_end(study)
    assert ledger(study)["slow"] == maestro_es("history", study, "slow", "--json").stdout.count('"JobSubmitted"')
    assert maestro_es("verify", study).returncode == 0


def test_a_study_is_cancelled_by_mistake_and_goes_on(launch):
    study = launch(SLOW)
    assert maestro_es("cancel", "-y", study).returncode == 0
    assert tick_to_the_end(study) == "CANCELLED"

    assert maestro_es("reopen", study, "--reason", "by mistake").returncode == 0
    assert maestro_es("skip", study, "slow", "--reason", "not needed").returncode == 0
    assert maestro_es("hold", study, "last").returncode == 0
    for _ in range(3):
        assert maestro_es("tick", "--all").stderr == ""
        time.sleep(0.5)
    assert (status(study)["status"], status(study)["held_up"]) == ("RUNNING", True)
    assert maestro_es("release", study, "last").returncode == 0
    assert tick_to_the_end(study) == "FINISHED"
    assert ledger(study)["last"] == 1
    assert "skipped by" in maestro_es("show", study, "slow").stdout


def trace(study: Path) -> list[str]:
    return (study / "sim" / "trace").read_text().splitlines()


def test_a_step_that_is_retried_goes_on_from_its_checkpoint(launch):
    study = launch(CHECKPOINT)
    assert tick_to_the_end(study).startswith("FAILURE")
    assert trace(study) == ["cmd", "from 1"]
    told = maestro_es("update", study, "--rlimit", "2").stdout
    assert "use 'maestro-es retry --failed'" in told

    told = maestro_es("retry", study, "--failed").stdout
    assert f"{study}: will run: sim (its restart script)\n" in told
    assert maestro_es("why", study, "sim").stdout.splitlines()[0].endswith("; it will run its restart script")
    assert re.search(r"(?m)^Runs with: +its restart script$", maestro_es("show", study, "sim").stdout)
    assert json.loads(maestro_es("show", study, "sim", "--json").stdout)["script"] == "restart"
    assert tick_to_the_end(study).startswith("FAILURE")
    assert trace(study)[2:] == ["from 2", "from 3", "from 4"]

    told = maestro_es("retry", study, "sim", "--from-scratch").stdout
    assert f"{study}: will run: sim (cmd, from the beginning)\n" in told
    assert maestro_es("why", study, "sim").stdout.splitlines()[0].endswith("; it will run cmd, from the beginning")
    assert tick_to_the_end(study).startswith("FAILURE")
    assert trace(study)[5:] == ["cmd", "from 1", "from 2"]
    assert maestro_es("verify", study).returncode == 0


def test_a_step_that_was_cancelled_goes_on_from_its_checkpoint_when_the_study_is_reopened(launch):
    study = launch(CHECKPOINT.replace("'00:00:01'", "'00:10:00'"))
    for words, expected in (((), "from 1"), (("--from-scratch",), "cmd"), ((), "from 1")):
        wait_for(lambda: (study / "sim" / "ckpt").exists() and (study / "sim" / "ckpt").read_text() != "")
        assert maestro_es("cancel", "-y", study).returncode == 0
        assert tick_to_the_end(study) == "CANCELLED"
        before = len(trace(study))
        assert maestro_es("reopen", study, *words).returncode == 0
        assert maestro_es("tick", study).returncode == 0
        wait_for(lambda: len(trace(study)) > before)  # noqa: B023 - asked at once
        assert trace(study)[before:] == [expected]
    assert maestro_es("cancel", "-y", study).returncode == 0
    assert tick_to_the_end(study) == "CANCELLED"
