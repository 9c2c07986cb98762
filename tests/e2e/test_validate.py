"""``validate`` as a user sees it: everything that is wrong, each thing in one line, warnings and errors together."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.command import maestro_es


def _validate(where: Path, text: str) -> subprocess.CompletedProcess[str]:
    (where / "study.yaml").write_text(text)
    return maestro_es("validate", "study.yaml", cwd=where)


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
