from __future__ import annotations

import pytest

from maestro_es.core.model import Param
from maestro_es.study_file.parameters import ParameterGenerator, Parameters, combine, strings_in
from tests.unit.study_file.study import HEAD, read


def parameters(text: str) -> Parameters:
    return read(HEAD + "global.parameters:\n" + text).parameters


def test_combination_i_takes_the_ith_value_of_each_parameter():
    made = parameters("  P: {values: [1, 2], label: P.%%}\n  Q: {values: [a, b], label: 'q%%-%%'}\n")

    assert made.keys == ("P", "Q")
    assert made.columns == {
        "P": [Param("P", "1", "P.1", "P"), Param("P", "2", "P.2", "P")],
        "Q": [Param("Q", "a", "qa-a", "Q"), Param("Q", "b", "qb-b", "Q")],
    }


def test_values_stand_in_scripts_as_python_writes_them():
    made = parameters("  P: {values: [1.50, true, ~, 1e-3, [1, a]], label: P.%%}\n")

    assert [param.value for param in made.columns["P"]] == ["1.5", "True", "None", "1e-3", "[1, 'a']"]


def test_lists_that_do_not_fit_together_make_as_many_combinations_as_the_shortest():
    made = parameters(
        "  P: {values: [1, 2], label: P.%%}\n  Q: {values: [], label: Q}\n  R: {values: [3], label: R}\n"
    )

    assert (made.keys, made.count) == (("P", "R"), 1)


def test_a_generator_may_give_a_label_for_each_value_and_a_name():
    made = combine({"P": [1, 2]}, {"P": ["one", 2]}, {"P": "the p"})

    assert made.columns["P"] == [Param("P", "1", "one", "the p"), Param("P", "2", "2", "the p")]


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("$(SIZE)", {"SIZE"}),
        ("x$(SIZE.label)y", {"SIZE"}),
        ("$(SIZE.name)", {"SIZE"}),
        ("$(SIZE2)", {"SIZE2"}),
        ("$(SIZE.a.b) ${SIZE} $SIZE $(SIZE )", set()),
        ("$(SIZE)$(SIZE2.label)", {"SIZE", "SIZE2"}),
    ],
)
def test_a_parameter_is_used_where_one_of_its_tokens_stands(text: str, used: set[str]):
    assert combine({"SIZE": [1], "SIZE2": [2]}, {"SIZE": "", "SIZE2": ""}, {"SIZE": "", "SIZE2": ""}).used_in(
        [text]
    ) == frozenset(used)


def test_every_string_of_a_step_is_looked_at():
    assert sorted(strings_in({"a": "1", "b": ["2", {"c": "3"}, 4], "d": None})) == ["1", "2", "3"]


def test_the_generator_class_has_maestros_defaults():
    generator = ParameterGenerator()
    assert not generator

    generator.add_parameter("P", [1, 2])
    generator.add_parameter("P", [3, 4], name="p")

    assert generator
    assert (generator.parameters, generator.labels, generator.names) == ({"P": [3, 4]}, {"P": "P.%%"}, {"P": "p"})


def test_the_generator_class_refuses_lists_of_unequal_lengths():
    generator = ParameterGenerator()
    generator.add_parameter("P", [1, 2])

    with pytest.raises(ValueError, match="parameter 'Q' has 1 values, and those before it have 2"):
        generator.add_parameter("Q", [1])
