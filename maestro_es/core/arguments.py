"""Checks the arguments that a program passes. Each function converts one value to a form that an event can hold.

Maestro hardly checks its arguments. Programs for Maestro therefore pass None for a flag, or a number for a name, and
this module converts such values. A value that a study file can't hold raises a TypeError or a ValueError that names
the argument.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat

from maestro_es.core.model import ArrayUse, Scalar
from maestro_es.errors import RequestRefused

#: The largest number that a log can hold. SQLite stores whole numbers in 64 bits.
LARGEST = 2**63 - 1

#: The settings that `update` may change. The keys are the names of its options.
UPDATABLE = {
    "throttle": "submission_throttle",
    "rlimit": "restart_limit",
    "hardware-limit": "hardware_limit",
    "sleep": "sleep_seconds",
    "array": "array",
}

#: The setting whose value is a word, and the possible words.
_WORD, WORDS = "array", tuple(use.value for use in ArrayUse)

#: How deeply lists and mappings may be nested. Study files need four levels. The limit protects readers from a stack
#: overflow.
_DEEPEST = 50

_PAIR = 2


def text(argument: str, value: object) -> str:
    """Convert a value to a string. None becomes the empty string, and a number is written in digits."""
    return "" if value is None else _text(argument, value)


def name(argument: str, value: object) -> str:
    """Return a string that is not empty."""
    if value is None:
        raise TypeError(f"{argument} must be a string, not None")
    text = _text(argument, value)
    if not text:
        raise ValueError(f"{argument} must not be empty")
    return text


def _text(argument: str, value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if _is_too_long(value):
            raise ValueError(f"{argument} must not have more digits than Python writes")
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a string, not {_kind(value)}")
    if "\0" in value:
        raise ValueError(f"{argument} must not hold a NUL character, but is {value!r}")
    start = _surrogate(value)
    if start is not None:
        must = f"{argument} must be text in UTF-8, but is {value!a}"
        raise UnicodeEncodeError("utf-8", value, start, start + 1, must)
    return str.__str__(value)


def is_utf8(value: str) -> bool:
    """Return whether a string can be encoded in UTF-8. A string with surrogates can't."""
    return _surrogate(value) is None


def _surrogate(value: str) -> int | None:
    if value.isascii():
        return None
    return next((index for index, character in enumerate(value) if "\ud800" <= character <= "\udfff"), None)


def path(argument: str, value: object) -> str:
    """Return a path as a string."""
    path_text = value if isinstance(value, str) else getattr(value, "__fspath__", _not_a_path)()
    if not isinstance(path_text, str):
        raise TypeError(f"{argument} must be a path, not {_kind(value)}")
    return name(argument, path_text)


def _not_a_path() -> None:
    """The default for `__fspath__`, which only paths have."""


def flag(argument: str, value: object) -> bool:
    """Return a flag. None is False; 0 and 1 are False and True."""
    if value is None:
        return False
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{argument} must be True or False, not {_shown(value)}")


def whole(argument: str, value: object) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument} must be a whole number, not {_shown(value)}")
    return operator.index(value)


def count(argument: str, value: object, least: int = 0) -> int:
    """Return a whole number that is not below a minimum."""
    number = whole(argument, value)
    if number < least:
        must = f"must be at least {least}, not" if least else "must not be negative, but is"
        raise ValueError(f"{argument} {must} {_shown(number)}")
    if number > LARGEST:
        raise ValueError(f"{argument} must not be greater than {LARGEST}")
    return number


def seconds(argument: str, value: object) -> float:
    """Return a number of seconds. It may be infinite."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{argument} must be a number of seconds, not {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"{argument} must be a number of seconds, not {_shown(value)}")
    return number


def setting(option: str, value: int | str) -> int | str:
    """Return a valid value of a setting. If the value is not valid, a RequestRefused names the option."""
    if option == _WORD or not isinstance(value, int):
        if option == _WORD and value in WORDS:
            return value
        raise RequestRefused(f"--{option} takes {', '.join(WORDS) if option == _WORD else 'a number'}, not {value!r}")
    if value < 0:
        raise RequestRefused(f"--{option} must not be negative, but is {value}")
    if value > LARGEST:
        raise RequestRefused(f"--{option} takes a number of at most {LARGEST}")
    return value


def assumed(argument: str, option: str, value: object) -> int | str:
    """Check the value that a program assumes for the setting of `option`, and return the value."""
    if option != _WORD:
        return whole(argument, value)
    if value in WORDS:
        return str(value)
    raise ValueError(f"{argument} must be one of {', '.join(WORDS)}, not {_shown(value)}")


def settings_of(options: Mapping[str, int | str]) -> dict[str, Any]:
    """Convert a mapping whose keys are options to one whose keys are settings.

    RequestRefused if a value is not valid.
    """
    return {UPDATABLE[option]: setting(option, value) for option, value in options.items()}


def mapping(argument: str, value: object) -> dict[str, Any]:
    """Return a mapping of strings to values that a study file can hold, at all levels. None becomes empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} must be a dictionary, not {_kind(value)}")
    return {name(f"a key of {argument}", key): plain(f"{argument}[{key!r}]", item) for key, item in value.items()}


def texts(argument: str, value: object) -> dict[str, str]:
    """Return a mapping of strings to strings. Numbers of any size are converted to strings.

    Pairs are accepted instead of a mapping, as in Maestro. None becomes an empty mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        value = _from_pairs(argument, value)
    return {name(f"a key of {argument}", key): _as_text(f"{argument}[{key!r}]", item) for key, item in value.items()}


def _from_pairs(argument: str, value: object) -> dict[object, object]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{argument} must be a dictionary or pairs of a name and a value, not {_kind(value)}")
    pairs = list(value)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == _PAIR for pair in pairs):
        raise ValueError(f"{argument} must be a dictionary or pairs of a name and a value; a pair has two items")
    return dict(pairs)


def _as_text(argument: str, value: object) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return _text(argument, value) if is_number else str(plain(argument, value))


def scalar(argument: str, value: object) -> Scalar:
    """Return a string, number or flag."""
    scalar_value: Scalar = plain(argument, value)
    if isinstance(scalar_value, (list, dict)):
        raise TypeError(f"{argument} must be a string, a number or a flag, not {_kind(value)}")
    return scalar_value


def plain(argument: str, value: object, depth: int = 0) -> Any:  # noqa: ANN401 - whatever a study file can hold
    """Return a value of a study file: a string, number, flag or None, or a list or mapping of these."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(argument, value)
    if isinstance(value, (int, float)):
        return _number(argument, value)
    if depth >= _DEEPEST:
        raise ValueError(f"{argument} must not be nested deeper than {_DEEPEST} levels")
    if isinstance(value, (list, tuple)):
        return [plain(argument, item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {name(f"a key of {argument}", key): plain(argument, item, depth + 1) for key, item in value.items()}
    raise TypeError(f"{argument} can't be {_kind(value)}; give it a string, a number, a flag, a list or a dictionary")


def _number(argument: str, value: float) -> float:
    if abs(value) > LARGEST or not math.isfinite(value):  # in this order, because an int may be too large for a float
        raise ValueError(f"{argument} must be a finite number of at most 64 bits, not {_shown(value)}")
    return operator.index(value) if isinstance(value, int) else float(value)


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _is_too_long(value: float) -> bool:
    """Return whether Python refuses to convert a number to a string. By default, its limit is 4,300 digits."""
    try:
        str(value)
    except ValueError:
        return True
    return False


def _shown(value: object) -> str:
    if isinstance(value, int) and _is_too_long(value):
        return "one of thousands of digits"
    return repr(value) if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__
