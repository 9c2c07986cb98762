"""`YAMLSpecification`: Maestro's class that reads a study file and returns the objects for a `Study`.

`maestro_es.study_file` decides what is wrong with a study file. If Maestro has a message for the fault, that message
is used.
"""

from __future__ import annotations

import contextlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError as SchemaError

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.compat.environment import GitDependency, PathDependency, StudyEnvironment
from maestro_es.compat.study_step import StudyStep
from maestro_es.errors import SpecError
from maestro_es.study_file.document import read_file
from maestro_es.study_file.parameters import ParameterGenerator
from maestro_es.study_file.reading import check_data, read_data
from maestro_es.study_file.study_environment import Script, Variable
from maestro_es.study_file.validation import study_schema

Kind = TypeVar("Kind", bound="YAMLSpecification")

_ENVIRONMENT: dict[str, Any] = {"variables": {}, "sources": [], "labels": {}, "dependencies": {}}
#: The keys of env whose names must differ. For a list of paths, Maestro's key differs from the key in a file.
_DEPENDENCIES = ("path", "paths", "git", "spack")


class ValidationError(SpecError, SchemaError):
    """The study file is wrong. `problems` holds all faults.

    `message` holds the first one, in Maestro's words if possible.
    """

    def __init__(self, problems: Iterable[str], message: str) -> None:
        SchemaError.__init__(self, message)
        SpecError.__init__(self, tuple(problems))
        self.message = message


class Specification(ABC):
    """A description of a study. It returns the parts of the study."""

    @abstractmethod
    def verify(self) -> None:
        """Raise an error if the description is wrong."""

    @abstractmethod
    def get_study_environment(self) -> StudyEnvironment:
        """Return the environment."""

    @abstractmethod
    def get_parameters(self) -> ParameterGenerator:
        """Return the parameters."""

    @abstractmethod
    def get_study_steps(self) -> list[StudyStep]:
        """Return the steps."""


class YAMLSpecification(Specification):
    """A study file: its contents, and the objects for a `Study`.

    `path` is the path of the file, None for a stream, and empty before a file is loaded.
    """

    def __init__(self) -> None:
        self.path: str | os.PathLike[str] | None = ""
        self.description: dict[str, Any] = {}
        self.environment: dict[str, Any] = {}
        self.batch: dict[str, Any] = {}
        self.study: list[dict[str, Any]] = []
        self.globals: dict[str, Any] = {}
        self._text = ""

    @classmethod
    def load_specification(cls: type[Kind], path: str | os.PathLike[str]) -> Kind:
        """Read a study file. ValidationError with all faults if it is wrong. OSError if it can't be read."""
        made = cls._loaded(read_file(Path(path)).decode(), os.fspath(path))
        made.path = path
        return made

    @classmethod
    def load_specification_from_stream(cls: type[Kind], stream: TextIO) -> Kind:
        """Read a study file from an open file."""
        return cls._loaded(stream.read(), getattr(stream, "name", "study file"))

    @classmethod
    def _loaded(cls: type[Kind], text: str, file: str) -> Kind:
        data = read_data(text, file)
        made = cls()
        made.path = None
        made.description = data.get("description", {})
        made.environment = data.get("env", {**_ENVIRONMENT})
        made.batch = data.get("batch", {})
        made.study = data.get("study", [])
        made.globals = data.get("global.parameters", {})
        made._text, made.path = text, file
        made.verify()
        made.path = None
        return made

    def verify(self) -> None:
        """Raise a ValidationError if anything is wrong.

        The batch block is not checked, because a program may have an adapter of its own for it.
        """
        parts = {
            "description": self.description,
            "env": self.environment,
            "study": self.study,
            "global.parameters": self.globals,
        }
        # An empty part counts as missing. But steps and a description are required.
        data = {key: part for key, part in parts.items() if part or key in {"description", "study"}}
        try:
            check_data(data, self._text, os.fspath(self.path or "study file"), SCHEDULERS)
        except SpecError as error:
            raise ValidationError(error.problems, self._maestro_says() or error.problems[0]) from None

    def _maestro_says(self) -> str:
        """Return Maestro's message for the first fault that Maestro would find (empty: it has none)."""
        schema = study_schema()
        parts = {**schema["properties"], **schema["definitions"]}
        parts = {key: {**part, "definitions": schema["definitions"]} for key, part in parts.items()}
        with contextlib.suppress(KeyError, TypeError, AttributeError):  # the data is not a study at all
            try:
                self.verify_description(parts["description"])
                self.verify_environment(parts["env"])
                self.verify_study(parts["step"])
                self.verify_parameters(parts["parameter"])
            except SchemaError as error:
                return error.message
            except ValueError as error:
                return str(error)
        return ""

    def verify_description(self, schema: Mapping[str, Any]) -> None:
        """Raise a ValidationError if name and description don't conform to a schema."""
        self.validate_schema("description", self.description, schema)

    def verify_environment(self, schema: Mapping[str, Any]) -> None:
        """Raise a ValidationError if env does not conform to a schema, or a ValueError if a name occurs twice."""
        self.validate_schema("env", self.environment, schema)
        names = set()
        for name, value in (self.environment.get("variables") or {}).items():
            if not name or value == "":
                raise ValueError("All variables must have a valid name and value. Empty strings are not allowed.")
            names.add(name)
        dependencies = self.environment.get("dependencies") or {}
        for kind in _DEPENDENCIES:
            for item in dependencies.get(kind) or ():
                if item["name"] in names:
                    raise ValueError(
                        f"Variable name '{item['name']}' is already taken. All variable names must be unique."
                    )
                names.add(item["name"])

    def verify_study(self, schema: Mapping[str, Any]) -> None:
        """Raise a ValidationError if a step does not conform to a schema, or a ValueError if there are no steps."""
        if not self.study:
            raise ValueError("A study specification MUST contain at least one step in its workflow.")
        for step in self.study:
            self.validate_schema(f"study step '{step['name']}'", step, schema)

    def verify_parameters(self, schema: Mapping[str, Any]) -> None:
        """Raise a ValidationError if a parameter does not conform to a schema, and a ValueError if lengths differ."""
        length = None
        for name, parameter in (self.globals or {}).items():
            self.validate_schema(f"global.params.{name}", parameter, schema)
            values, label = parameter["values"], parameter["label"]
            if isinstance(label, list) and len(label) != len(values):
                raise ValueError(f"Global parameter '{name}' the values length does not match the label list length.")
            if isinstance(label, list) and len(label) != len(set(label)):
                raise ValueError(f"Global parameter '{name}' the label does not contain unique labels.")
            if length not in {None, len(values)}:
                raise ValueError(f"Global parameter '{name}' is not the same length as other parameters.")
            length = len(values)

    @staticmethod
    def validate_schema(parent_key: str, instance: object, schema: Mapping[str, Any]) -> None:
        """Raise a SchemaError if a part of a study file does not conform to a schema."""
        validate_schema(parent_key, instance, schema)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.description["name"])

    @name.setter
    def name(self, value: str) -> None:
        self.description["name"] = value

    @property
    def desc(self) -> str:
        """The study's description."""
        return str(self.description["description"])

    @desc.setter
    def desc(self, value: str) -> None:
        self.description["description"] = value

    @property
    def output_path(self) -> str:
        """The value of the variable OUTPUT_PATH, empty if there is none."""
        return str((self.environment.get("variables") or {}).get("OUTPUT_PATH", ""))

    def get_study_environment(self) -> StudyEnvironment:
        """Return the environment, with OUTPUT_PATH as a variable if the file has it."""
        made = StudyEnvironment()
        for name, value in (self.environment.get("variables") or {}).items():
            made.add(Variable(name, value))
        for source in self.environment.get("sources") or ():
            made.add(Script(source))
        for name, value in (self.environment.get("labels") or {}).items():
            made.add(Variable(name, value))
        dependencies = self.environment.get("dependencies") or {}
        for item in dependencies.get("paths") or ():
            made.add(PathDependency(item["name"], item["path"]))
        for item in dependencies.get("git") or ():
            at = {key: item[key] for key in ("hash", "tag", "branch") if key in item}
            made.add(GitDependency(item["name"], item["url"], item["path"], **at))
        return made

    def get_parameters(self) -> ParameterGenerator:
        """Return the parameters."""
        made = ParameterGenerator()
        for key, parameter in (self.globals or {}).items():
            made.add_parameter(key, parameter["values"], parameter["label"], parameter.get("name"))
        return made

    def get_study_steps(self) -> list[StudyStep]:
        """Return the steps, in the order of the file."""
        made = []
        for declared in self.study:
            step = StudyStep()
            step.name, step.description = declared["name"], declared["description"]
            step.run.update(declared["run"])
            made.append(step)
        return made


_QUOTED = re.compile(r"'(.+)'")


def validate_schema(parent_key: str, instance: object, schema: Mapping[str, Any]) -> None:
    """Check a part of a study file. If it has a fault, raise a SchemaError with Maestro's message for the first one.

    ValueError for a rule of the schema for which Maestro has no message.
    """
    for error in Draft7Validator(dict(schema)).iter_errors(instance):
        message = _message(error, parent_key)
        if message is None:
            raise ValueError(f"Validation error: {error.message}")
        raise SchemaError(message)


def _message(error: SchemaError, where: str) -> str | None:
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
