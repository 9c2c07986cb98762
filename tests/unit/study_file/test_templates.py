from __future__ import annotations

import pytest

from maestro_es.study_file.templates import Template, processing_order
from tests.unit.study_file.study import HEAD, problems, read, steps

MANY = 100_000


def order(text: str) -> list[str]:
    study = read(text)
    assert not study.findings.problems()
    return [template.name for template in study.order()]


def test_siblings_are_processed_last_declared_first():
    assert order(steps("a: cmd: x", "b: cmd: x", "c: cmd: x")) == ["c", "b", "a"]


def test_parents_are_processed_before_children():
    diamond = steps("a: cmd: x", "b: cmd: x, depends: [a]", "c: cmd: x, depends: [a]", "d: cmd: x, depends: [b, c]")

    assert order(diamond) == ["a", "c", "b", "d"]


def test_a_step_may_be_declared_before_what_it_depends_on():
    assert order(steps("c: cmd: x, depends: [b_*]", "b: cmd: x, depends: [a]", "a: cmd: x")) == ["a", "b", "c"]


def test_a_chain_of_any_length_is_ordered_without_recursion():
    chain = [Template(f"s{i}", "", {}, i, dependencies=(f"s{i - 1}",) if i else ()) for i in range(MANY)]
    chain = chain[::2] + chain[1::2]

    assert [template.name for template in processing_order({template.name: template for template in chain})] == [
        f"s{i}" for i in range(MANY)
    ]


def test_funnels_and_parents_are_told_apart():
    template = read(steps("a: cmd: x", "b: cmd: x", "c: cmd: x, depends: [a_*, b, 'b*']")).templates["c"]

    assert (template.dependencies, template.parents, template.funnels) == (("a", "b"), ("b",), ("a", "b"))


def test_names_of_steps_and_dependencies_may_hold_variables():
    text = steps("a_$(V): cmd: x", "b: cmd: 'ls $(a_1.workspace)', depends: [a_$(V)]") + "env: {variables: {V: 1}}"

    assert order(text) == ["a_1", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            steps("sim: cmd: x", "post: cmd: x, depends: [sin_*]"),
            (
                "4: Study step 'post' depends on 'sin', but there is no such step. "
                "Did you mean 'sim'? Name a step of this study."
            ),
        ),
        (steps("a: cmd: x, depends: [a]"), "3: Study step 'a' depends on itself. Remove 'a' from its 'depends'."),
        (
            steps("z: cmd: x", "a: cmd: x, depends: [c, z]", "b: cmd: x, depends: [a_*]", "c: cmd: x, depends: [b]"),
            "4: The dependencies of the study form a cycle: a -> b -> c -> a. Remove one of these dependencies.",
        ),
        (
            steps("sim: cmd: x", "post: cmd: ls $(sin.workspace)"),
            (
                "4: In study step 'post', the workspace of an unknown step 'sin' is used. "
                "Did you mean 'sim'? Name a step of this study."
            ),
        ),
        (
            steps("a: cmd: x, restart: ls $(a.workspace)"),
            "3: Study step 'a' refers to its own workspace as $(a.workspace). Write $(WORKSPACE).",
        ),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused(text: str, problem: str):
    assert problems(text) == (f"study.yaml:{problem}",)


def test_workspaces_are_found_wherever_they_stand_in_a_command():
    text = steps(
        "a: cmd: x",
        "b c: cmd: x",
        "d(1): cmd: x",
        "z: cmd: 'ls $(a.workspace)/$(b c.workspace) $(d(1).workspace) $(cat my.workspace)', restart: $(a.workspace)",
    )

    assert read(text).templates["z"].references == ("a", "b c", "d(1)")


def test_sources_stand_in_front_of_the_commands_of_every_step():
    text = HEAD + (
        "env: {variables: {V: 1}, sources: [source env.sh, module load m/$(V)]}\n"
        "study: [{name: a, description: d, run: {cmd: run, restart: again}}, {name: b, description: d, run: {cmd: x}}]"
    )
    templates = read(text).templates

    assert templates["a"].run == {
        "cmd": "source env.sh\nmodule load m/1\nrun",
        "restart": "source env.sh\nmodule load m/1\nagain",
    }
    assert templates["b"].run == {"cmd": "source env.sh\nmodule load m/1\nx"}
