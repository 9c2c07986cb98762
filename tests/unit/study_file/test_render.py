from __future__ import annotations

from maestro_es.core.model import Param
from maestro_es.core.step_keys import substitute
from maestro_es.study_file.render import render
from tests.unit.study_file.study import HEAD, read, rendered, steps


def test_every_token_is_replaced_and_the_shell_keeps_its_own():
    study = read(
        HEAD + "env: {variables: {V: v, OUT: $(OUTPUT_PATH)/o}, labels: {L: '$(P.label)-$(V)'}}\n"
        "study:\n"
        "- {name: a, description: '$(P.name) $(L)', run: {cmd: x}}\n"
        "- name: b\n"
        "  description: d\n"
        "  run:\n"
        "    cmd: $(L) $(OUT) $(a.workspace) $(WORKSPACE) $(LAUNCHER) $(date)\n"
        "    restart: again $(a.workspace) $(WORKSPACE)\n"
        "    depends: [a]\n"
        "    nodes: $(P)\n"
        "    exclusive: {allocation: $(P)}\n"
        "global.parameters: {P: {values: [7], label: P.%%}}\n"
    )

    assert rendered(study, "a_P.7").description == "P P.7-v"
    assert rendered(study, "b_P.7").run == {
        "cmd": "P.7-v /study/o /study/a/P.7 /study/b/P.7 $(LAUNCHER) $(date)",
        "restart": "again /study/a/P.7 /study/b/P.7",
        "depends": ["a"],
        "nodes": "7",
        "exclusive": {"allocation": "7"},
    }


def test_workspaces_are_replaced_in_cmd_and_restart_only():
    study = read(steps("a: cmd: x", "b: cmd: $(a.workspace), pre: $(a.workspace) $(WORKSPACE), depends: [a]"))

    assert rendered(study, "b").run["pre"] == "$(a.workspace) $(WORKSPACE)"


def test_a_study_that_was_moved_runs_where_it_is():
    study = read(steps("a: cmd: $(OUTPUT_PATH) $(WORKSPACE)"))

    assert rendered(study, "a", "/elsewhere").run["cmd"] == "/elsewhere /elsewhere/a"


def test_labels_come_before_values_and_values_before_names():
    params = (Param("A", "$(B.name)", "$(A)", "a"), Param("B", "b", "$(B)", "the b"))

    assert substitute("$(A.label) $(B.label)", params) == "the b b"


def test_a_template_is_left_as_it_is():
    run = {"cmd": "$(P)", "depends": ["x"]}

    render("d", run, (Param("P", "1", "P.1", "P"),), "a", {}, "/study")

    assert run == {"cmd": "$(P)", "depends": ["x"]}
