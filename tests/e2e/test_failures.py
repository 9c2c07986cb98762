"""The failures of a study in groups: as ``why`` and ``run --wait`` print them, and as data."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under

STUDY = """\
description: {name: meshes, description: d}
study:
- name: run
  description: d
  run:
    cmd: |
      [ $(SIZE) != 40 ] || { echo "mesh $(SEED) is inverted" >&2; exit 3; }
      [ $(SEED) != 7 ] || kill -9 $$
- {name: post, description: d, run: {cmd: "true", depends: [run]}}
- {name: last, description: d, run: {cmd: "true", depends: [post_*]}}
global.parameters:
  SIZE: {values: [10, 10, 10, 20, 20, 20, 40, 40, 40], label: SIZE.%%}
  SEED: {values: [5, 6, 7, 5, 6, 7, 5, 6, 7], label: SEED.%%}
"""

FAILURES = """\
5 steps have failed, timed out or been cancelled; 6 steps were not run because of them:
  3 x exit code 3: mesh 5 is inverted
      steps of run, 3 of the 3 with SIZE = 40; the first is run_SEED.5.SIZE.40
      {first} steps were not run because of them
      maestro-es logs {root} run_SEED.5.SIZE.40
      maestro-es retry {root} 'run_*SIZE.40*'
  2 x exit code 137: killed by SIGKILL, often because the memory was used up
      steps of run, 2 of the 3 with SEED = 7; the first is run_SEED.7.SIZE.10
      {second} steps were not run because of them
      maestro-es logs {root} run_SEED.7.SIZE.10
      maestro-es retry {root} run_SEED.7.SIZE.10 run_SEED.7.SIZE.20
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a study, which has ended, and with the output of the command that ran it."""
    folder = tmp_path_factory.mktemp("failures")
    (folder / "meshes.yaml").write_text(STUDY)
    ran = maestro_es("run", "-y", "--wait", "-o", "s", "meshes.yaml", cwd=folder)
    assert ran.returncode == 2
    (folder / "output").write_text(ran.stdout)
    return folder


def failures(folder: Path) -> list[dict[str, object]]:
    [answer] = map(json.loads, maestro_es("why", "s", "--json", cwd=folder).stdout.splitlines())
    found: list[dict[str, object]] = answer["failures"]
    return found


def test_the_groups_say_what_failed_and_which_values_they_share(folder):
    first, second = failures(folder)
    assert (first["template"], first["outcome"], first["error"]) == ("run", "exit code 3", "mesh 5 is inverted")
    assert first["steps"] == [f"run_SEED.{seed}.SIZE.40" for seed in (5, 6, 7)]
    assert first["shared"] == [{"parameter": "SIZE", "values": ["40"], "failed": 3, "steps": 3}]
    assert second["steps"] == ["run_SEED.7.SIZE.10", "run_SEED.7.SIZE.20"]
    assert second["shared"] == [{"parameter": "SEED", "values": ["7"], "failed": 2, "steps": 3}]
    assert first["dependents"] + second["dependents"] == 6  # type: ignore[operator] # the last step counts for one


def test_the_status_for_programs_has_the_same_groups(folder):
    def status(*options: str) -> dict[str, object]:
        data: dict[str, object] = json.loads(maestro_es("status", "s", "--json", *options, cwd=folder).stdout)
        return data

    assert status()["failures"] == status("--state", "running")["failures"] == failures(folder)
    assert status("--at", "5")["failures"] is None


def test_why_and_the_end_of_a_run_print_the_same_lines(folder):
    first, second = (group["dependents"] for group in failures(folder))
    expected = FAILURES.format(root="s", first=first, second=second)
    assert maestro_es("why", "s", cwd=folder).stdout.endswith(f"\n\n{expected}")
    expected = FAILURES.format(root=folder / "s", first=first, second=second)
    assert (folder / "output").read_text().endswith(f"Study ended: FAILURE\n{expected}")


@pytest.mark.parametrize("group", [0, 1])
def test_the_command_retries_exactly_the_steps_of_the_group(folder, group, tmp_path):
    shutil.copytree(folder / "s", tmp_path / "copy", symlinks=True)
    (folder / "s").rename(folder / "kept")  # a copy can be changed only if its original is gone
    try:
        (tmp_path / "copy").rename(folder / "s")
        chosen = failures(folder)[group]
        command = [line for line in maestro_es("why", "s", cwd=folder).stdout.splitlines() if " retry " in line][group]
        assert maestro_es(*shlex.split(command)[1:], cwd=folder).returncode == 0
        reset = maestro_es("history", "s", "--type", "StepReset", "--json", cwd=folder).stdout.splitlines()
        names = [json.loads(line)["step"] for line in reset]
        assert [name for name in names if name.startswith("run")] == chosen["steps"]
    finally:
        shutil.rmtree(folder / "s")
        (folder / "kept").rename(folder / "s")


def test_nothing_is_said_about_failures_of_a_step_or_of_the_past(folder):
    assert "failures" not in json.loads(maestro_es("why", "s", "last", "--json", cwd=folder).stdout)
    assert "have failed" not in maestro_es("why", "s", "--at", "3", cwd=folder).stdout


SHOWN = r"""
description: {name: shown, description: d}
study:
- {name: bar, description: d, run: {cmd: "printf '10%%\\r20%%\\r30%% done\\r\\n' >&2; exit 3"}}
- name: colour
  description: d
  run: {cmd: "printf '\\033]0;t\\007\\033[1;31mError:\\033[0m no mesh\\033[K\\n' >&2; exit 4"}
- {name: long, description: d, run: {cmd: "head -c 9000 /dev/zero | tr '\\0' x >&2; exit 5"}}
"""


def test_the_last_errors_are_as_a_terminal_shows_them_and_not_endless(tmp_path: Path):
    (tmp_path / "shown.yaml").write_text(SHOWN)
    assert maestro_es("run", "-y", "--wait", "-o", "s", "shown.yaml", cwd=tmp_path).returncode == 2

    errors = {group["outcome"]: group["error"] for group in failures(tmp_path)}
    assert errors == {
        "exit code 3": "30% done", "exit code 4": "Error: no mesh", "exit code 5": "x" * 1000 + "...",
    }  # fmt: skip
    assert maestro_es("why", "s", "colour", cwd=tmp_path).stdout.endswith("\n  | Error: no mesh\n")


ALIKE = """\
description: {name: alike, description: d}
study:
- {name: a, description: d, run: {cmd: "[ -e go ] || { touch go; echo no licence >&2; exit 3; }"}}
- {name: b, description: d, run: {cmd: "[ -e go ] || { touch go; echo no licence >&2; exit 3; } # $(P)"}}
- {name: c, description: d, run: {cmd: "true"}}
- {name: d, description: d, run: {cmd: "true", depends: [b_*]}}
global.parameters:
  P: {values: [1, 2], label: P.%%}
"""


def test_steps_of_several_templates_that_fail_alike_are_one_entry(tmp_path: Path):
    (tmp_path / "alike.yaml").write_text(ALIKE)
    assert maestro_es("run", "-y", "--wait", "-o", "s", "alike.yaml", cwd=tmp_path).returncode == 2

    lines = maestro_es("why", "s", cwd=tmp_path).stdout.split("\n\n")[-1].splitlines()
    assert lines == [
        "3 steps have failed, timed out or been cancelled; 1 step was not run because of them:",
        "  3 x exit code 3: no licence",
        "      steps of b, a; the first is b_P.1",
        "      1 step was not run because of them",
        "      maestro-es logs s b_P.1",
        "      maestro-es retry s --failed b a",
    ]
    assert maestro_es(*shlex.split(lines[-1])[1:], cwd=tmp_path).returncode == 0
    assert maestro_es("drive", "s", cwd=tmp_path).returncode == 0


@pytest.mark.usefixtures("own_home")
def test_the_command_for_cancelled_steps_runs_them_again(tmp_path: Path):
    gated = STUDY.replace("study:\n", "study:\n- {name: gate, description: d, run: {cmd: sleep 60}}\n")
    gated = gated.replace("run:\n    cmd", "run:\n    depends: [gate]\n    cmd", 1)
    (tmp_path / "meshes.yaml").write_text(gated)
    maestro_es("run", "-y", "-o", "s", "meshes.yaml", cwd=tmp_path)
    try:
        maestro_es("cancel", "-y", "s", "run", cwd=tmp_path)
        maestro_es("tick", "s", cwd=tmp_path)
        [group] = failures(tmp_path)
        assert (group["outcome"], group["retry"], group["started"]) == ("cancelled before it ran", ["run"], "")
        assert "maestro-es logs" not in maestro_es("why", "s", cwd=tmp_path).stdout
        again = maestro_es("retry", "s", "run", cwd=tmp_path)
        assert (again.returncode, again.stderr) == (0, "")
        assert failures(tmp_path) == []
    finally:
        end_all_under(tmp_path)
