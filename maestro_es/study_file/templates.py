"""Reads the declared steps of a study, with the environment substituted, and checks their dependency graph.

`expansion` decides which instances they get.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.model import SOURCE
from maestro_es.core.walks import topological_sort
from maestro_es.study_file.checks import items, section
from maestro_es.study_file.document import Document
from maestro_es.study_file.env_block import EnvBlock
from maestro_es.study_file.findings import Findings, did_you_mean

#: ``$(X.workspace)``. X may contain spaces and parentheses, but does not extend into another placeholder.
_WORKSPACE = re.compile(r"\$\(([^$\n]+?)\.workspace\)")

#: A text before ``.workspace)`` that can only be the name of a step. Any other text may be a shell command.
_PLAIN_NAME = re.compile(r"[^\s()]+")

#: The mark of a dependency on all instances of a step. It is not part of the step's name.
_FUNNEL = re.compile(r"_\*|\*")


@dataclass(frozen=True)
class Template:
    """A declared step. `dependencies` holds the steps for which it waits, in the order of their declaration.

    Each of these is also in `parents` or in `funnels`. The step shares parameters with a parent, and waits for all
    instances of a funnel.

    `references` holds the steps whose workspaces it names in ``cmd`` or ``restart``. The step gets their parameters,
    but does not wait for them.
    """

    name: str
    description: str
    run: Mapping[str, Any]
    line: int
    dependencies: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    funnels: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    #: The index of the step in the study file, from 0.
    index: int = 0
    #: Whether invalid dependencies were left out, or the name is not unique. If so, some steps before it are unknown.
    incomplete: bool = False

    def event(self) -> StepTemplateAdded:
        """Return the event that adds the step to a study."""
        return StepTemplateAdded(name=self.name, description=self.description, run=dict(self.run))


def read_templates(document: Document, environment: EnvBlock, findings: Findings) -> dict[str, Template]:
    """Return the steps by name, in the order of the file. A duplicate name is a problem, and its step is renamed.

    The lines of ``sources`` are put before ``cmd`` and ``restart`` unchanged. A source is a shell line such as
    ``source env.sh``, which changes the environment of the following lines. (Maestro reads sources and never uses
    them.)
    """
    templates: dict[str, Template] = {}
    for index, step in items(section(document.data), "study"):
        name, run = step.get("name"), step.get("run")
        if not isinstance(name, str) or not isinstance(run, dict):
            continue
        run = environment.apply(run)
        for key in ("cmd", "restart"):
            if isinstance(run.get(key), str):
                run[key] = "\n".join([*environment.sources, run[key]])
        name, description = environment.apply(name), environment.apply(str(step.get("description", "")))
        line = document.line("study", index)
        if name == SOURCE:
            message = f"No step can be called '{SOURCE}', which is the root of Maestro's graph"
            findings.problem(line, message, "Give the step another name.")
        twin = templates.get(name)
        if twin:
            message = f"The step name '{name}' appears twice, first in line {twin.line}"
            findings.problem(line, message, "Step names must be unique: rename one of them.")
            name = f"{name} (step {index + 1})"
        templates[name] = _template(name, description, run, line, index, incomplete=twin is not None)
    return {name: _with_references(template, templates, findings) for name, template in templates.items()}


def _template(
    name: str, description: str, run: dict[str, Any], line: int, index: int, *, incomplete: bool
) -> Template:
    depends = run["depends"] if isinstance(run.get("depends"), list) else []
    declared = [item for item in depends if isinstance(item, str)]
    parents = dict.fromkeys(item for item in declared if "*" not in item)
    funnels = dict.fromkeys(_FUNNEL.sub("", item) for item in declared if "*" in item)
    dependencies = dict.fromkeys(_FUNNEL.sub("", item) for item in declared)
    edges = tuple(dependencies), tuple(parents), tuple(funnels)
    incomplete = incomplete or len(declared) < len(depends)
    return Template(name, description, run, line, *edges, index=index, incomplete=incomplete)


def _with_references(template: Template, known: Mapping[str, Template], findings: Findings) -> Template:
    """Return the template with its references. Report references to steps that don't exist."""
    text = f"{template.run.get('cmd', '')} {template.run.get('restart', '')}"
    references: list[str] = []
    for name in dict.fromkeys(_WORKSPACE.findall(text)):
        if name == template.name:
            message = f"Study step '{name}' refers to its own workspace as $({name}.workspace)"
            findings.problem(template.line, message, "Write $(WORKSPACE).")
        elif name in known:
            references.append(name)
        elif _PLAIN_NAME.fullmatch(name):
            message = f"In study step '{template.name}', the workspace of an unknown step '{name}' is used"
            findings.problem(template.line, message, f"{did_you_mean(name, known)} Name a step of this study.")
    return dataclasses.replace(template, references=tuple(references)) if references else template


def check_dependencies(templates: Mapping[str, Template], findings: Findings) -> dict[str, Template]:
    """Report dependencies on unknown steps, self-dependencies and cycles. Return the steps without them."""
    sound = {name: _with_known(template, templates, findings) for name, template in templates.items()}
    while cycle := _find_cycle(sound):
        message = f"The dependencies of the study form a cycle: {' -> '.join(cycle)}"
        findings.problem(sound[cycle[0]].line, message, "Remove one of these dependencies.")
        for parent, child in itertools.pairwise(cycle):
            sound[child] = _without(sound[child], {parent})
    return sound


def _with_known(template: Template, templates: Mapping[str, Template], findings: Findings) -> Template:
    """Report dependencies on unknown steps and on the step itself. Return the step without them."""
    wrong = [name for name in template.dependencies if name == template.name or name not in templates]
    for name in wrong:
        message = f"Study step '{template.name}' depends on '{name}', but there is no such step"
        remedy = f"{did_you_mean(name, templates)} Name a step of this study."
        if name == template.name:
            message, remedy = f"Study step '{name}' depends on itself", f"Remove '{name}' from its 'depends'."
        findings.problem(template.line, message, remedy)
    return _without(template, wrong) if wrong else template


def _without(template: Template, names: Collection[str]) -> Template:
    """Return a step without some of its dependencies."""
    dependencies, parents, funnels = (
        tuple(name for name in edges if name not in names)
        for edges in (template.dependencies, template.parents, template.funnels)
    )
    return dataclasses.replace(template, dependencies=dependencies, parents=parents, funnels=funnels, incomplete=True)


def processing_order(templates: Mapping[str, Template]) -> list[Template]:
    """Return the templates in Maestro's order, parents before children. Steps are launched in the same order.

    Maestro's order is the reverse postorder of a depth-first walk. So of several siblings, the one that was declared
    last comes first. The dependencies must be known and free of cycles.
    """
    children: dict[str, list[str]] = {name: [] for name in templates}
    starts: list[str] = []
    for template in templates.values():
        for parent in template.dependencies:
            children[parent].append(template.name)
        if not template.dependencies:
            starts.append(template.name)
    names = topological_sort({SOURCE: starts, **children})
    return [templates[name] for name in names if name != SOURCE]


def _find_cycle(templates: Mapping[str, Template]) -> list[str]:
    """Return one cycle, parents first. The list begins and ends with the same step (empty: there is no cycle)."""
    parents: dict[str, Sequence[str]] = {name: template.dependencies for name, template in templates.items()}
    children: dict[str, list[str]] = {name: [] for name in templates}
    for name, names in parents.items():
        for parent in names:
            children[parent].append(name)
    unmet = {name: len(names) for name, names in parents.items()}
    free = [name for name, count in unmet.items() if not count]
    while free:
        for child in children[free.pop()]:
            unmet[child] -= 1
            if not unmet[child]:
                free.append(child)
    tied = {name: [parent for parent in parents[name] if unmet[parent]] for name, count in unmet.items() if count}
    if not tied:
        return []
    name, trail = next(iter(tied)), dict[str, None]()
    while name not in trail:
        trail[name] = None
        name = tied[name][0]
    names = list(trail)
    return [name, *reversed(names[names.index(name) :])]
