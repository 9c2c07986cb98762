from __future__ import annotations

import pytest

from maestro_es.report.table import clean, columns, labelled, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\a", "?[31mred?"),
        ("a\nb", "a?b"),
        ("naïve 東", "naïve 東"),
        ("\u202egnp", "?gnp"),
    ],
)
def test_what_a_terminal_would_obey_is_not_shown(text, shown):
    assert clean(text) == shown


def test_columns_are_aligned_and_numbers_stand_on_the_right():
    assert columns(("Seq", "Step", "What"), [("9", "a", "12"), ("10", "long", "3")]) == [
        "Seq  Step  What",
        "  9  a     12",
        " 10  long  3",
    ]


def test_a_table_without_rows_is_its_header():
    assert columns(("Seq", "Step"), []) == ["Seq  Step"]


def test_wide_characters_take_two_columns():
    assert width("東京") == 4
    assert columns(("A", "B"), [("東京", "x"), ("abcd", "y")])[1:] == ["東京  x", "abcd  y"]


def test_labelled_values_stand_below_each_other_and_empty_ones_are_left_out():
    assert labelled([("Id", "1"), ("Status", "RUNNING\r"), ("Why", "")]) == ["Id:     1", "Status: RUNNING?"]
