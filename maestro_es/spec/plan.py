"""The one entry: a study file -> everything that is needed to create the study, or a SpecError with every problem.

Planning only reads: the study file, the generator's file, and whether path dependencies exist. `acquire` then brings
what git dependencies need into the study directory.
"""

from __future__ import annotations

import dataclasses
import functools
import os.path
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from maestro_es.core.events import Draft, StepAdded, StepTemplateAdded
from maestro_es.core.model import Scalar
from maestro_es.errors import SpecError
from maestro_es.spec import dependencies, paths
from maestro_es.spec.checks import check_meaning, environment_names, section
from maestro_es.spec.document import Document, read_document, read_file
from maestro_es.spec.environment import Environment, GitDependency, PathDependency, read_environment
from maestro_es.spec.expansion import Expansion, Settings, expand, rows
from maestro_es.spec.findings import Findings
from maestro_es.spec.metadata import metadata_files
from maestro_es.spec.parameters import Parameters, read_parameters
from maestro_es.spec.pgen import parse_pargs, run_generator
from maestro_es.spec.render import OUTPUT_PATH
from maestro_es.spec.templates import Template, check_dependencies, processing_order, read_templates
from maestro_es.spec.tokens import warn_of_batch, warn_of_tokens
from maestro_es.spec.validation import check_dialect, check_shape
from maestro_es.spec.walltimes import check_walltimes

#: What a message quotes of a step's commands: a launcher, or a directive and the option in it.
_QUOTED = re.compile(r"\$\(LAUNCHER\)\[[^\]:]*\]?|(?<=#SBATCH )[\w-]+")

#: A setting that a message begins with, as in "exclusive is ..." and "args: ...".
_SETTING = re.compile(r"[a-z]+(?: [a-z]+)*?(?=:| is )")


@dataclass(frozen=True)
class StudyPlan:
    """A study that can be created. `output` is its directory, absolute; nothing of it exists yet.

    `events` are a StepTemplateAdded (with None) before the StepAdded of its instances (with their numbers), in launch
    order. `batch` is as the file has it: Maestro substitutes nothing in it.
    """

    name: str
    description: str
    spec_path: Path
    spec_text: str
    batch: dict[str, Any]
    output: Path
    events: tuple[Draft, ...]
    warnings: tuple[str, ...]
    pgen_path: Path | None
    path_dependencies: tuple[PathDependency, ...]
    git_dependencies: tuple[GitDependency, ...]
    file: str
    describe: Callable[[], dict[str, str]] = field(repr=False, compare=False)
    #: The line of a part of a step (or of the batch block) that a message is about.
    line: Callable[[str, str, str], int] = field(repr=False, compare=False)

    @property
    def has_jobs(self) -> bool:
        """Whether a scheduler is to run one of the steps."""
        return any(isinstance(event, StepAdded) and event.scheduled for _, event in self.events)

    @functools.cached_property
    def metadata(self) -> Mapping[str, str]:
        """The files for ``meta/``: names and texts. Made when asked for, as a large study's take half a second."""
        return self.describe()


@dataclass(frozen=True)
class Given:
    """What is known of a study that is not launched from its file, here and now.

    `spec_root` is its SPECROOT, and `cwd` the directory that relative paths begin at. `acquired` says that its
    repositories were cloned before. `text` is the study file if there is none on the disk, and `parameters` are used
    in place of those in it.
    """

    spec_root: Path | None = None
    cwd: Path | None = None
    acquired: bool = False
    text: str | None = None
    parameters: Parameters | None = None


def plan_study(  # noqa: PLR0913 - the options of a run
    spec: Path,
    *,
    output: Path | None,
    timestamp: str,
    pgen: Path | None = None,
    pargs: Sequence[str] = (),
    hash_workspaces: bool = False,
    restart_limit: int = 1,
    given: Given = Given(),
    check: Callable[[StudyPlan, Findings], None] | None = None,
    reserve: Callable[[str], Path] | None = None,
) -> StudyPlan:
    """Return the plan of the study in the file `spec`, or raise SpecError with all problems of the file.

    `output` is the study's directory; without it, the directory is made of the variable OUTPUT_PATH (or the current
    directory), the study's name and `timestamp`; with `reserve`, it is what that makes of the path without a time, the
    same at each call. `pgen` is a file that makes the parameters, given `pargs`. `check` looks at the plan last and
    adds what it finds to the problems and warnings.
    """
    findings = Findings(str(spec))
    arguments = parse_pargs(pargs, pgen, findings)
    read = _read(spec, given, findings)
    parameters = given.parameters or read_parameters(read.document)
    if pgen is not None and not given.parameters:
        findings.stop_if_problems()
        parameters, read = _generated(read, _directory(read, output, timestamp, reserve), pgen, arguments, findings)
    study = _interpret(read, given, findings)
    batch = {"type": "local", **section(study.document.data, "batch")}
    local = batch["type"] == "local"
    _warn(study, parameters, batch, findings)
    findings.stop_if_problems()
    directory = _directory(read, output, timestamp, reserve)
    order = processing_order(study.templates)
    taken = (*paths.TAKEN, spec.name, *([pgen.name] if pgen else []))
    expansion = expand(order, parameters, Settings(taken, local, hash_workspaces, restart_limit), findings)
    findings.stop_if_problems()
    if not given.acquired:  # what has begun is not stopped by a step that can't
        check_walltimes(order, expansion, batch["type"], study.document, findings)
    plan = StudyPlan(
        name=study.document.data["description"]["name"],
        description=study.document.data["description"]["description"],
        spec_path=_absolute(spec),
        spec_text=study.text,
        batch=batch,
        output=Path(directory),
        events=tuple(_events(order, expansion)),
        warnings=(),
        pgen_path=None if pgen is None else _absolute(pgen),
        path_dependencies=study.environment.paths,
        git_dependencies=study.environment.gits,
        file=str(spec),
        describe=functools.partial(metadata_files, order, parameters, expansion, directory),
        line=functools.partial(_line_of, study),
    )
    if check:
        check(plan, findings)
    findings.stop_if_problems()
    return dataclasses.replace(plan, warnings=findings.warnings())


def acquire(plan: StudyPlan, run: dependencies.Run, tell: Callable[[str], None] = lambda _: None) -> None:
    """Bring what the study needs into its directory, which must exist: clone the repositories, then look at the paths.

    `run` runs an argument list, and `tell` gets a line about what is waited for. Raise SpecError with everything that
    could not be had.
    """
    findings = Findings(plan.file)
    for dependency in plan.git_dependencies:
        tell(f"getting the git dependency '{dependency.name}' from {dependency.url}")
        dependencies.clone(dependency, str(plan.output), run, findings)
    dependencies.check_paths(plan.path_dependencies, str(plan.output), findings)
    findings.stop_if_problems()


@dataclass(frozen=True)
class _File:
    """A study file with its environment; `roots` are its SPECROOT and the directory that relative paths begin at."""

    text: str
    document: Document
    environment: Environment
    roots: tuple[str, str]


@dataclass(frozen=True)
class _Study:
    """A study file, read and checked but not expanded."""

    text: str
    document: Document
    environment: Environment
    templates: Mapping[str, Template]


def _read(spec: Path, given: Given, findings: Findings) -> _File:
    """Read the file, and note what is wrong with its shape, its meaning and its environment."""
    text = _text_of(spec, findings) if given.text is None else given.text
    document = read_document(text, findings)
    check_shape(document, findings)
    check_dialect(document, findings)
    check_meaning(document, findings)
    roots = str(given.spec_root or _absolute(spec).parent), str(given.cwd or Path.cwd())
    return _File(text, document, read_environment(document, *roots, findings), roots)


def _generated(
    read: _File, directory: str, pgen: Path, arguments: Mapping[str, str], findings: Findings
) -> tuple[Parameters, _File]:
    """Return the parameters of a generator, and the file with the environment as the generator leaves it."""
    values: dict[str, Scalar] = {
        name: value.replace(OUTPUT_PATH, directory) if isinstance(value, str) else value
        for name, value in read.environment.values.items()
    }
    parameters, env = run_generator(pgen, arguments, read.document, {**values, "OUTPUT_PATH": directory})
    if env is None:
        return parameters, read
    document = read.document.with_section("env", env)
    environment = read_environment(document, *read.roots, findings)
    return parameters, dataclasses.replace(read, document=document, environment=environment)


def _interpret(read: _File, given: Given, findings: Findings) -> _Study:
    """Note everything else that is wrong with the file, but for what only its expansion shows."""
    environment = read.environment
    templates = read_templates(read.document, environment, findings)
    check_dependencies(templates, findings)
    dependencies.check_outside(environment.paths, () if given.acquired else environment.gits, findings)
    return _Study(read.text, read.document, environment, templates)


def _warn(study: _Study, parameters: Parameters, batch: Mapping[str, Any], findings: Findings) -> None:
    """Warn of tokens that are not replaced, also in a file that has problems: a person reads both at once."""
    data, local = study.document.data, batch["type"] == "local"
    declared = (*section(data, "global.parameters"), *(name for _, name in environment_names(data)))
    templates, environment = study.templates.values(), study.environment
    warn_of_tokens(templates, parameters, environment, declared=declared, local=local, findings=findings)
    warn_of_batch(batch, environment, study.document.line("batch"), findings)


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


def _directory(study: _File, output: Path | None, timestamp: str, reserve: Callable[[str], Path] | None) -> str:
    if output is not None:
        return str(_absolute(output))
    base = _absolute(Path(study.environment.output or "."))
    stem = str(base / paths.safe(f"{study.document.data['description']['name']}_"))
    return str(reserve(stem)) if reserve else stem + timestamp


def _events(order: Sequence[Template], expansion: Expansion) -> Iterator[Draft]:
    place = rows(expansion)
    for template in order:
        yield None, StepTemplateAdded(name=template.name, description=template.description, run=dict(template.run))
        for number in expansion.numbers(template.name):
            yield number, msgspec.structs.replace(expansion.steps[number - 1], row=place[number - 1])


def _line_of(study: _Study, template: str, part: str, message: str) -> int:
    """Return the line of a key of a step, or without a step, of the batch block.

    That of the text itself, if the message quotes a line of the step's commands; of a setting that the message names,
    if it is about the whole step.
    """
    document = study.document
    if template not in study.templates:
        return document.line("batch", part)
    here = study.templates[template]
    setting = _SETTING.match(message) if part == "run" else None
    if setting and setting[0] not in here.run and setting[0] in section(document.data, "batch"):
        return document.line("batch", setting[0])
    key = document.line("study", here.index, "run", *([setting[0]] if setting else [] if part == "run" else [part]))
    quoted = _QUOTED.search(message)
    end = min((other.line for other in study.templates.values() if other.line > key), default=None)
    lines = enumerate(study.text.split("\n")[: end and end - 1], 1)
    return next((place for place, line in lines if place >= key and quoted and quoted[0] in line), key)


def _absolute(path: Path) -> Path:
    """Return `path` as Maestro makes it absolute: '..' goes, links stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib's would keep '..' or follow links
