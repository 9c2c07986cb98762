from __future__ import annotations

import pytest

from maestro_es.core.model import Param
from maestro_es.study_file.expansion import ExpansionSettings
from tests.unit.study_file.study import in_rows, names, read, steps

SIZES = (
    "global.parameters:\n  SIZE: {values: [10, 10, 20], label: SIZE.%%}\n  TRIAL: {values: [1, 2, 3], label: T.%%}\n"
)


def test_a_step_without_parameters_is_one_instance_of_its_own_name():
    (step,) = read(steps("a b: cmd: x") + SIZES).expansion().steps

    assert (step.name, step.workspace, step.params) == ("a b", "a_b", ())


def test_combinations_with_equal_labels_are_one_instance():
    expansion = read(steps("a: cmd: $(SIZE)") + SIZES).expansion()

    assert names(expansion) == ["a_SIZE.10", "a_SIZE.20"]
    assert [step.workspace for step in expansion.steps] == ["a/SIZE.10", "a/SIZE.20"]


def test_labels_are_sorted_by_key_and_parameters_stay_as_declared():
    text = steps("a: cmd: $(B) $(A)") + "global.parameters: {B: {values: [1], label: x}, A: {values: [2], label: y}}"
    (step,) = read(text).expansion().steps

    assert step.name == "a_y.x"
    assert step.params == (Param("B", "1", "x", "B"), Param("A", "2", "y", "A"))


def test_a_child_has_the_parameters_of_its_parents_and_each_instance_its_own_parent():
    expansion = read(steps("a: cmd: $(SIZE)", "b: cmd: $(TRIAL), depends: [a]") + SIZES).expansion()

    assert names(expansion)[2:] == ["b_SIZE.10.T.1", "b_SIZE.10.T.2", "b_SIZE.20.T.3"]
    assert [step.parents for step in expansion.steps] == [(), (), (1,), (1,), (2,)]


def test_a_funnel_waits_for_all_and_hands_on_nothing():
    text = steps("a: cmd: $(SIZE)", "b: cmd: ls $(a.workspace), depends: [a_*]", "c: cmd: x, depends: [b]") + SIZES
    a10, a20, b, c = read(text).expansion().steps

    assert (a10.funnels, a20.funnels) == ((), ())
    assert (b.name, b.funnels, b.parents, b.workspaces) == ("b", ("a",), (), {"a": "a"})
    assert (c.name, c.parents) == ("c", (3,))


def test_a_workspace_hands_on_parameters_and_does_not_make_a_step_wait():
    text = steps("b: cmd: ls $(a.workspace)", "a: cmd: $(SIZE)") + SIZES
    steps_ = read(text).expansion().steps

    assert [(step.name, step.parents, step.workspaces) for step in steps_] == [
        ("a_SIZE.10", (), {}),
        ("a_SIZE.20", (), {}),
        ("b_SIZE.10", (), {"a": "a/SIZE.10"}),
        ("b_SIZE.20", (), {"a": "a/SIZE.20"}),
    ]


def test_the_workspace_of_a_step_that_is_processed_later_is_refused_with_a_remedy():
    study = read(steps("a: cmd: x", "b: cmd: ls $(a.workspace)", "c: cmd: ls $(a.workspace)"))

    assert names(study.expansion()) == ["c", "b", "a"]
    assert study.findings.problems() == (
        (
            "study.yaml:4: Workspace for 'a' is being used by study step 'b' before it would be generated. "
            "Add 'a' to the depends of 'b'."
        ),
        (
            "study.yaml:5: Workspace for 'a' is being used by study step 'c' before it would be generated. "
            "Add 'a' to the depends of 'c'."
        ),
    )


def test_a_parameter_in_the_description_counts():
    text = "description: {name: n, description: d}\nstudy: [{name: a, description: $(SIZE.name), run: {cmd: x}}]\n"

    assert len(read(text + SIZES).expansion().steps) == 2


def test_a_label_that_does_not_tell_values_apart_keeps_the_first_with_a_warning():
    study = read(steps("a: cmd: $(P) $(WORKSPACE)") + "global.parameters: {P: {values: [1, 2, 3, 1], label: p}}")
    (step,) = study.expansion().steps

    assert (step.name, step.params[0].value) == ("a_p", "1")
    assert study.findings.warnings() == (
        (
            "study.yaml:3: In study step 'a', 2 of 4 combinations of parameters are left out, because they have the "
            "same name as an earlier combination, but other values. Put %% in the labels of P, "
            "which stands for the value."
        ),
    )


@pytest.mark.parametrize(
    ("run", "local", "scheduled"),
    [
        ("nodes: 1", False, [True]),
        ("procs: 2", False, [True]),
        ("procs: 2", True, [False]),
        ("gpus: 2", False, [False]),
        ("nodes: $(N)", False, [True, False]),
    ],
)
def test_a_step_is_scheduled_if_it_asks_for_nodes_or_procs(run: str, local: bool, scheduled: list[bool]):
    study = read(steps(f"a: cmd: x, {run}") + "global.parameters: {N: {values: [1, ''], label: 'N%%'}}")

    assert [step.scheduled for step in study.expansion(ExpansionSettings(local=local)).steps] == scheduled


def test_only_a_step_with_a_restart_has_a_restart_limit():
    expansion = read(steps("b: cmd: x", "a: cmd: x, restart: y")).expansion(ExpansionSettings(restart_limit=7))

    assert [(step.name, step.restart_limit) for step in expansion.steps] == [("a", 7), ("b", 0)]


def test_short_workspaces_are_numbered_by_distinct_combinations_and_padded():
    values = "[" + ", ".join(str(i // 2) for i in range(22)) + "]"
    study = read(steps("a: cmd: $(P)", "b: cmd: x") + f"global.parameters: {{P: {{values: {values}, label: P%%}}}}")
    expansion = study.expansion(ExpansionSettings(hash_workspaces=True))

    assert [step.workspace for step in expansion.steps][:3] == ["b", "a/a_instance_00", "a/a_instance_01"]
    assert names(expansion)[1] == "a_P0"
    assert expansion.steps[-1].workspace == "a/a_instance_10"


def test_rows_are_breadth_first():
    text = steps(
        "a: cmd: x", "b: cmd: x, depends: [a]", "c: cmd: x, depends: [b]", "d: cmd: x, depends: [a, c]", "e: cmd: x"
    )

    assert in_rows(read(text).expansion()) == ["e", "a", "b", "d", "c"]


def test_rows_follow_a_funnel_from_its_first_instance():
    text = steps(
        "a: cmd: $(TRIAL)", "b: cmd: x, depends: [a]", "c: cmd: x, depends: [a_*]", "d: cmd: x, depends: [b_*]"
    )
    expansion = read(text + SIZES).expansion()

    assert names(expansion) == ["a_T.1", "a_T.2", "a_T.3", "c", "b_T.1", "b_T.2", "b_T.3", "d"]
    assert in_rows(expansion) == ["a_T.1", "a_T.2", "a_T.3", "c", "b_T.1", "b_T.2", "b_T.3", "d"]


def test_ten_thousand_instances_may_funnel_into_ten_thousand():
    values = "[" + ", ".join(map(str, range(10_000))) + "]"
    text = steps("a: cmd: $(P)", "b: cmd: $(P), depends: [a_*]")
    expansion = read(text + f"global.parameters: {{P: {{values: {values}, label: P%%}}}}").expansion()

    assert in_rows(expansion) == names(expansion)
    assert expansion.steps[-1].funnels == ("a",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            steps("a: cmd: $(P)") + "global.parameters: {P: {values: ['1:2', '12'], label: '%%'}}",
            (
                "3: 'a_1:2' and 'a_12' would run in the same directory 'a/12'. Only letters, digits and -_.() of "
                "a name or label stay in a path: choose others, or use --hashws."
            ),
        ),
        (
            steps("a b: cmd: x", "a_b: cmd: x"),
            (
                "3: 'a_b' and 'a b' would run in the same directory 'a_b'. Only letters, digits and -_.() of "
                "a name or label stay in a path: choose others, or use --hashws."
            ),
        ),
        (
            steps("a_P.1: cmd: x", "a: cmd: $(P)") + "global.parameters: {P: {values: [1], label: P.%%}}",
            "3: Study steps 'a' and 'a_P.1' both produce 'a_P.1'. Rename one of them.",
        ),
        (
            steps("events.db: cmd: x"),
            (
                "3: 'events.db' can't have a directory: its directory 'events.db' is taken by a file of the study. "
                "Rename it or change its label."
            ),
        ),
        (
            steps("//: cmd: x"),
            (
                "3: '//' can't have a directory: its directory would be '', which is not a name. "
                "Rename it or change its label."
            ),
        ),
        (
            steps("a: cmd: $(P)") + "global.parameters: {P: {values: [..], label: '%%'}}",
            (
                "3: 'a_..' can't have a directory: its directory would be 'a/..', which is not a name. "
                "Rename it or change its label."
            ),
        ),
    ],
)
def test_directories_that_clash_or_are_none_are_refused(text: str, problem: str):
    study = read(text)
    study.expansion()

    assert study.findings.problems() == (f"study.yaml:{problem}",)


def test_names_that_are_too_long_for_a_file_system_are_refused_unless_shortened():
    study = read(steps("a: cmd: $(P)") + f"global.parameters: {{P: {{values: [{'x' * 300}], label: '%%'}}}}")
    study.expansion(ExpansionSettings(hash_workspaces=True))
    assert not study.findings.problems()

    study.expansion()
    assert "its names would be 319 characters long; at most 255 are allowed" in study.findings.problems()[0]


@pytest.mark.parametrize("name", ["logs", "meta"])
def test_steps_may_share_the_directories_that_maestro_lets_them_share(name: str):
    study = read(steps(f"{name}: cmd: x"))
    study.expansion()

    assert not study.findings.problems()
