from __future__ import annotations

from pathlib import Path

import pytest

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core.events import StepAdded, StepTemplateAdded
from maestro_es.errors import SpecError
from maestro_es.study_file.plan import StudyPlan, plan_study
from maestro_es.study_file.reading import StudyContext

STUDY = """\
description: {name: my study, description: what it is}
env:
  variables: {OUTPUT_PATH: ./runs}
batch: {type: slurm, host: h, bank: b, queue: q}
study:
- {name: sim, description: d, run: {cmd: sim $(SIZE), procs: $(SIZE), restart: again}}
- {name: post, description: d, run: {cmd: ls $(sim.workspace), depends: [sim_*]}}
global.parameters:
  SIZE: {values: [1, 2], label: SIZE.%%}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(text: str = STUDY, *, output: Path | None = None) -> StudyPlan:
    Path("study.yaml").write_text(text, "utf-8")
    return plan_study(Path("study.yaml"), SCHEDULERS, output=output, timestamp="20260102-030405")


def refused(text: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        plan(text)
    return caught.value.problems


def test_a_study_becomes_events_in_launch_order(here: Path):
    made = plan()

    assert [
        (number, event.name) for number, event in made.events if isinstance(event, StepTemplateAdded | StepAdded)
    ] == [
        (None, "sim"),
        (1, "sim_SIZE.1"),
        (2, "sim_SIZE.2"),
        (None, "post"),
        (3, "post"),
    ]
    assert [event.row for _, event in made.events if isinstance(event, StepAdded)] == [1, 2, 3]
    assert [event.scheduled for _, event in made.events if isinstance(event, StepAdded)] == [True, True, False]
    assert [event.restart_limit for _, event in made.events if isinstance(event, StepAdded)] == [1, 1, 0]


def test_a_plan_has_what_a_study_is_made_of(here: Path):
    made = plan()

    assert (made.name, made.description) == ("my study", "what it is")
    assert made.spec_path == here / "study.yaml"
    assert made.spec_text == STUDY
    assert made.batch == {"type": "slurm", "host": "h", "bank": "b", "queue": "q"}
    assert made.output == here / "runs" / "my_study_20260102-030405"
    assert (made.warnings, made.pgen_path, made.path_dependencies, made.git_dependencies) == ((), None, (), ())
    assert set(made.metadata) == {"metadata.yaml", "parameters.yaml"}


def test_planning_creates_nothing(here: Path):
    plan()

    assert [path.name for path in here.iterdir()] == ["study.yaml"]


def test_an_output_that_is_given_is_taken_as_it_is(here: Path):
    assert plan(output=Path("x/../y")).output == here / "y"


def test_without_an_output_path_the_study_lies_in_the_current_directory(here: Path):
    text = "description: {name: a:b, description: d}\nstudy: [{name: a, description: d, run: {cmd: x}}]\n"

    assert plan(text).output == here / "ab_20260102-030405"
    assert plan(text).batch == {"type": "local"}


def test_a_step_may_not_have_the_name_of_the_study_file():
    assert "is taken by a file of the study" in refused(STUDY.replace("post", "study.yaml"))[0]


def test_a_path_dependency_must_exist(here: Path):
    dependencies = "  dependencies: {paths: [{name: DATA, path: data}, {name: LATER, path: $(OUTPUT_PATH)/x}]}\nbatch"
    text = STUDY.replace("batch", dependencies)

    assert refused(text) == (
        (
            f"study.yaml:4: The specified path 'DATA' does not exist: {here}/data. "
            "Relative paths are relative to the current directory."
        ),
    )
    (here / "data").mkdir()
    assert [dependency.path for dependency in plan(text).path_dependencies] == [f"{here}/data", "$(OUTPUT_PATH)/x"]


def test_a_repository_may_not_be_cloned_over_what_exists(here: Path):
    text = STUDY.replace("batch", "  dependencies: {git: [{name: lib, path: ., url: u}]}\nbatch")
    (here / "lib").mkdir()

    assert refused(text) == (
        (
            f"study.yaml:4: The git dependency 'lib' can't be cloned: '{here}/lib' already exists. "
            "Remove it, or give another path such as $(OUTPUT_PATH)."
        ),
    )


def test_warnings_are_part_of_the_plan():
    text = STUDY.replace("sim $(SIZE)", "sim $(SIZZE)").replace("queue: q", "queue: $(SPECROOT)") + "extra: 1\n"

    assert [warning.split(". ")[0] for warning in plan(text).warnings] == [
        "study.yaml:4: In batch, $(SPECROOT) stays as it is",
        "study.yaml:6: In study step 'sim', $(SIZZE) is left to the shell",
        "study.yaml:10: The key 'extra' is ignored",
    ]


def test_a_file_that_is_not_there_is_one_line():
    with pytest.raises(SpecError) as caught:
        plan_study(Path("nowhere.yaml"), SCHEDULERS, output=None, timestamp="x")

    assert str(caught.value) == (
        "nowhere.yaml: The study file can't be read: No such file or directory. Name an existing file."
    )


def test_a_file_in_another_encoding_is_one_line(here: Path):
    (here / "latin.yaml").write_bytes("a: 1\nb: é\n".encode("latin-1"))

    with pytest.raises(SpecError) as caught:
        plan_study(Path("latin.yaml"), SCHEDULERS, output=None, timestamp="x")
    assert str(caught.value) == "latin.yaml:2: The study file is not UTF-8 text. Save it with that encoding."


def test_problems_of_the_file_and_of_its_expansion_are_one_line_each():
    problems = refused(STUDY.replace("SIZE.%%", "/").replace("- {name: post", "- {name: 'a\n\n  b'"))

    assert all("\n" not in problem for problem in problems)


def test_pargs_need_a_generator():
    Path("study.yaml").write_text(STUDY, "utf-8")

    with pytest.raises(SpecError, match="Cannot use the 'pargs' parameter without specifying a 'pgen'"):
        plan_study(Path("study.yaml"), SCHEDULERS, output=None, timestamp="x", pargs=["a:1"])


def test_a_walltime_that_its_scheduler_can_not_read_is_refused_with_its_line():
    walltimes = """\
description: {name: n, description: d}
batch: {type: slurm, host: h, bank: b, queue: q}
study:
- name: there
  description: d
  run:
    cmd: x
    procs: 1
    walltime: $(WHILE)
- {name: here, description: d, run: {cmd: x, walltime: "$(WHILE)"}}
- {name: constant, description: d, run: {cmd: x, nodes: 1, walltime: 1h}}
- {name: well, description: d, run: {cmd: x, nodes: 1, walltime: 1-12}}
global.parameters:
  WHILE: {values: ["-1", "01:00", abc, xyz], label: WHILE.%%}
"""
    problems = refused(walltimes)

    slurm = "which is not a time. Write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED."
    assert problems == (
        f"study.yaml:9: In study step 'there_WHILE.abc', walltime is 'abc', {slurm}",
        (
            "study.yaml:10: In study step 'here_WHILE.-1', walltime is '-1', which is not a time. "
            "Write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS."
        ),
        f"study.yaml:11: In study step 'constant', walltime is '1h', {slurm}",
    )


def test_a_walltime_of_a_study_that_has_begun_elsewhere_is_left_to_its_scheduler():
    text = STUDY.replace("restart: again", "restart: again, walltime: abc")
    Path("study.yaml").write_text(text, "utf-8")
    given = StudyContext(acquired=True)
    assert plan_study(Path("study.yaml"), SCHEDULERS, output=None, timestamp="t", context=given).templates
    assert len(refused(text)) == 1
