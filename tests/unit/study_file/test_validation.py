from __future__ import annotations

import pytest

from maestro_es.errors import SpecError
from maestro_es.study_file.document import read_document
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.validation import check_dialect, check_shape
from tests.unit.study_file.study import HEAD, problems, read, steps

STEP = "study: [{name: a, description: d, run: {cmd: x}}]\n"


def test_a_study_of_one_step_is_in_order():
    assert problems(HEAD + STEP) == ()
    assert read(HEAD + STEP).findings.warnings() == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: The file must be a mapping with at least the keys description and study, but found nothing."),
        ("[]", "1: The file must be a mapping with at least the keys description and study, but found [] (a list)."),
        (
            HEAD,
            "1: Key 'study' is missing from the file. Add it: a list of at least one step.",
        ),
        (STEP, "1: Key 'description' is missing from the file. Add it: a mapping with the keys name and description."),
        (HEAD + "study: []", "2: Study must be a list of at least one step, but found [] (a list)."),
        (
            HEAD + STEP + "env:\n",
            "3: Env must be a mapping with keys out of variables, labels, sources, dependencies, but found nothing.",
        ),
        (
            HEAD + STEP + "env:\n  variabels: {}\n",
            (
                "4: Unrecognized key 'variabels' found in env. Did you mean 'variables'? "
                "Known keys: variables, labels, sources, dependencies."
            ),
        ),
        (
            HEAD + STEP + "env:\n  dependencies:\n    paths:\n    - name: x\n",
            "6: Key 'path' is missing from env.dependencies.paths[0]. Add it: a path.",
        ),
        (
            HEAD + STEP + "global.parameters:\n  P:\n    label: [a]\n    values: [1]\n",
            "5: In global.params.P, label must be a string such as NAME.%%, but found ['a'] (a list).",
        ),
        (
            HEAD + "study:\n- 3\n",
            ("3: Study step 1 must be a mapping with the keys name, description and run, but found 3 (a number)."),
        ),
        (
            HEAD + "study:\n- {name: '', description: d, run: {cmd: x}}\n",
            "3: In study step 1, name must be a string that is not empty, but found an empty string.",
        ),
        (
            steps("a: cmd: x, depnds: [b]"),
            "3: Unrecognized key 'depnds' found in study step 'a'. Did you mean 'depends'? Known keys: cmd, depends, ",
        ),
        (steps("a: nodes: 1"), "3: Key 'cmd' is missing from study step 'a'. Add it: a string that is not empty."),
        (
            steps("a: cmd: x, nodes: two"),
            (
                "3: In study step 'a', run.nodes must be a whole number of at least 1, or a token of the form "
                "$(NAME), but found 'two'."
            ),
        ),
        (
            steps("b: cmd: x", "a: cmd: x, depends: b"),
            "4: In study step 'a', run.depends must be a list of step names, such as [a, b_*], but found 'b'.",
        ),
        (
            steps("b: cmd: x", "a: cmd: x, depends: [b, b]"),
            "4: Non-unique step names in study step 'a'.run.depends. List each step only once.",
        ),
    ],
)
def test_each_problem_says_where_what_and_what_to_do(text: str, problem: str):
    found = problems(text)

    assert len(found) == 1
    assert found[0].startswith(f"study.yaml:{problem}")


def test_all_problems_come_at_once_in_the_order_of_the_file():
    text = (
        "description: {name: n}\n"
        "batch: {type: slurm, host: h, bank: b}\n"
        "study:\n"
        "- name: a\n"
        "  description: 3\n"
        "  run: {cmdd: x, depends: [b]}\n"
        "global.parameters:\n"
        "  P: {values: [1, 2], label: P}\n"
        "  Q: {values: [1], label: Q.%%}\n"
    )

    assert [problem.split(". ")[0] for problem in problems(text)] == [
        "study.yaml:1: Key 'description' is missing from description",
        "study.yaml:2: Key 'queue' is missing from batch",
        "study.yaml:4: Study step 'a' depends on 'b', but there is no such step",
        "study.yaml:5: In study step 'a', description must be a string that is not empty, but found 3 (a number).",
        "study.yaml:6: Key 'cmd' is missing from study step 'a'",
        "study.yaml:6: Unrecognized key 'cmdd' found in study step 'a'",
        "study.yaml:9: Global parameter 'Q' is not the same length as other parameters",
    ]


@pytest.mark.parametrize(
    "run",
    [
        "nodes: 1, procs: $(N), gpus: 0, cores per task: 2",
        "tasks per rs: 1, rs per node: $(X), cpus per rs: 3, bind: packed, bind gpus: none",
        "walltime: 30, reservation: r, qos: high",
        "walltime: '01:00:00', exclusive: true",
        "exclusive: $(E)",
        "exclusive: {allocation: true, launcher: $(E)}",
        "nested: false, waitable: true, priority: High",
        "priority: 0.5, pre: a, post: b, restart: c, depends: []",
    ],
)
def test_what_maestro_takes_in_a_step_is_taken(run: str):
    assert problems(steps(f"a: cmd: x, {run}")) == ()


@pytest.mark.parametrize(
    "run",
    [
        "nodes: 0",
        "nodes: true",
        "procs: 1.5",
        "gpus: -1",
        "procs: $(A)x",
        "walltime: -1",
        "walltime: ''",
        "exclusive: 3",
        "exclusive: {alocation: true}",
        "nested: 'yes'",
        "priority: highest",
        "priority: 2",
        "depends: [1]",
        "restart: null",
    ],
)
def test_what_maestro_refuses_in_a_step_is_refused(run: str):
    assert len(problems(steps(f"a: cmd: x, {run}"))) == 1


def test_long_values_are_cut_so_that_a_problem_stays_one_line():
    (problem,) = problems(steps(f'a: cmd: [{"x" * 200}, "a\\nb"]'))

    assert "..." in problem
    assert "\n" not in problem
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HEAD + "study:\n- {name: a, description: d, run: {cmd: x}}\n"
            "- name: b\n  description: d\n  run: {cmd: x}\n  depends: [a]\n",
            "study.yaml:7: Unrecognized key 'depends' found in study step 'b'. Put it under run.",
        ),
        (
            HEAD + "study: [{name: a, run: {cmd: x, description: d}, description: d}]\n",
            "study.yaml:2: Unrecognized key 'description' found in study step 'a'. Put it beside run, not under it.",
        ),
        (
            HEAD + STEP + "env:\n  paths: []\n",
            "study.yaml:4: Unrecognized key 'paths' found in env. Put it under env.dependencies.",
        ),
        (
            HEAD + STEP + "env:\n  batch: {}\n",
            "study.yaml:4: Unrecognized key 'batch' found in env. Put it at the top level of the file.",
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_said_where_it_belongs(text: str, problem: str):
    assert problems(text) == (problem,)


MERLIN = """\
study:
- {name: a, description: d, run: {cmd: x, task_queue: q, max_retries: 2}}
- {name: b, description: d, run: {cmd: x, task_queue: q}}
merlin: {resources: {workers: {}}}
"""


def _dialect(text: str) -> Findings:
    findings = Findings("study.yaml")
    document = read_document(text, findings)
    check_shape(document, findings)
    check_dialect(document, findings)
    return findings


def test_a_study_for_merlin_is_named_in_one_line():
    with pytest.raises(SpecError) as caught:
        _dialect(HEAD + MERLIN)
    assert caught.value.problems == (
        (
            "study.yaml:5: This is a study for Merlin, not for Maestro. "
            "Run it with 'merlin run', or remove what only Merlin knows: merlin, task_queue, max_retries."
        ),
    )


def test_a_study_that_is_right_may_have_a_section_for_merlin():
    assert _dialect(HEAD + STEP + "merlin: {}\n").problems() == ()
