"""Expands templates and parameters into instances: decides which exist, their dependencies and their workspaces.

A template uses the parameters that it names itself, those of its parents, and those of each step X whose
``$(X.workspace)`` it names. Combinations with the same labels of these parameters share one instance. A funnel
(``depends: [X_*]``) passes on no parameters. The cost is proportional to the result: a funnel is stored as the name of
a template, not as one edge for each of its instances.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from maestro_es.core import file_names
from maestro_es.core.events import StepAdded
from maestro_es.core.model import Param, is_scheduled
from maestro_es.core.resubmission_limits import RESTART_LIMIT
from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.core.walltime import walltime_remedy
from maestro_es.study_file import render
from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings, shown
from maestro_es.study_file.parameters import Parameters, strings_in
from maestro_es.study_file.render import substitute
from maestro_es.study_file.templates import Template


@dataclass(frozen=True)
class ExpansionSettings:
    """The other inputs of the expansion: names `taken` in the study directory, and options of the run.

    `local` says that no step is scheduled. `extension` is that of the scripts.
    """

    taken: tuple[str, ...] = file_names.TAKEN
    local: bool = True
    hash_workspaces: bool = False
    restart_limit: int = RESTART_LIMIT
    extension: str = ""


@dataclass
class Expansion:
    """The instances, in the order of their numbers (from 1) and of their launch.

    `used` has the parameters of each template. For each template, `at` has the number of the instance for each
    combination, or only one number if the template uses no parameters.
    """

    steps: list[StepAdded] = field(default_factory=list)
    used: dict[str, frozenset[str]] = field(default_factory=dict)
    at: dict[str, list[int]] = field(default_factory=dict)

    def number(self, template: str, combo: int) -> int:
        """Return the number of the instance of `template` for the combination of that index."""
        return self.at[template][combo if self.used[template] else 0]

    def numbers(self, template: str) -> Iterator[int]:
        """Yield the numbers of all instances of `template`."""
        yield from dict.fromkeys(self.at[template])


def expand(
    order: Sequence[Template], parameters: Parameters, settings: ExpansionSettings, findings: Findings
) -> Expansion:
    """Return the instances of all templates. `order` is the order of processing: parents before children.

    The names of the instances are unique, even if the names in the file are not.
    """
    expansion = Expansion()
    for template in _check_references(order, findings):
        expansion.used[template.name] = _used(template, parameters, expansion)
        _add_instances(template, parameters, settings, expansion, findings)
    _check_collisions(expansion, {template.name: template.line for template in order}, settings, findings)
    return expansion


def rows(expansion: Expansion) -> list[int]:
    """Return the line of each instance in ``status.csv``, from 1. Maestro walks the graph breadth-first.

    All instances of a template are parents of the instances that funnel it. Only the first of them that the walk meets
    can add new instances to it, so each funnel is followed once.
    """
    children, funnels = _edges(expansion)
    row_of = [0] * len(expansion.steps)
    queue = [number for number, step in enumerate(expansion.steps, 1) if not (step.parents or step.funnels)]
    for row, number in enumerate(queue, 1):
        row_of[number - 1] = row
    for number in queue:  # the loop appends to it
        following = children.get(number, [])
        into = funnels.pop(expansion.steps[number - 1].template, None)
        for child in sorted({*following, *into}) if into else following:
            if not row_of[child - 1]:
                queue.append(child)
                row_of[child - 1] = len(queue)
    return row_of


def _check_references(order: Sequence[Template], findings: Findings) -> Iterator[Template]:
    """Report references to workspaces of steps that are processed later, because their parameters are not yet known.

    Yield the steps without these references. If a dependency of a step is unknown, so is the order, and nothing is
    reported for the step.
    """
    earlier: set[str] = set()
    incomplete: set[str] = set()
    for template in order:
        late = [name for name in template.references if name not in earlier]
        if template.incomplete or not incomplete.isdisjoint(template.dependencies):
            incomplete.add(template.name)
        for name in late if template.name not in incomplete else ():
            message = f"Workspace for '{name}' is being used by study step '{template.name}' before it would be"
            remedy = f"Add '{name}' to the depends of '{template.name}'."
            findings.problem(template.line, f"{message} generated", remedy)
        references = tuple(name for name in template.references if name in earlier)
        yield dataclasses.replace(template, references=references) if late else template
        earlier.add(template.name)


def _used(template: Template, parameters: Parameters, expansion: Expansion) -> frozenset[str]:
    own = parameters.used_in(strings_in([template.name, template.description, dict(template.run)]))
    inherited = [*template.parents, *(name for name in template.references if name not in template.funnels)]
    return own.union(*(expansion.used[name] for name in inherited))


def _add_instances(
    template: Template, parameters: Parameters, settings: ExpansionSettings, expansion: Expansion, findings: Findings
) -> None:
    used = expansion.used[template.name]
    if not used:
        expansion.at[template.name] = [len(expansion.steps) + 1]
        directory = render.workspace(template.name)
        expansion.steps.append(_step(template, template.name, directory, (), 0, expansion, settings))
        return
    by_key = sorted(used)
    combos = [".".join(combo[key].label for key in by_key) for combo in parameters.combos]
    nicknames = render.nicknames(template.name, combos) if settings.hash_workspaces else {}
    declared = [key for key in parameters.keys if key in used]
    first: dict[str, tuple[int, tuple[Param, ...]]] = {}
    collapsed = 0
    numbers = expansion.at[template.name] = []
    for index, combo in enumerate(combos):
        params = tuple(parameters.combos[index][key] for key in declared)
        if combo not in first:
            first[combo] = (len(expansion.steps) + 1, params)
            directory = render.workspace(template.name, nicknames.get(combo, combo))
            name = f"{template.name}_{combo}"
            expansion.steps.append(_step(template, name, directory, params, index, expansion, settings))
        numbers.append(first[combo][0])
        collapsed += first[combo][1] != params
    if collapsed:
        message = f"In study step '{template.name}', {collapsed} of {len(combos)} combinations of parameters get the"
        remedy = f"Put %% in the labels of {', '.join(declared)}, which stands for the value."
        findings.warn(template.line, f"{message} name of an earlier one with other values, and are left out", remedy)


def _step(
    template: Template,
    name: str,
    directory: str,
    params: tuple[Param, ...],
    combo: int,
    expansion: Expansion,
    settings: ExpansionSettings,
) -> StepAdded:
    run = {key: template.run.get(key) for key in ("nodes", "procs")}
    run = {key: substitute(value, params) if isinstance(value, str) else value for key, value in run.items()}
    return StepAdded(
        name=name,
        template=template.name,
        workspace=directory,
        params=params,
        parents=tuple(expansion.number(parent, combo) for parent in template.parents),
        funnels=template.funnels,
        workspaces={
            reference: render.workspace(reference)
            if reference in template.funnels
            else expansion.steps[expansion.number(reference, combo) - 1].workspace
            for reference in template.references
        },
        scheduled=not settings.local and is_scheduled(run),
        restart_limit=settings.restart_limit if template.run.get("restart") else 0,
    )


def _edges(expansion: Expansion) -> tuple[dict[int, list[int]], dict[str, list[int]]]:
    """Return the children of each instance, and the instances that funnel each template, in ascending order."""
    children: dict[int, list[int]] = {}
    funnels: dict[str, list[int]] = {}
    for number, step in enumerate(expansion.steps, 1):
        for parent in step.parents:
            children.setdefault(parent, []).append(number)
        for template in step.funnels:
            funnels.setdefault(template, []).append(number)
    return children, funnels


def _check_collisions(
    expansion: Expansion, lines: Mapping[str, int], settings: ExpansionSettings, findings: Findings
) -> None:
    """Report instances that would share a name or a directory, and directories that can't be created.

    The second instance with the same name gets another name.
    """
    names: dict[str, StepAdded] = {}
    directories: dict[str, StepAdded] = {}
    for number, step in enumerate(expansion.steps, 1):
        line = lines[step.template]
        if step.name in names:
            message = f"Study steps '{names[step.name].template}' and '{step.template}' both make '{step.name}'"
            findings.problem(line, message, "Rename one of them.")
            expansion.steps[number - 1] = msgspec.structs.replace(
                step, name=f"{step.name} ({step.template}, {number})"
            )
        elif step.workspace in directories:
            message = f"'{directories[step.workspace].name}' and '{step.name}' would run in the same directory"
            remedy = (
                "Only letters, digits and -_.() of a name or label stay in a path: choose others, or use --hashws."
            )
            findings.problem(line, f"{message} '{step.workspace}'", remedy)
        names[step.name] = directories[step.workspace] = step
        stem = step.workspace.rpartition("/")[2] if settings.hash_workspaces else step.name
        wrong = render.objection(step.workspace, stem, settings.taken, settings.extension)
        if wrong:
            findings.problem(line, f"'{step.name}' can't have a directory: {wrong}", "Rename it or change its label.")


def check_walltimes(
    order: Sequence[Template],
    expansion: Expansion,
    facts: SchedulerFacts,
    document: Document,
    findings: Findings,
    unclear: Collection[str] = (),
) -> list[Template]:
    """Report the first invalid walltime of each template; return the templates without invalid walltimes.

    A step without nodes and procs is local, whatever the scheduler, and so are the rules for its walltime. Templates
    in `unclear` have unknown values and are not checked.
    """
    sound: list[Template] = []
    for template in order:
        written = template.run.get("walltime")
        for number in expansion.numbers(template.name) if written and template.name not in unclear else ():
            step = expansion.steps[number - 1]
            walltime = substitute(written, step.params) if isinstance(written, str) else written
            remedy = (facts.walltime_remedy if step.scheduled else walltime_remedy)(walltime)
            if remedy:
                line = document.line("study", template.index, "run", "walltime")
                message = f"In study step '{step.name}', walltime is {shown(walltime)}, which is no time"
                findings.problem(line, message, remedy)
                run = {key: value for key, value in template.run.items() if key != "walltime"}
                sound.append(dataclasses.replace(template, run=run))
                break
        else:
            sound.append(template)
    return sound
