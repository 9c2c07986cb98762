"""A study of many steps is planned and created in little memory, and all its scripts are still checked."""

from __future__ import annotations

import functools
import tracemalloc
from pathlib import Path

import pytest

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core.model import Settings
from maestro_es.creation.create import create_study
from maestro_es.creation.preflight import check_scripts
from maestro_es.errors import SpecError
from maestro_es.store import projection, study_log
from maestro_es.study.invocation import Runtime
from maestro_es.study_file.plan import StudyPlan, plan_study

RUNTIME = Runtime()


def plan(place: Path, text: str) -> StudyPlan:
    spec = place / "study.yaml"
    spec.write_text(text)
    check = functools.partial(check_scripts, settings=Settings(), runtime=RUNTIME)
    return plan_study(spec, SCHEDULERS, output=place / "out", timestamp="", check=check)


def lanes(templates: int, combinations: int) -> str:
    """Return a study with a chain of templates for each combination."""
    steps = [
        f"- {{name: s{number}, description: d, run: {{cmd: echo $(N)"
        + (f", depends: [s{number - 1}]" if number else "")
        + "}}\n"
        for number in range(templates)
    ]
    values = ", ".join(map(str, range(combinations)))
    parameters = f"global.parameters: {{N: {{values: [{values}], label: N.%%}}}}\n"
    return "description: {name: s, description: d}\nstudy:\n" + "".join(steps) + parameters


def test_the_steps_of_a_study_are_not_all_in_memory_while_it_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(study_log, "_FLUSH_EVERY", 200)
    monkeypatch.setattr(projection, "_KEEP", 200)
    peaks: dict[int, int] = {}
    for templates in (10, 10, 50):  # the first time, modules are imported
        place = tmp_path / f"{len(peaks)}-{templates}"
        place.mkdir()
        text = lanes(templates, 50)
        tracemalloc.start()
        create_study(plan(place, text), Settings(), RUNTIME)
        peaks[templates] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peaks[50] < 2 * peaks[10], peaks


SLURM = """\
description: {name: s, description: d}
batch: {type: slurm, host: h, bank: b, queue: q}
study:
- {name: a, description: d, run: {cmd: RUN, procs: PROCS, walltime: TIME}}
global.parameters:
  N: {values: [VALUES], label: N.%%}
"""


@pytest.mark.parametrize(
    ("run", "procs", "time", "values", "problem"),
    [
        ("$(LAUNCHER)[$(N)p] x", "4", "5", "1, 2, 5, x", "In study step 'a_N.5', "),
        ("$(LAUN$(N)R)[zp] x", "1", "5", "A, CHE", "In study step 'a_N.CHE', "),
        ("x $(N)", "$(N)", "5", '1, 2, "3\\a", "4\\a"', "In study step 'a_N.3\a', "),
        ("x $(N)", "1", "$(N)", "1, 2, soon", "In study step 'a_N.soon', walltime is 'soon'"),
        ("x $(N)", "1", "5", "1, '$(LAUNCHER)[2q]'", "In study step 'a_N.$(LAUNCHER)[2q]', "),
    ],
    ids=["launcher", "nested", "procs", "walltime", "value"],
)
def test_one_wrong_value_among_many_is_reported_before_the_study_exists(
    tmp_path: Path, run: str, procs: str, time: str, values: str, problem: str
):
    text = SLURM.replace("RUN", f"'{run}'").replace("PROCS", procs).replace("TIME", time)

    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text.replace("VALUES", values))

    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]
    assert not (tmp_path / "out").exists()
