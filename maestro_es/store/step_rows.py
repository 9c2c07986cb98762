"""Converts the rows of the tables `step` and `template` to records, and back.

If another program has changed a row so that it can't be read, a DamagedLog names the remedy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.model import Cause, Param, Phase, State, StepRecord, SubmissionKind
from maestro_es.core.usage import Usage
from maestro_es.errors import DamagedLog

#: The columns of the table `step`. They have the names of the fields of the record.
FIELDS = StepRecord.__struct_fields__

#: The columns of a step that never change. Writing them again would also update two indexes.
_FIXED = ("number", "name", "template", "params", "workspace", "workspaces", "row")

#: The other columns.
CHANGING = tuple(name for name in FIELDS if name not in _FIXED)

#: The errors that a value of a wrong type raises.
_UNREADABLE = (LookupError, ValueError, TypeError, msgspec.DecodeError)

#: The types of the columns that need no conversion, by the type of the field in `StepRecord`.
_TYPES = {
    "int": (int,),
    "str": (str,),
    "int | None": (int, type(None)),
    "Micros | None": (int, type(None)),
}

#: The combinations of column types that passed the check. There are only a few, and checking each row would take long.
_shapes: set[tuple[type, ...]] = set()

_params = msgspec.json.Decoder(tuple[Param, ...])
_usage = msgspec.json.Decoder(Usage)
_workspaces = msgspec.json.Decoder(dict[str, str])


def as_json(value: object) -> str:
    """Return a value as JSON for a column."""
    return msgspec.json.encode(value).decode()


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "params": lambda params: as_json(params) if params else "[]",
    "workspaces": lambda workspaces: as_json(workspaces) if workspaces else "{}",
    "scheduled": int,
    "cancelling": int,
    "held": int,
    "skipped": int,
    "doubted": int,
    "keep_script": int,
    "state": operator.attrgetter("_name_"),  # `name` calls a function
    "phase": int,
    "kind": operator.attrgetter("_value_"),
    "cause": lambda cause: cause and cause.value,
    "usage": lambda usage: usage and as_json(usage),
}

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "params": _params.decode,
    "workspaces": _workspaces.decode,
    "scheduled": bool,
    "cancelling": bool,
    "held": bool,
    "skipped": bool,
    "doubted": bool,
    "keep_script": bool,
    "state": State.__members__.__getitem__,
    "phase": {int(phase): phase for phase in Phase}.__getitem__,  # `Phase` calls functions
    "kind": {kind.value: kind for kind in SubmissionKind}.__getitem__,
    "cause": lambda cause: cause and Cause(cause),
    "usage": lambda usage: usage and _usage.decode(usage),
}
_ENCODED = [(index, _ENCODERS[name]) for index, name in enumerate(FIELDS) if name in _ENCODERS]
_changing = operator.attrgetter(*CHANGING)
_ENCODED_CHANGES = [(index, _ENCODERS[name]) for index, name in enumerate(CHANGING) if name in _ENCODERS]
_DECODED = [(index, _DECODERS[name]) for index, name in enumerate(FIELDS) if name in _DECODERS]


def to_row(step: StepRecord) -> list[Any]:
    """Return the columns of a record."""
    row = list(msgspec.structs.astuple(step))
    for index, encode in _ENCODED:
        row[index] = encode(row[index])
    return row


def changes(step: StepRecord) -> list[Any]:
    """Return the columns of a record that may change, and its number."""
    row = list(_changing(step))
    for index, encode in _ENCODED_CHANGES:
        row[index] = encode(row[index])
    row.append(step.number)
    return row


def from_row(row: Iterable[Any]) -> StepRecord:
    """Return the record of a row. DamagedLog if `to_row` can't have returned this row."""
    values = list(row)
    try:
        _check_types(values)
        for index, decode in _DECODED:
            values[index] = decode(values[index])
    except _UNREADABLE as error:
        raise damaged(f"of step {values[0]}", error) from None
    return StepRecord(*values)


def _check_types(row: Sequence[Any]) -> None:
    """Check the types of columns that need no conversion, because SQLite accepts a string in a numeric column."""
    shape = tuple(map(type, row))
    if shape not in _shapes:
        for name, value in zip(FIELDS, row, strict=True):
            if name not in _DECODERS and type(value) not in _TYPES[StepRecord.__annotations__[name]]:
                raise ValueError(f"{name} is {value!r}")
        _shapes.add(shape)


def params_of(number: int, column: str) -> tuple[Param, ...]:
    """Return the parameters of a step from the column of its row."""
    try:
        return _params.decode(column)
    except _UNREADABLE as error:
        raise damaged(f"of step {number}", error) from None


def template_of(name: str, rows: Sequence[str]) -> StepTemplateAdded:
    """Return a template from its rows. There should be one row."""
    try:
        return msgspec.json.decode(rows[0], type=StepTemplateAdded)
    except _UNREADABLE as error:
        raise damaged(f"of template {name!r}", error) from None


def damaged(what: str, error: object) -> DamagedLog:
    """Return the error about the projection of a step or template."""
    return DamagedLog(f"the projection {what} is damaged ({error}): run 'maestro-es rebuild'")


class LoadedRecords(dict["int | None", StepRecord]):
    """The loaded records, by number. Any other record is loaded when it is looked up."""

    def __init__(self, load: Callable[[int | None], StepRecord]) -> None:
        super().__init__()
        self._load = load

    def __missing__(self, number: int | None) -> StepRecord:
        return self._load(number)


class NoSuchStep(DamagedLog, KeyError):
    """There is no step with that number. The caller gave a wrong number, or another program has changed a table."""

    __str__ = Exception.__str__
