"""Errors of a JSON Schema in Maestro's words. Programs look for them, such as Merlin with schemas of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

_QUOTED = re.compile(r"'(.+)'")


def validate_schema(parent_key: str, instance: object, schema: Mapping[str, Any]) -> None:
    """Raise a ValidationError with Maestro's words for the first error of a part of a study file, if there is one.

    ValueError for a rule of the schema that Maestro has no words for.
    """
    for error in Draft7Validator(dict(schema)).iter_errors(instance):
        message = _words(error, parent_key)
        if message is None:
            raise ValueError(f"Validation error: {error.message}")
        raise ValidationError(message)


def _words(error: ValidationError, where: str) -> str | None:
    path = ".".join(map(str, error.path))
    match error.validator:
        case "additionalProperties":
            return f"Unrecognized key '{_quoted(error.message)}' found in {where}."
        case "type":
            kind = error.validator_value
            return f"In {where}, {path} must be of type '{kind}', but found '{type(error.instance).__name__}'."
        case "required":
            return f"Key '{_quoted(error.message)}' is missing from {where}."
        case "uniqueItems":
            return f"Non-unique step names in {where}.run.depends."
        case "minLength":
            return f"In {where}, empty string found as value for {path}."
        case "anyOf":
            kinds: Any = error.validator_value
            return (
                f"The value '{error.instance}' in field {path} of {where} is not of type '{kinds[0].get('type')}' or "
                "does not conform to the format '$(VARNAME)'."
            )
        case _:
            return None


def _quoted(message: str) -> str:
    match = _QUOTED.search(message)
    return match[1] if match else message
