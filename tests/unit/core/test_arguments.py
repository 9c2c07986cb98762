"""Arguments are converted to what an event can hold, or refused by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_es.core import arguments


class Index:
    """A whole number of some library."""

    def __index__(self) -> int:
        return 3


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (arguments.text, None, ""),
        (arguments.text, "why", "why"),
        (arguments.text, 7, "7"),
        (arguments.text, 1.5, "1.5"),
        (arguments.text, Word("ü"), "ü"),
        (arguments.name, 5, "5"),
        (arguments.path, Path("a/b"), "a/b"),
        (arguments.flag, None, False),
        (arguments.flag, 1, True),
        (arguments.count, 0, 0),
        (arguments.count, Index(), 3),
        (arguments.scalar, True, True),
        (arguments.mapping, None, {}),
        (arguments.texts, None, {}),
        (
            arguments.texts,
            {1: 2**70, "b": 1.5, "c": True, "d": [1, None]},
            {"1": str(2**70), "b": "1.5", "c": "True", "d": "[1, None]"},
        ),
        (arguments.mapping, {5: (1, "a", {"b": None})}, {"5": [1, "a", {"b": None}]}),
    ],
)
def test_what_maestro_takes_is_converted(convert: Callable[[str, object], Any], value: object, expected: object):
    found = convert("it", value)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("convert", "value", "error", "words"),
    [
        (arguments.text, True, TypeError, "it must be a string, not bool"),
        (arguments.texts, {"a": [2**70]}, ValueError, r"it\['a'\] must be a finite number of at most 64 bits"),
        (arguments.texts, [1], ValueError, "it must be a dictionary or pairs of a name and a value"),
        (arguments.texts, 1, TypeError, "it must be a dictionary or pairs of a name and a value, not int"),
        (arguments.texts, "ab", TypeError, "it must be a dictionary or pairs of a name and a value, not str"),
        (arguments.texts, [("a", {1})], TypeError, "it.'a'. can't be set"),
        (arguments.text, b"a", TypeError, "it must be a string, not bytes"),
        (arguments.text, "a\0b", ValueError, "it must not hold a NUL character"),
        (arguments.text, "\udc80", ValueError, "it must be text in UTF-8"),
        (arguments.name, None, TypeError, "it must be a string, not None"),
        (arguments.name, "", ValueError, "it must not be empty"),
        (arguments.path, 5, TypeError, "it must be a path, not int"),
        (arguments.path, b"a", TypeError, "it must be a path, not bytes"),
        (arguments.flag, "no", TypeError, "it must be True or False, not 'no'"),
        (arguments.flag, 2, TypeError, "it must be True or False, not 2"),
        (arguments.count, True, TypeError, "it must be a whole number, not True"),
        (arguments.count, 1.5, TypeError, "it must be a whole number, not 1.5"),
        (arguments.count, "3", TypeError, "it must be a whole number, not '3'"),
        (arguments.count, None, TypeError, "it must be a whole number, not None"),
        (arguments.count, -1, ValueError, "it must not be negative, but is -1"),
        (arguments.count, 2**63, ValueError, "it must not be greater than"),
        (arguments.scalar, [1], TypeError, "it must be a string, a number or a flag, not list"),
        (arguments.mapping, [1], TypeError, "it must be a dictionary, not list"),
        (arguments.mapping, {None: 1}, TypeError, "a key of it must be a string, not None"),
        (arguments.mapping, {"a": {1, 2}}, TypeError, r"it\['a'\] can't be set"),
        (arguments.mapping, {"a": float("nan")}, ValueError, r"it\['a'\] must be a finite number"),
        (arguments.mapping, {"a": 2**70}, ValueError, r"it\['a'\] must be a finite number"),
    ],
)
def test_what_no_event_can_hold_is_refused_by_name(
    convert: Callable[[str, object], Any], value: object, error: type[Exception], words: str
):
    with pytest.raises(error, match=words):
        convert("it", value)


def test_what_is_nested_too_deeply_is_refused():
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ValueError, match="must not be nested deeper"):
        arguments.plain("it", deep)


def test_a_count_may_have_a_least_value():
    with pytest.raises(ValueError, match="attempts must be at least 1, not 0"):
        arguments.count("attempts", 0, least=1)


def test_a_number_that_python_does_not_write_is_refused_by_the_name_of_its_argument():
    endless = 10**5000
    with pytest.raises(ValueError, match="it must not have more digits than Python writes"):
        arguments.text("it", endless)
    with pytest.raises(ValueError, match=r"it\['a'\] must not have more digits than Python writes"):
        arguments.texts("it", {"a": endless})
    with pytest.raises(ValueError, match="it must not be negative, but is one of thousands of digits"):
        arguments.count("it", -endless)
    with pytest.raises(ValueError, match="it must be a finite number of at most 64 bits, not one of thousands"):
        arguments.plain("it", endless)
