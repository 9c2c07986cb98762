"""The entry to this package. It turns a study file into a plan, or raises a SpecError with every problem.

Planning writes nothing. It reads the study file, runs the generator's file, and checks whether path dependencies
exist. `acquire` then clones the git dependencies into the study directory. `maestro_es.creation.create` creates the
study.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maestro_es.core import file_names
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Scalar
from maestro_es.core.resubmission_limits import RESTART_LIMIT
from maestro_es.core.scheduler_facts import Schedulers
from maestro_es.errors import SpecError, UnknownAdapter
from maestro_es.study_file import dependencies, render
from maestro_es.study_file.checks import section
from maestro_es.study_file.env_block import GitSource, RequiredPath
from maestro_es.study_file.expansion import ExpansionSettings, check_walltimes, expand, rows
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.instances import Expansion
from maestro_es.study_file.metadata import metadata_files
from maestro_es.study_file.parameters import Parameters, read_parameters
from maestro_es.study_file.pgen import parse_pargs, run_generator
from maestro_es.study_file.reading import (
    FROM_FILE,
    CheckedStudy,
    StudyContext,
    StudyFile,
    absolute,
    interpret,
    read_study,
)
from maestro_es.study_file.render import OUTPUT_PATH
from maestro_es.study_file.templates import Template, processing_order

#: The part of a step's commands that a message quotes: a launcher, or the name of a variable.
_QUOTED = r"\$\(LAUNCHER\)\[[^\]:]*\]?|(?<=\$)[A-Za-z_]\w*(?= )"

#: A setting at the beginning of a message, as in "exclusive is ..." and "args: ...".
_SETTING = re.compile(r"[a-z]+(?: [a-z]+)*?(?=:| is )")


@dataclass(frozen=True)
class StudyPlan:
    """A study that can be created. `output` is its absolute directory, which planning does not create.

    `templates` holds its steps as the file declares them, in launch order, and `expansion` has their instances.
    `batch` is unchanged from the file: like Maestro, maestro-es does not substitute anything in it.
    """

    name: str
    description: str
    spec_path: Path
    spec_text: str
    batch: dict[str, Any]
    output: Path
    templates: tuple[Template, ...]
    parameters: Parameters
    expansion: Expansion
    warnings: tuple[str, ...]
    pgen_path: Path | None
    path_dependencies: tuple[RequiredPath, ...]
    git_dependencies: tuple[GitSource, ...]
    file: str
    #: A function that returns the line of a message about a step or the batch block.
    line: Callable[[str, str, str], int] = field(repr=False, compare=False)
    #: The steps of a faulty file that have unknown values. They have no scripts.
    unclear: frozenset[str] = frozenset()

    @property
    def has_jobs(self) -> bool:
        """Return whether a scheduler will run at least one step."""
        return any(instances.any_scheduled() for instances in self.expansion.templates.values())

    @property
    def events(self) -> Iterator[NewEvent]:
        """The events that add the steps, in launch order.

        They are made one by one, because there may be a million of them.

        Each StepTemplateAdded (with None) precedes the StepAdded of its instances (with their numbers).
        """
        row_of = rows(self.expansion)
        for template in self.templates:
            yield None, template.event()
            yield from self.expansion.steps_of(template.name, row_of)

    @property
    def metadata(self) -> dict[str, Iterator[str]]:
        """The names of the files for ``meta/``, and their texts in parts."""
        return metadata_files(self.templates, self.parameters, self.expansion, str(self.output))


def plan_study(  # noqa: PLR0913 - the options of a run
    spec: Path,
    schedulers: Schedulers,
    *,
    output: Path | None,
    timestamp: str,
    pgen: Path | None = None,
    pargs: Sequence[str] = (),
    hash_workspaces: bool = False,
    restart_limit: int = RESTART_LIMIT,
    context: StudyContext = FROM_FILE,
    check: Callable[[StudyPlan, Findings], None] | None = None,
    reserve: Callable[[str], Path] | None = None,
) -> StudyPlan:
    """Return the plan of the study in the file `spec`, or raise SpecError with all problems of the file.

    `output` is the study's directory. Without it, the path consists of the variable OUTPUT_PATH (or the current
    directory), the study's name and `timestamp`. If `reserve` is given, it receives this path without the time, and
    returns the directory. Each call must return the same directory.

    `pgen` is a file that creates the parameters from `pargs`. At the end, `check` examines the plan, and adds problems
    and warnings. The plan of a faulty file contains only the usable parts (see `partial`), and is only checked.
    """
    findings = Findings(str(spec))
    arguments = parse_pargs(pargs, pgen, findings)
    read = read_study(spec, context, schedulers, findings)
    directory_for = functools.partial(
        _directory, output=output, timestamp=timestamp, reserve=reserve, findings=findings
    )
    parameters: Parameters | None = context.parameters or read_parameters(read.document)
    if pgen is not None and not context.parameters:
        parameters, read = _generated(read, directory_for(read), pgen, arguments, findings)
    checked = interpret(read, parameters, context, schedulers, findings)
    directory = directory_for(read)
    order = processing_order(checked.templates)
    taken = (*file_names.TAKEN, spec.name, *([pgen.name] if pgen else []))
    settings = ExpansionSettings(
        taken, checked.local, hash_workspaces, restart_limit, checked.facts.extension if checked.facts else ""
    )
    expansion = expand(order, checked.parameters, settings, findings)
    if checked.facts and not context.acquired:  # a study that has already started is not refused
        order = check_walltimes(order, expansion, checked.facts, checked.document, findings, checked.unclear)
    about = section(checked.document.data, "description")
    plan = StudyPlan(
        name=about.get("name", ""),
        description=about.get("description", ""),
        spec_path=absolute(spec),
        spec_text=checked.text,
        batch=checked.batch,
        output=Path(directory),
        templates=tuple(order),
        parameters=checked.parameters,
        expansion=expansion,
        warnings=(),
        pgen_path=None if pgen is None else absolute(pgen),
        path_dependencies=checked.environment.paths,
        git_dependencies=checked.environment.gits,
        file=str(spec),
        line=functools.partial(_line_of, checked),
        unclear=checked.unclear,
    )
    if check and checked.facts:
        _check(plan, findings, check)
    findings.stop_if_problems()
    return dataclasses.replace(plan, warnings=findings.warnings())


def acquire(plan: StudyPlan, run: dependencies.Run, tell: Callable[[str], None] = lambda _: None) -> None:
    """Clone the repositories on which the study depends, and then check the paths. The study's directory must exist.

    `run` runs an argument list. `tell` is called with a line before each long operation. SpecError lists all
    dependencies that could not be acquired.
    """
    findings = Findings(plan.file)
    for dependency in plan.git_dependencies:
        tell(f"fetching the git dependency '{dependency.name}' from {dependency.url}")
        dependencies.clone(dependency, str(plan.output), run, findings)
    dependencies.check_paths(plan.path_dependencies, str(plan.output), findings)
    findings.stop_if_problems()


def _generated(
    read: StudyFile, directory: str, pgen: Path, arguments: Mapping[str, str], findings: Findings
) -> tuple[Parameters | None, StudyFile]:
    """Return the parameters of a generator, and the study file with the generator's changes to the environment.

    The parameters are None if the generator fails, or can't be called because the environment has problems.
    """
    if any(path[0] == "env" for path in findings.faults if path) or read.unresolved:
        return None, read
    values: dict[str, Scalar] = {
        name: value.replace(OUTPUT_PATH, directory) if isinstance(value, str) else value
        for name, value in read.environment.values.items()
    }
    try:
        parameters, env = run_generator(pgen, arguments, read.document, {**values, "OUTPUT_PATH": directory})
    except SpecError as error:
        findings.elsewhere(error.problems)
        return None, read
    return parameters, read if env is None else read.with_environment(env, findings)


def _directory(
    read: StudyFile,
    *,
    output: Path | None,
    timestamp: str,
    reserve: Callable[[str], Path] | None,
    findings: Findings,
) -> str:
    """Return the directory of a study. If the file has problems, the directory is not reserved."""
    if output is not None:
        return str(absolute(output))
    base = absolute(Path(read.environment.output or "."))
    name = section(read.document.data, "description").get("name", "")
    stem = str(base / render.safe(f"{name}_"))
    return str(reserve(stem)) if reserve and not findings.problems() else stem + timestamp


def _check(plan: StudyPlan, findings: Findings, check: Callable[[StudyPlan, Findings], None]) -> None:
    try:
        check(plan, findings)
    except UnknownAdapter:
        if not findings.problems():  # a faulty batch block may be the cause
            raise


def _quoted(message: str, directive: str) -> re.Match[str] | None:
    """Return the part of a step's commands that a message quotes. It may be an option after a `directive`."""
    option = rf"|(?<={re.escape(directive)} )[\w-]+" if directive else ""
    return re.search(_QUOTED + option, message)


def _line_of(checked: CheckedStudy, template: str, part: str, message: str) -> int:
    """Return the line of a key of a step or, without a step, of the batch block.

    If the message quotes a line of the step's commands, return that line. If the message is about the whole step and
    names a setting, return the line of the setting.
    """
    document = checked.document
    if template not in checked.templates:
        return document.line("batch", part)
    step_key = checked.templates[template]
    setting = _SETTING.match(message) if part == "run" else None
    if setting and setting[0] not in step_key.run and setting[0] in section(document.data, "batch"):
        return document.line("batch", setting[0])
    key = document.line(
        "study", step_key.index, "run", *([setting[0]] if setting else [] if part == "run" else [part])
    )
    quoted = _quoted(message, checked.facts.directive if checked.facts else "")
    end = min((other.line for other in checked.templates.values() if other.line > key), default=None)
    lines = enumerate(checked.text.split("\n")[: end and end - 1], 1)
    return next((number for number, line in lines if number >= key and quoted and quoted[0] in line), key)
