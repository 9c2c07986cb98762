from __future__ import annotations

import pytest

from maestro_es.study_file.env_block import EnvBlock, GitSource, RequiredPath
from tests.unit.study_file.study import HEAD, problems, read

STEP = "study: [{name: a, description: d, run: {cmd: x}}]\n"


def environment(text: str) -> EnvBlock:
    study = read(HEAD + STEP + text)
    assert not study.findings.problems()
    return study.environment


def test_values_are_resolved_to_the_end_in_whatever_order_they_stand():
    env = environment("env: {variables: {C: $(B)/c, B: $(A)/b, A: 1}, labels: {L: $(M).l, M: $(C)}}")

    assert env.apply("$(A) $(B) $(C) $(L)") == "1 1/b 1/b/c 1/b/c.l"


def test_a_token_made_of_a_value_is_replaced_too():
    env = environment("env: {variables: {N: 2, DIR_1: one, DIR_2: two}}")

    assert env.apply("$(DIR_$(N))") == "two"


def test_names_that_define_each_other_are_refused_by_name():
    assert problems(HEAD + STEP + "env:\n  variables:\n    A: x\n    B: $(C)\n    C: $(D)$(B)$(B)\n    D: $(A)\n") == (
        (
            "study.yaml:6: The names B -> C -> B in env are defined by each other. "
            "Give one of them a value without the others' placeholders."
        ),
    )


def test_names_that_hold_each_other_without_end_are_refused_where_it_begins():
    tenfold = [f"    A{n}: {f'$(A{n - 1})' * 10}\n" for n in range(1, 26)]
    assert problems(HEAD + STEP + "env:\n  variables:\n    A0: abc\n" + "".join(tenfold)) == (
        (
            "study.yaml:11: The names in the value of 'A6' add up to more than 1000000 characters. "
            "Use a file for so much text."
        ),
    )


def test_a_long_value_is_well_as_it_stands():
    env = environment(f"env: {{variables: {{A: {'x' * 900_000}, B: {'y' * 900_000}$(A)}}}}")
    assert len(env.apply("$(A)$(B)")) == 2_700_000


def test_what_is_no_name_of_the_environment_is_left_alone():
    env = environment("env: {variables: {A: 1}}")

    assert env.apply("$(date) $(A.label) $A ${A} $(OUTPUT_PATH) $(SIZE.label)") == (
        "$(date) $(A.label) $A ${A} $(OUTPUT_PATH) $(SIZE.label)"
    )


def test_the_directory_of_the_study_stays_a_token_in_every_value_made_of_it():
    env = environment("env: {variables: {OUTPUT_PATH: $(A)/runs, A: /x, DATA: $(OUTPUT_PATH)/data}}")

    assert env.apply("$(DATA) $(OUTPUT_PATH)") == "$(OUTPUT_PATH)/data $(OUTPUT_PATH)"
    assert env.output == "/x/runs"


def test_an_output_path_that_is_defined_by_itself_is_refused():
    assert problems(HEAD + STEP + "env: {variables: {OUTPUT_PATH: $(A)/x, A: $(OUTPUT_PATH)}}") == (
        "study.yaml:3: OUTPUT_PATH is defined by itself. Give it the path of a directory.",
    )


@pytest.mark.parametrize("path", ["$HOME/x", "~/x"])
def test_an_output_path_that_needs_a_shell_gets_a_warning(path: str):
    (warning,) = read(HEAD + STEP + f"env: {{variables: {{OUTPUT_PATH: {path}}}}}").findings.warnings()

    assert warning.startswith(f"study.yaml:3: OUTPUT_PATH '{path}' is used unchanged")


def test_the_directory_of_the_study_file_is_known_as_specroot():
    assert environment("env: {labels: {L: $(SPECROOT)/x}}").apply("$(L)") == "/spec/x"


def test_lists_and_mappings_are_gone_through_and_numbers_are_not():
    env = environment("env: {variables: {A: 1.5, B: true1}}")

    assert env.apply({"k $(A)": ["$(A)", 3, {"x": "$(B)"}], "n": None}) == {
        "k $(A)": ["1.5", 3, {"x": "true1"}],
        "n": None,
    }


def test_names_with_odd_characters_are_names():
    assert environment("env: {variables: {'a+(b)': x}}").apply("$(a+(b))") == "x"


def test_a_path_dependency_is_absolute_and_may_hold_tokens():
    text = "env: {variables: {V: v, W: $(P)/w}, dependencies: {paths: [{name: P, path: ../$(V)}]}}"
    env = environment(text)

    assert env.paths == (RequiredPath("P", "/v", 3),)
    assert env.apply("$(P) $(W)") == "/v /v/w"


def test_a_path_in_the_study_stays_relative_to_it():
    env = environment("env: {dependencies: {paths: [{name: P, path: $(OUTPUT_PATH)/p}]}}")

    assert env.apply("$(P)") == "$(OUTPUT_PATH)/p"


@pytest.mark.parametrize(
    ("given", "ref"), [("", ""), (", tag: v$(V)", "tags/v1"), (", hash: abc", "abc"), (", branch: main", "main")]
)
def test_a_repository_has_a_place_and_something_to_check_out(given: str, ref: str):
    git = f"{{name: G, path: $(OUTPUT_PATH)/deps, url: https://x/$(V){given}}}"
    env = environment(f"env: {{variables: {{V: 1}}, dependencies: {{git: [{git}]}}}}")

    assert env.gits == (GitSource("G", "https://x/1", "$(OUTPUT_PATH)/deps/G", ref, 3),)
    assert env.apply("$(G)/bin") == "$(OUTPUT_PATH)/deps/G/bin"


def test_a_relative_place_of_a_repository_is_made_absolute_so_that_steps_find_it():
    env = environment("env: {dependencies: {git: [{name: G, path: ./deps, url: u}]}}")

    assert env.apply("$(G)") == "/cwd/deps/G"


def test_sources_are_resolved():
    assert environment("env: {variables: {A: x}, sources: [source $(A).sh]}").sources == ("source x.sh",)


def test_ill_formed_parts_are_passed_over_as_the_schema_has_reported_them():
    text = HEAD + STEP + "env: {variables: [], labels: {A: [x]}, sources: 3, dependencies: {git: [{name: [x]}, 3]}}"

    assert read(text).environment.values == {"SPECROOT": "/spec"}
