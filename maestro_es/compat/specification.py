"""`YAMLSpecification` by Maestro's name: a study file as the objects that a study is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.compat.study import StudyStep
from maestro_es.study_file.document import read_file
from maestro_es.study_file.parameters import ParameterGenerator
from maestro_es.study_file.study_environment import GitDependency, PathDependency, Script, StudyEnvironment, Variable
from maestro_es.study_file.study_text import study_data


class YAMLSpecification:
    """A study file: what is in it, and the objects that a `Study` is made of. `path` is the file, if it was one."""

    def __init__(self, data: Mapping[str, Any], path: str = "") -> None:
        self.path = path
        self.description: dict[str, Any] = data["description"]
        self.environment: dict[str, Any] = data.get("env") or {}
        self.batch: dict[str, Any] = data.get("batch") or {}
        self.study: list[dict[str, Any]] = data["study"]
        self.globals: dict[str, Any] = data.get("global.parameters") or {}

    @classmethod
    def load_specification(cls, path: str | os.PathLike[str]) -> YAMLSpecification:
        """Read a study file. SpecError has everything that is wrong with it."""
        return cls(study_data(read_file(Path(path)).decode(), os.fspath(path), SCHEDULERS), os.fspath(path))

    @classmethod
    def load_specification_from_stream(cls, stream: TextIO) -> YAMLSpecification:
        """Read a study file from an open file."""
        return cls(study_data(stream.read(), getattr(stream, "name", "study file"), SCHEDULERS))

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.description["name"])

    @property
    def desc(self) -> str:
        """What the study is for."""
        return str(self.description["description"])

    @property
    def output_path(self) -> str:
        """The variable OUTPUT_PATH, empty if there is none."""
        return str((self.environment.get("variables") or {}).get("OUTPUT_PATH", ""))

    def get_study_environment(self) -> StudyEnvironment:
        """Return the environment, with OUTPUT_PATH as a variable if the file has it."""
        made = StudyEnvironment()
        for kind in ("variables", "labels"):
            for name, value in (self.environment.get(kind) or {}).items():
                made.add(Variable(name, value))
        for source in self.environment.get("sources") or ():
            made.add(Script(source))
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
        for key, parameter in self.globals.items():
            made.add_parameter(key, parameter["values"], parameter["label"])
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
