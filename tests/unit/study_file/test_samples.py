"""Only where a value may matter to a scheduler is each instance checked."""

from __future__ import annotations

import pytest

from maestro_es.study_file.instances import samples
from tests.unit.study_file.study import read, steps

PLAIN = "[1, 22, 333, 4]"


@pytest.mark.parametrize(
    ("run", "values", "checked"),
    [
        ("cmd: x", PLAIN, [0]),
        ("cmd: x $(N)", PLAIN, [0, 2]),
        ("cmd: x $(N), restart: y $(N.label) $(WORKSPACE)", PLAIN, [0, 2]),
        ("cmd: x $(N), walltime: $(N)", PLAIN, [0, 1, 2, 3]),
        ("cmd: $(LAUNCHER) $(N)", PLAIN, [0, 1, 2, 3]),
        ("cmd: x $(LAUN$(N)), procs: 2", PLAIN, [0, 1, 2, 3]),
        ("cmd: x $(N)", "['', b]", [0, 1]),
        ("cmd: x $(N)", "['$(x)', b]", [0, 1]),
        ("cmd: x $(N)", '["a\\nb", b]', [0, 1]),
    ],
)
def test_instances_are_chosen_by_what_their_values_can_change(run: str, values: str, checked: list[int]):
    study = read(steps(f"a: {run}") + f"global.parameters: {{N: {{values: {values}, label: N.%%}}}}")

    assert list(samples(study.expansion().templates["a"])) == checked
