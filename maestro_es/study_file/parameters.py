"""Zips the values of parameters into combinations. Each value has a label, and each parameter a name.

`expansion` decides which combinations a step gets.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

from maestro_es.core import arguments
from maestro_es.core.model import Param
from maestro_es.core.step_keys import substitute
from maestro_es.study_file.checks import section
from maestro_es.study_file.document import Document

_logger = logging.getLogger(__name__)

#: A text without special characters.
_INERT = re.compile(r"[\w.,:;=+/@%^~-][\w.,:;=+/@%^~ -]*", re.ASCII)


class Combination:
    """One value of each parameter. It has the public methods of Maestro's class with the same name."""

    def __init__(self, token: str = "$") -> None:  # noqa: S107 - a character, not a password
        self._sign = token
        self._by_key: dict[str, Param] = {}
        # By placeholder, as in Maestro.
        self._params: dict[str, Any] = {}
        self._labels: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def add(self, key: str, name: str, value: Any, label: str) -> None:  # noqa: ANN401 - of any kind
        """Add the value of a parameter."""
        self._by_key[key] = Param(key, str(value), str(label), str(name))
        self._params[f"{self._sign}({key})"] = value
        self._labels[f"{self._sign}({key}.label)"] = str(label)
        self._names[f"{self._sign}({key}.name)"] = str(name)

    def __str__(self) -> str:
        """Return all labels."""
        return ".".join(self._labels.values())

    def get_param_string(self, params: Iterable[str]) -> str:
        """Return the labels of some parameters, in the order of their keys."""
        return ".".join(self._by_key[key].label for key in sorted(params))

    def get_param_values(self, params: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """Yield the key and the value of some parameters."""
        yield from ((key, self._params[f"{self._sign}({key})"]) for key in params)

    def apply(self, item: str) -> str:
        """Return a string with the placeholders of all parameters replaced."""
        return substitute(item, list(self._by_key.values()), self._sign)

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return values and labels by their placeholders."""
        return {"params": dict(self._params), "labels": dict(self._labels)}


class ParameterGenerator:
    """The object that a custom generator fills. It has the public names of Maestro's class with the same name.

    A value in `labels` is a string with ``%%``, or a list of labels. As in Maestro, `token` has no effect on
    combinations, whose placeholders always begin with ``$``.
    """

    def __init__(self, token: str = "$", ltoken: str = "%%") -> None:  # noqa: S107 - a character, not a password
        self.parameters: dict[str, Sequence[Any]] = {}
        self.labels: dict[str, str | Sequence[Any]] = {}
        self.names: dict[str, str] = {}
        self.token = token
        self.label_token = ltoken
        self.length = 0

    def add_parameter(
        self, key: str, values: Sequence[Any], label: str | Sequence[Any] | None = None, name: str | None = None
    ) -> None:
        """Add a parameter, or replace the one with this key. All parameters must have the same number of values."""
        key = arguments.name("key", key)
        declared: object = values
        if (
            isinstance(declared, (str, Mapping))
            or not isinstance(declared, Sized)
            or not isinstance(declared, Iterable)
        ):
            raise TypeError(f"values of parameter {key!r} must be a list, not {type(values).__name__}")
        if key in self.parameters:
            _logger.warning("parameter %r is replaced", key)
        if self.length and len(values) != self.length:
            message = f"parameter '{key}' has {len(values)} values, and those before it have {self.length}"
            raise ValueError(message)
        self.parameters[key] = values
        self.length = len(values)
        self.labels[key] = _label(key, label) or f"{key}.{self.label_token}"
        self.names[key] = arguments.text(f"name of parameter {key!r}", name) or key

    def __bool__(self) -> bool:
        """Return whether there are parameters, as in Maestro."""
        return bool(self.parameters)

    def __iter__(self) -> Iterator[Combination]:
        """Yield the combinations."""
        return self.get_combinations()

    def get_combinations(self) -> Iterator[Combination]:
        """Yield the combinations. The i-th takes the i-th value of each parameter."""
        for index in range(self.length):
            combination = Combination()
            for key, values in self.parameters.items():
                label = self.labels[key]
                text = label.replace(self.label_token, str(values[index])) if isinstance(label, str) else label[index]
                combination.add(key, self.names[key], values[index], text)
            yield combination

    def get_used_parameters(self, step: object) -> set[str]:
        """Return the parameters whose placeholders appear in a step, with or without a suffix such as ``.label``."""
        pattern = _pattern_of(self.parameters, self.token)
        return {key for text in strings_in(vars(step)) for key in pattern.findall(text)} if self.parameters else set()

    def get_metadata(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return values and labels by combination and placeholder."""
        return {str(combination): combination.metadata() for combination in self.get_combinations()}


def _label(key: str, label: object) -> str | list[str]:
    """Return a label, or the labels of all values."""
    if isinstance(label, (list, tuple)):
        return [arguments.text(f"label of parameter {key!r}", part) for part in label]
    return arguments.text(f"label of parameter {key!r}", label)


@dataclass(frozen=True)
class Parameters:
    """The combinations of a study. The i-th combination takes the i-th entry in the column of each parameter."""

    keys: tuple[str, ...] = ()
    columns: Mapping[str, Sequence[Param]] = field(default_factory=dict)
    #: The original values, for the metadata. `Param` has their texts in scripts.
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of combinations."""
        return len(next(iter(self.columns.values()), ()))

    @functools.cached_property
    def inert(self) -> frozenset[str]:
        """The parameters whose values have no meaning for a shell, a launcher or a scheduler."""
        return frozenset(
            key
            for key, column in self.columns.items()
            if all(is_inert(text) for param in column for text in (param.value, param.label, param.name))
        )

    def used_in(self, texts: Iterable[str]) -> frozenset[str]:
        """Return the parameters whose placeholders appear in `texts`, with or without a suffix such as ``.label``."""
        return frozenset(key for text in texts for key in self._pattern.findall(text)) if self.keys else frozenset()

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _pattern_of(self.keys)


def is_inert(text: str) -> bool:
    """Whether a text has no meaning for a shell, a launcher or a scheduler."""
    return _INERT.fullmatch(text) is not None


def _pattern_of(keys: Iterable[str], sign: str = "$") -> re.Pattern[str]:
    """Return the pattern of the placeholders of some parameters."""
    return re.compile(re.escape(sign) + r"\((" + "|".join(map(re.escape, keys)) + r")(?:\.\w+)?\)")


def strings_in(item: Any) -> Iterator[str]:  # noqa: ANN401 - whatever a step holds
    """Yield every string in `item`, in lists and in the values of mappings."""
    stack = [item]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, (list, dict)):
            stack += part if isinstance(part, list) else part.values()


def combine(
    values: Mapping[str, Sequence[Any]],
    labels: Mapping[str, str | Sequence[Any]],
    names: Mapping[str, str],
    label_token: str = "%%",  # noqa: S107 - a placeholder, not a password
) -> Parameters:
    """Zip lists of values into combinations. In a label, the value replaces `label_token`."""
    columns: dict[str, list[Param]] = {}
    for key, combination_values in values.items():
        label, name = labels[key], str(names[key])
        texts = map(str, combination_values)
        if isinstance(label, str):
            columns[key] = [Param(key, text, label.replace(label_token, text), name) for text in texts]
        else:
            columns[key] = [Param(key, text, str(part), name) for text, part in zip(texts, label, strict=True)]
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("the parameters have different numbers of values")
    as_lists = {key: column if isinstance(column, list) else list(column) for key, column in values.items()}
    return Parameters(tuple(values), columns, as_lists)


def read_parameters(document: Document) -> Parameters:
    """Return the parameters of the study file. `checks` reports lists that are empty or of unequal lengths.

    Empty lists are ignored. The shortest of the other lists determines the number of combinations.
    """
    values: dict[str, Sequence[Any]] = {}
    labels: dict[str, str | Sequence[Any]] = {}
    for key, parameter in section(document.data, "global.parameters").items():
        if isinstance(parameter, dict) and isinstance(parameter.get("values"), list) and parameter["values"]:
            values[key] = parameter["values"]
            labels[key] = str(parameter.get("label") or f"{key}.%%")
    length = min(map(len, values.values()), default=0)
    values = {key: row_values[:length] for key, row_values in values.items()}
    return combine(values, labels, {key: key for key in values})
