"""``validate`` as a user sees it: everything that is wrong, each thing in one line, warnings and errors together."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import maestro_es


def _validate(where: Path, text: str) -> subprocess.CompletedProcess[str]:
    (where / "study.yaml").write_text(text)
    return maestro_es("validate", "study.yaml", cwd=where)


def test_warnings_of_steps_come_together_with_problems_elsewhere(tmp_path: Path):
    """A name whose value is a problem is no misspelling of another one."""
    text = """\
description: {name: s, description: d}
env: {variables: {LENGTH: 3, LENGTHS: [1]}}
study:
- {name: a, description: d, run: {cmd: "echo $(LENGHT) $(LENGTHS) $(COLOR)", depends: [b], color: red}}
- {name: c, description: d, run: {cmd: "$(LAUNCHER) app"}}
global.parameters:
  COLOR: {values: [1, 2], label: C.%%}
  COLORS: {values: [1], label: C.%%}
"""
    done = _validate(tmp_path, text)

    assert done.returncode == 1
    warnings = [line for line in done.stderr.splitlines() if "warning: " in line]
    assert [line.partition("study.yaml:")[2] for line in warnings] == [
        "4: In study step 'a', $(LENGHT) is left to the shell. Did you mean '$(LENGTH)'?",
        (
            "5: Study step 'c' uses $(LAUNCHER), but no scheduler runs it. "
            "Give the step nodes or procs, and choose a batch type such as slurm, or write the command itself."
        ),
    ]
    assert len(done.stderr.splitlines()) > len(warnings) + 2


MERLIN = """\
description: {name: herd, description: the dialect of Merlin}
user: {study: {run: {base: &base {cmd: echo moo, max_retries: 2}}}}
study:
  - {name: graze, description: d, run: {<<: *base, task_queue: q1}}
  - {name: milk, description: d, run: {cmd: echo milk, task_queue: q1, depends: [graze]}}
merlin: {resources: {workers: {w1: {steps: [all]}}}}
"""

WRONG_AND_DOUBTFUL = """\
description: {name: s, description: d}
env:
  sources: [make]
study:
- name: a
  description: d
  run: {cmd: "echo $(N)"}
- name: b
  description: d
  run: {cmd: echo}
  depends: [a]
global.parameters:
  N: {values: [007], label: N.%%}
"""


def test_warnings_come_together_with_errors(tmp_path: Path):
    done = _validate(tmp_path, WRONG_AND_DOUBTFUL)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        (
            "maestro-es: warning: study.yaml:3: Under sources, 'make' is a shell line in front of the commands of "
            "every step. Maestro ignores sources: remove it, unless the steps need it."
        ),
        (
            "maestro-es: warning: study.yaml:13: 007 without quotes is the number 7 to YAML. "
            'Write "007" if this text is meant.'
        ),
        "maestro-es: study.yaml:11: Unrecognized key 'depends' found in study step 'b'. Put it under run.",
    ]


def test_a_study_for_merlin_is_named_in_one_line(tmp_path: Path):
    done = _validate(tmp_path, MERLIN)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        (
            "maestro-es: study.yaml:6: This is a study for Merlin, not for Maestro. "
            "Run it with 'merlin run', or remove what only Merlin knows: merlin, task_queue, max_retries."
        )
    ]


FAULTS_OF_ALL_KINDS = """\
description: {name: s, description: d}
env: {variables: {AA: $(BB), BB: $(AA)}}
batch: {type: slurm, host: h, queue: q, args: {gres: [1]}}
study:
- name: a
  description: d
  run:
    cmd: |
      $(LAUNCHER)[9p] x
      echo $SEED
    procs: 2
    colour: red
- name: b
  description: d
  run:
    cmd: "#SBATCH --array=1-4"
    nodes: 1
    depends: [aa]
- {name: c, description: d, run: {cmd: $(LAUNCHER) x, walltime: soon, color: red}}
- name: d
  description: d
  run:
    cmd: echo $(N) $(c.workspace)
    restart: "#SBATCH --mem='5"
    procs: 1
- name: e
  description: d
  run:
    nodes: [1]
    cmd: $(LAUNCHER)[3p] x
    args: {array: 1-3}
    memory: lots
- {name: f, description: d, run: {procs: $(AA), cmd: "$(LAUNCHER)[3p] x", depends: [g]}}
- {name: g, description: d, run: {args: {wrap: x}, nodes: 1, depends: [f]}}
- {name: a, description: d, run: {cmd: "$(LAUNCHER)[4p] $(a.workspace)", procs: 1}}
- {description: d, run: {cmd: x, nodes: 1, exclusive: $(M)}}
- {name: h, description: d, run: {cmd: "ls $(i.workspace)", depends: i}}
- {name: i, description: d, run: {cmd: x, depends: [j], 7: x}}
- {name: j, description: d, run: {cmd: x, depends: [i]}}
global.parameters:
  N: {values: [1, 2, 2], label: N}
  M: {values: [maybe, maybe], label: M.%%}
  L: {values: [], label: L.%%}
"""


@pytest.mark.parametrize("command", [["validate"], ["run", "-y"]])
def test_no_fault_hides_another_one_wherever_they_are(tmp_path: Path, command: list[str]):
    """Each is reported once, in the order of the file; values that are wrong or unknown have no consequences."""
    (tmp_path / "study.yaml").write_text(FAULTS_OF_ALL_KINDS)
    done = maestro_es(*command, "--export", "NONE", "study.yaml", cwd=tmp_path, env={"SEED": "1"})

    assert done.returncode == 1
    lines = [line.partition("study.yaml:")[2] for line in done.stderr.splitlines()]
    found = [(line.split(":")[0], phrase) for line in lines for phrase in PHRASES if phrase in line]
    assert found == FOUND
    assert len(lines) == len(FOUND)
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


#: The line of each warning and each problem, and words of it.
FOUND = [
    ("10", "$SEED is set here"),
    ("19", "no scheduler runs it"),
    ("20", "1 of 2 combinations"),
    ("2", "AA -> BB -> AA"),
    ("3", "args.gres is [1]"),
    ("3", "'bank' is missing"),
    ("9", "$(LAUNCHER)[9p] asks for 9"),
    ("12", "'colour'"),
    ("13", "depends on 'aa'"),
    ("16", "--array=1-4"),
    ("19", "'soon'"),
    ("19", "'color'"),
    ("20", "Workspace for 'c'"),
    ("24", "--mem='5"),
    ("29", "nodes must be"),
    ("31", "args: array"),
    ("32", "'lots'"),
    ("33", "f -> g -> f"),
    ("34", "args: wrap"),
    ("34", "'cmd' is missing"),
    ("35", "$(LAUNCHER)[4p] asks for 4"),
    ("35", "'a' appears twice"),
    ("36", "exclusive is 'maybe'"),
    ("36", "'name' is missing"),
    ("37", "depends must be a list"),
    ("38", "i -> j -> i"),
    ("38", "key '7'"),
    ("42", "'M' is not the same length"),
    ("43", "'L' has no values"),
]
PHRASES = [phrase for _, phrase in FOUND]

GENERATOR = """\
from maestrowf.datastructures.core import ParameterGenerator

def get_custom_generator(env, **kwargs):
    made = ParameterGenerator()
    made.add_parameter("P", [2, 3], "P.%%")
    return made
"""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("", ""), ["study.yaml:4: Unrec", "study.yaml:4: In study step 'a_P.3', $(LAUNCHER)[3p] asks for 3"]),
        (("return", "raise"), ["study.yaml:4: Unrec", "pgen.py:6: The parameter generator failed"]),
    ],
)
def test_a_generator_is_called_for_a_faulty_file_too(tmp_path: Path, change: tuple[str, str], found: list[str]):
    text = """\
description: {name: s, description: d}
batch: {type: slurm, host: h, bank: b, queue: q}
study:
- {name: a, description: d, run: {cmd: "$(LAUNCHER)[$(P)p] x", procs: 2, color: red}}
"""
    (tmp_path / "study.yaml").write_text(text)
    (tmp_path / "pgen.py").write_text(GENERATOR.replace(*change))
    done = maestro_es("validate", "-p", "pgen.py", "study.yaml", cwd=tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == len(found)
    assert all(words in done.stderr for words in found), done.stderr


SCRIPTS = """\
description: {name: s, description: d}
batch: {type: slurm, host: h, bank: b, queue: q}
study:
- name: a
  description: d
  run:
    nodes: 1
    cmd: |
      #SBATCH --mail-type=END
      #SBATCH --array=1-$(N)
      echo
- name: b
  description: d
  run:
    nodes: 2
    procs: 8
    cmd: |
      $(LAUNCHER)[2n, 4p] ./coffee
      $(LAUNCHER)[1n, 2p] ./cake
      $(LAUNCHER)[9p] ./pie
    restart: |
      $(LAUNCHER)[$(N)n
- name: c
  description: d
  run:
    cmd: |
      #SBATCH --comment="not closed
      #SBATCH --wrap=x
    nodes: 1
- name: d
  description: d
  run:
    nodes: 1
    cmd: "true"
    args: {job-name: x, array: 1-3}
    memory: lots
- name: e
  description: d
  run:
    cmd: "true"
    nodes: 1
    exclusive: $(W)
- name: f
  description: d
  run: {cmd: "true", walltime: soon}
global.parameters:
  N: {values: [1, 2], label: N.%%}
  W: {values: ["yes", maybe], label: W.%%}
"""

SCRIPT_PROBLEMS = [
    "10: In study step 'a_N.1', #SBATCH --array=1-1 can't be used there, because maestro-es controls this option.",
    "17: In study step 'b_N.1', its launchers together ask for 3 nodes, but the step has 2.",
    "20: In study step 'b_N.1', $(LAUNCHER)[9p] asks for 9 procs, but the step has 8.",
    "21: In study step 'b_N.1', $(LAUNCHER)[1n: the bracket is not closed on its line.",
    "27: In study step 'c', #SBATCH --comment=\"not closed: No closing quotation.",
    "28: In study step 'c', #SBATCH --wrap=x can't be used there, because maestro-es controls this option.",
    "35: In study step 'd', args: array can't be passed through, because maestro-es controls this option.",
    "35: In study step 'd', args: job-name can't be passed through, because maestro-es controls this option.",
    "36: In study step 'd', memory is 'lots'; write a whole number of megabytes, or one with K, M, G or T.",
    "42: In study step 'e_W.maybe', exclusive is 'maybe'; write true or false.",
    "45: In study step 'f', walltime is 'soon', which is not a time. Write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS.",
]


@pytest.mark.parametrize("command", [["validate"], ["run", "-y", "-o", "out"], ["run", "--dry", "-o", "out"]])
def test_all_that_a_script_would_refuse_is_said_with_its_line_before_anything_is_made(tmp_path: Path, command):
    (tmp_path / "study.yaml").write_text(SCRIPTS)
    done = maestro_es(*command, "study.yaml", cwd=tmp_path)

    assert done.returncode == 1
    lines = done.stderr.removeprefix("maestro-es: ").splitlines()
    assert [line.removeprefix("study.yaml:") for line in lines] == SCRIPT_PROBLEMS
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_section_without_a_value_is_no_value_that_yaml_changes(tmp_path: Path):
    text = "description: {name: s, description: d}\nbatch:\nstudy: [{name: a, description: d, run: {cmd: x}}]\n"
    done = _validate(tmp_path, f"{text}global.parameters:\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "study.yaml: valid; 1 step, 1 instance\n", "")


@pytest.mark.parametrize("key", ["nodes", "procs"])
def test_nothing_is_said_about_the_size_of_a_value_that_is_no_number(tmp_path: Path, key: str):
    (tmp_path / "study.yaml").write_text(
        f"description: {{name: s, description: d}}\n"
        f"study: [{{name: a, description: d, run: {{cmd: ls, {key}: four}}}}]\n"
    )
    done = maestro_es("validate", "study.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    assert f"run.{key} must be a whole number" in done.stderr
