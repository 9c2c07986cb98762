from __future__ import annotations

from maestro_es.study_file.placeholders import warn_of_batch, warn_of_placeholders
from tests.unit.study_file.study import read, steps

PARAMETERS = "global.parameters: {SIZE: {values: [1], label: SIZE.%%}}\nenv: {variables: {INPUT: x}}\n"


def warnings(*lines: str, local: bool = True) -> tuple[str, ...]:
    study = read(steps(*lines) + PARAMETERS)
    warn_of_placeholders(study.order(), study.parameters, study.environment, local=local, findings=study.findings)
    return study.findings.warnings()


def test_a_token_that_looks_like_a_misspelt_name_gets_a_warning():
    assert warnings("a: cmd: $(SIZZE) $(INPTU) $(WORKSPCE)") == (
        "study.yaml:3: In study step 'a', $(INPTU) is left to the shell. Did you mean '$(INPUT)'?",
        "study.yaml:3: In study step 'a', $(SIZZE) is left to the shell. Did you mean '$(SIZE)'?",
        "study.yaml:3: In study step 'a', $(WORKSPCE) is left to the shell. Did you mean '$(WORKSPACE)'?",
    )


def test_an_unknown_word_of_a_parameter_gets_a_warning():
    assert warnings("a: cmd: $(SIZE.lable)") == (
        (
            "study.yaml:3: In study step 'a', $(SIZE.lable) stays as it is. "
            "A parameter has $(SIZE), $(SIZE.label) and $(SIZE.name)."
        ),
    )


def test_commands_of_the_shell_get_no_warning():
    assert warnings("a: cmd: '$(date) $(size) $(basename $(SIZE)) $(SIZE.label) $(OUTPUT_PATH) $(WORKSPACE)'") == ()


def test_a_launcher_without_a_scheduler_gets_a_warning():
    lines = ("a: cmd: $(LAUNCHER) app, nodes: 1", "b: cmd: '$(LAUNCHER)[2n] app'")

    assert [warning.split(",")[0] for warning in warnings(*lines)] == [
        "study.yaml:3: Study step 'a' uses $(LAUNCHER)",
        "study.yaml:4: Study step 'b' uses $(LAUNCHER)",
    ]
    assert [warning.split(",")[0] for warning in warnings(*lines, local=False)] == [
        "study.yaml:4: Study step 'b' uses $(LAUNCHER)",
    ]


def test_a_variable_in_batch_gets_a_warning_as_nothing_is_replaced_there():
    study = read(steps("a: cmd: x") + PARAMETERS)
    warn_of_batch({"queue": "$(INPUT)", "args": {"x": ["$(date)"]}}, study.environment, 9, study.findings)

    assert study.findings.warnings() == (
        "study.yaml:9: In batch, $(INPUT) stays as it is. Write its value: batch has no placeholders.",
    )
