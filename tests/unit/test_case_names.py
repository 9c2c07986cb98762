"""The case of a parametrised test has a name that a person can type."""

from __future__ import annotations

import enum
import os

import pytest

from tests.fakes.ids import CASE_LENGTH, VALUE_LENGTH, short_id


class Colour(enum.Enum):
    DARK_RED = "as of old bricks"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("study:\n- {name: 'a'}", "study:_-_name:_a"),
        ("a/b-c_d=1.5,x", "a/b-c_d=1.5,x"),
        ("x" * 1000, "x" * VALUE_LENGTH),
        (b"\xff\0 garbage", "garbage"),
        ("", "empty"),
        ("***", "symbols"),
        (Colour.DARK_RED, "DARK_RED"),
        (os.getpid, "getpid"),
        (lambda: None, "lambda"),
        (7, None),
        (Colour, None),
    ],
)
def test_a_value_adds_a_few_plain_characters_to_the_name_of_a_case(value: object, name: str | None):
    assert short_id(value) == name


def test_no_case_of_the_tests_that_run_has_a_long_name(request: pytest.FixtureRequest):
    """Names that a test gives to its cases itself count as well."""
    names = {item.nodeid: item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    assert not [where for where, name in names.items() if len(name) > CASE_LENGTH or not name.isprintable()]
