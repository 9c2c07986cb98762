"""How a user chooses job arrays, and how long a tick submits; on commands that stand in for Slurm's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es
from tests.fakes.slurm_commands import SlurmCommands

SPEC = """
description: {{name: equal, description: d}}
batch: {{type: slurm, host: here, bank: mine, queue: debug{batch}}}
study: [{{name: sim, description: d, run: {{procs: 1, walltime: "00:0$(T):00", cmd: "echo $(N)"}}}}]
global.parameters:
  N: {{values: [1, 2, 3, 4], label: N.%%}}
  T: {{values: [1, 1, 1, 2], label: T.%%}}
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmCommands:
    commands = SlurmCommands(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{commands.path}:{os.environ['PATH']}")
    return commands


def launch(tmp_path: Path, *options: str, batch: str = "", spec: str = SPEC):
    (tmp_path / "equal.yaml").write_text(spec.format(batch=batch))
    return maestro_es("run", "-y", *options, "-o", tmp_path / "s", tmp_path / "equal.yaml")


def arrays(slurm: SlurmCommands) -> list[bool]:
    return ["--array=0-2" in call for call in slurm.calls() if call.startswith("sbatch")]


@pytest.mark.parametrize(
    ("options", "batch", "expected"),
    [
        ((), "", [False] * 4),
        (("--array", "always"), "", [True, False]),
        ((), ", array: always", [True, False]),
        (("--array", "never"), ", array: always", [False] * 4),
        (("--array", "auto"), "", [False] * 4),
    ],
)
def test_equal_steps_are_submitted_together_if_the_user_says_so(tmp_path, slurm, options, batch, expected):
    assert launch(tmp_path, *options, batch=batch).returncode == 0
    assert arrays(slurm) == expected


@pytest.mark.parametrize(
    ("version", "number", "jobs"),
    [("23.02.6", 20, 1), ("24.11.0-0rc1", 20, 1), ("23.02.6", 19, 19), ("23.02.5", 20, 20), ("22.05.8", 20, 20)],
)
def test_many_equal_steps_are_an_array_if_one_failed_launch_spares_the_others(tmp_path, slurm, version, number, jobs):
    (slurm.folder / "version").write_text(version)
    values = ", ".join(map(str, range(number)))
    spec = SPEC.replace("[1, 2, 3, 4]", f"[{values}]").replace("[1, 1, 1, 2]", f"[{', '.join('1' * number)}]")

    assert launch(tmp_path, spec=spec).returncode == 0
    assert sum(call.startswith("sbatch") for call in slurm.calls()) == jobs


def test_steps_with_different_directives_from_a_parameter_are_apart(tmp_path, slurm):
    spec = SPEC.replace('"echo $(N)"', '"$(MORE)\\necho $(N)"')
    lines = ", ".join(f'"#SBATCH --mem={size}"' for size in (1, 1, 1, 2))
    spec += f"  MORE: {{{{values: [{lines}], label: M.%%}}}}\n"

    assert launch(tmp_path, "--array", "always", spec=spec.replace("[1, 1, 1, 2]", "[1, 1, 1, 1]")).returncode == 0
    assert arrays(slurm) == [True, False]


def test_a_batch_key_with_another_value_is_refused_with_its_line(tmp_path, slurm):
    done = launch(tmp_path, batch=", array: often")
    assert (done.returncode, slurm.calls()) == (1, [])
    assert "equal.yaml:3: In batch, array is 'often'. Write auto, always or never." in done.stderr


def test_arrays_are_switched_off_and_on_and_a_preview_shows_them(tmp_path, slurm):
    (tmp_path / "home").mkdir()
    assert launch(tmp_path, "--array", "never", "-t", "1").returncode == 0
    study = tmp_path / "s"
    changed = maestro_es("update", study, "--array", "always", "--throttle", "0")
    assert f"{study}: array is always now, was never\n" in changed.stdout
    [shown] = map(json.loads, maestro_es("tick", "--dry", "--json", study).stdout.splitlines())
    off = maestro_es("tick", "--dry", "--json", study, "--what-if", "array=never").stdout

    assert [command.get("steps") for command in shown["commands"]] == [["sim_N.2.T.1", "sim_N.3.T.1"], None]
    assert len(json.loads(off)["commands"]) == 3
    assert maestro_es("tick", study, "--max-seconds", "10").returncode == 0
    assert "--array=0-1" in slurm.calls()[-2] + slurm.calls()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("update", "--array", "often"), "'often' is not one of 'auto', 'always', 'never'"),
        (("tick", "--dry", "--what-if", "array=often"), "array=auto|always|never"),
        (("tick", "--max-seconds", "-1"), "-1"),
    ],
)
def test_a_wrong_value_gets_one_line(tmp_path, words, message):
    done = maestro_es(*words)
    assert done.returncode in {1, 2}
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
