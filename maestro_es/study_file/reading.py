"""Reads and checks a study file up to its expansion.

Also converts study files from and to data, for studies in Python.

`expansion` and `plan` make the checks that need the expanded study.
"""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maestro_es.core.scheduler_facts import SchedulerFacts, Schedulers
from maestro_es.errors import SpecError, UnknownAdapter
from maestro_es.study_file import dependencies
from maestro_es.study_file.checks import check_meaning, environment_names, section
from maestro_es.study_file.document import Document, read_document, read_file
from maestro_es.study_file.env_block import EnvBlock, read_environment
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.parameters import Parameters, strings_in
from maestro_es.study_file.partial import without_faults
from maestro_es.study_file.placeholders import warn_of_batch, warn_of_placeholders
from maestro_es.study_file.templates import Template, check_dependencies, read_templates
from maestro_es.study_file.validation import check_dialect, check_shape

#: Names that always have a value.
_GIVEN = ("OUTPUT_PATH", "SPECROOT", "")


@dataclass(frozen=True)
class StudyContext:
    """The origin of a study, if it is not launched from a file in the current directory.

    `spec_root` is its SPECROOT, and relative paths start at `cwd`. `acquired` says that its repositories have already
    been cloned. `text` is the study file if there is no file on disk. In that case, a program created the study, and
    its steps may have additional keys. `parameters` replaces those in the file.
    """

    spec_root: Path | None = None
    cwd: Path | None = None
    acquired: bool = False
    text: str | None = None
    parameters: Parameters | None = None


#: A study that is launched from its file.
FROM_FILE = StudyContext()


@dataclass(frozen=True)
class StudyFile:
    """A study file with its environment. `document` is the file without its faulty parts.

    `roots` holds its SPECROOT and the directory at which relative paths start. `names` holds all names that env
    declares, including those without a value.
    """

    text: str
    document: Document
    environment: EnvBlock
    roots: tuple[str, str]
    names: frozenset[str]
    parameters: frozenset[str]

    @property
    def unresolved(self) -> frozenset[str]:
        """The names in env that have no value."""
        return self.names.difference(self.environment.values, _GIVEN)

    def with_environment(self, env: dict[str, Any], findings: Findings) -> StudyFile:
        """Return the file with another env."""
        document = self.document.with_data({**self.document.data, "env": env})
        environment = read_environment(document, *self.roots, findings)
        names = frozenset(name for _, name in environment_names(document.data))
        return dataclasses.replace(self, document=document, environment=environment, names=names)


@dataclass(frozen=True)
class CheckedStudy:
    """A study file that has been checked but not expanded. `unclear` holds the steps with unknown values.

    `facts` describes the scheduler, and is None if the batch block has an unknown type.
    """

    text: str
    document: Document
    environment: EnvBlock
    parameters: Parameters
    batch: dict[str, Any]
    templates: Mapping[str, Template]
    unclear: frozenset[str]
    facts: SchedulerFacts | None

    @property
    def local(self) -> bool:
        """Whether all steps run on this host."""
        return bool(self.batch["type"] == "local")


def read_study(spec: Path, context: StudyContext, schedulers: Schedulers, findings: Findings) -> StudyFile:
    """Read the file. Report the problems of its structure, its meaning and its environment."""
    text = _text_of(spec, findings) if context.text is None else context.text
    document = read_document(text, findings)
    check_shape(document, findings, own_keys=context.text is not None)
    if context.text is None:
        check_dialect(document, findings)
    check_meaning(document, schedulers, findings)
    names = frozenset(name for _, name in environment_names(document.data))
    parameters = frozenset(section(document.data, "global.parameters"))
    document = without_faults(document, findings.faults)
    roots = str(context.spec_root or absolute(spec).parent), str(context.cwd or Path.cwd())
    return StudyFile(text, document, read_environment(document, *roots, findings), roots, names, parameters)


def interpret(
    read: StudyFile, parameters: Parameters | None, context: StudyContext, schedulers: Schedulers, findings: Findings
) -> CheckedStudy:
    """Report all other problems of the file, except those that need its expansion.

    `parameters` is None if a generator has failed to create them.
    """
    environment = read.environment
    templates = check_dependencies(read_templates(read.document, environment, findings), findings)
    dependencies.check_outside(environment.paths, () if context.acquired else environment.gits, findings)
    batch = {"type": "local", **section(read.document.data, "batch")}
    known = Parameters() if parameters is None else parameters
    unclear = frozenset[str]() if parameters is not None else frozenset(templates)
    if parameters is not None and findings.problems():
        unclear = _unclear(templates, {*read.unresolved, *read.parameters} - {*parameters.keys, *environment.values})
    facts = _known_facts(batch["type"], schedulers)
    checked = CheckedStudy(read.text, read.document, environment, known, batch, templates, unclear, facts)
    if parameters is not None:
        declared = (*read.parameters, *read.names)
        steps = templates.values()
        warn_of_placeholders(steps, known, environment, declared=declared, local=checked.local, findings=findings)
    warn_of_batch(batch, environment, read.document.line("batch"), findings)
    return checked


def _known_facts(kind: object, schedulers: Schedulers) -> SchedulerFacts | None:
    try:
        return schedulers.find(kind) if isinstance(kind, str) else None
    except UnknownAdapter:
        return None  # `check_meaning` has reported it


def _unclear(templates: Mapping[str, Template], names: set[str]) -> frozenset[str]:
    """Return the steps that use one of these names."""
    declared = Parameters(tuple(names))
    return frozenset(
        name
        for name, template in templates.items()
        if declared.used_in(strings_in([template.name, template.description, dict(template.run)]))
    )


def _text_of(spec: Path, findings: Findings) -> str:
    try:
        return read_file(spec).decode("utf-8")
    except OSError as error:
        raise SpecError([f"{spec}: The study file can't be read: {error.strerror}. Name an existing file."]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        findings.problem(line, "The study file is not UTF-8 text", "Save it with that encoding.")
        findings.stop_if_problems()
        raise


def absolute(path: Path) -> Path:
    """Return the absolute path. As in Maestro, '..' is resolved, and symbolic links are not."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib would keep '..' or follow links


def study_text(data: Mapping[str, Any]) -> str:
    """Return the text of a study file with this data, in the same order. ValueError if YAML can't express a value."""
    try:
        return str(yaml.safe_dump(dict(data), allow_unicode=True, default_flow_style=False, sort_keys=False))
    except yaml.YAMLError as error:
        raise ValueError(f"a study can't hold this value: {error}") from None


def read_data(text: str, file: str) -> dict[str, Any]:
    """Return the data of a YAML file. SpecError if it is not a mapping. `file` is its name in messages."""
    findings = Findings(file)
    document = read_document(text, findings)
    if not isinstance(document.data, dict):
        raise SpecError(
            [f"{file}: The file is not a study: it must be a mapping with the keys description and study."]
        )
    findings.stop_if_problems()
    return dict(document.data)


def check_data(data: Mapping[str, Any], text: str, file: str, schedulers: Schedulers) -> None:
    """Raise SpecError with every problem of a study's data.

    `text` is the text of its file, for the line numbers in messages.
    """
    findings = Findings(file)
    document = read_document(text, Findings(file)).with_data(dict(data)) if text else Document(dict(data))
    check_shape(document, findings)
    check_meaning(document, schedulers, findings)
    findings.stop_if_problems()
