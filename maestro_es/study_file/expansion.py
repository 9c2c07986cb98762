"""Expands templates and parameters into instances.

It decides which instances exist, and which other instances they depend on. A template uses the parameters that it
names itself, the parameters of its parents, and the parameters of each step X whose ``$(X.workspace)`` it names.
Combinations with the same labels of these parameters share one instance. A funnel (``depends: [X_*]``) passes on no
parameters. The cost is proportional to the result, because a funnel is stored as the name of a template, not as one
edge for each of its instances.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from maestro_es.core import file_names
from maestro_es.core.resubmission_limits import RESTART_LIMIT
from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.core.step_keys import substitute
from maestro_es.core.walltime import walltime_remedy
from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings, shown
from maestro_es.study_file.instances import Expansion, Grouping, Instances, group, numbers
from maestro_es.study_file.names_on_disk import check_names
from maestro_es.study_file.parameters import Parameters, strings_in
from maestro_es.study_file.templates import Template


@dataclass(frozen=True)
class ExpansionSettings:
    """The other inputs of the expansion: names `taken` in the study directory, and options of the run.

    `local` says that no step is scheduled. `extension` is the extension of the scripts.
    """

    taken: tuple[str, ...] = file_names.TAKEN
    local: bool = True
    hash_workspaces: bool = False
    restart_limit: int = RESTART_LIMIT
    extension: str = ""


def expand(
    order: Sequence[Template], parameters: Parameters, settings: ExpansionSettings, findings: Findings
) -> Expansion:
    """Return the instances of all templates. `order` is the order of processing: parents before children.

    The names of the instances are unique, even if the names in the file are not.
    """
    expansion = Expansion()
    groupings: dict[frozenset[str], Grouping] = {}
    for template in _check_references(order, findings):
        used = _used(template, parameters, expansion)
        if used and used not in groupings:
            groupings[used] = group(parameters, used)
        expansion.add(_instances(template, parameters, groupings.get(used), expansion, settings))
        _warn_of_collapsed(expansion.templates[template.name], parameters, findings)
    check_names(expansion, settings.taken, settings.extension, findings, hashed=settings.hash_workspaces)
    return expansion


def _instances(
    template: Template,
    parameters: Parameters,
    grouping: Grouping | None,
    expansion: Expansion,
    settings: ExpansionSettings,
) -> Instances:
    return Instances(
        template,
        parameters,
        grouping,
        expansion.size + 1,
        [expansion.templates[name] for name in template.parents],
        {name: expansion.templates[name] for name in template.references},
        hashed=settings.hash_workspaces,
        local=settings.local,
        restart_limit=settings.restart_limit,
    )


def rows(expansion: Expansion) -> Sequence[int]:
    """Return the line of each instance in ``status.csv``, from 1. Maestro walks the graph breadth-first.

    All instances of a template are parents of the instances that depend on it by a funnel. When the walk meets the
    first of these parents, it adds all dependent instances. So each funnel is followed once.
    """
    starts, children = _edges(expansion)
    funnels = _funnels(expansion)
    row_of, queue = numbers(expansion.size), numbers()
    for instances in expansion.templates.values():
        if not (instances.template.parents or instances.template.funnels):
            queue.extend(instances.numbers())
    for row, number in enumerate(queue, 1):
        row_of[number - 1] = row
    for number in queue:  # the loop appends to this list
        following: Iterable[int] = children[starts[number - 1] : starts[number]]
        into = funnels.pop(expansion.template_of(number), None) if funnels else None
        for child in sorted({*following, *into}) if into else following:
            if not row_of[child - 1]:
                queue.append(child)
                row_of[child - 1] = len(queue)
    return row_of


def _edges(expansion: Expansion) -> tuple[Sequence[int], Sequence[int]]:
    """Return the children of all instances, in the order of the instances, and where the children of each begin."""
    ends = numbers(expansion.size + 1)
    for parent, _ in _pairs(expansion):
        ends[parent] += 1
    for number in range(1, len(ends)):
        ends[number] += ends[number - 1]
    starts, children = ends[:], numbers(ends[-1])
    for parent, child in _pairs(expansion):
        children[ends[parent - 1]] = child
        ends[parent - 1] += 1
    return starts, children


def _pairs(expansion: Expansion) -> Iterator[tuple[int, int]]:
    """Yield the numbers of parent and child for each edge. The children are in ascending order."""
    for instances in expansion.templates.values():
        for child, combo in zip(instances.numbers(), instances.combos() if instances.parents else (), strict=False):
            for parent in instances.parents:
                yield parent.number(combo), child


def _funnels(expansion: Expansion) -> dict[str, list[int]]:
    """Return the instances that depend on each template by a funnel, in ascending order."""
    funnels: dict[str, list[int]] = {}
    for instances in expansion.templates.values():
        for template in instances.template.funnels:
            funnels.setdefault(template, []).extend(instances.numbers())
    return funnels


def _check_references(order: Sequence[Template], findings: Findings) -> Iterator[Template]:
    """Report references to workspaces of steps whose parameters are not yet known, because these steps come later.

    Yield the steps without these references. If a dependency of a step is unknown, the order is unknown too, and
    nothing is reported for the step.
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
    return own.union(*(expansion.templates[name].used for name in inherited))


def _warn_of_collapsed(instances: Instances, parameters: Parameters, findings: Findings) -> None:
    grouping, template = instances.grouping, instances.template
    if grouping is None or not grouping.collapsed:
        return
    declared = (key for key in parameters.keys if key in instances.used)
    message = f"In study step '{template.name}', {grouping.collapsed} of {parameters.count} combinations of parameters"
    remedy = f"Put %% in the labels of {', '.join(declared)}, which stands for the value."
    reason = "they have the same name as an earlier combination, but other values"
    findings.warn(template.line, f"{message} are left out, because {reason}", remedy)


def check_walltimes(
    order: Sequence[Template],
    expansion: Expansion,
    facts: SchedulerFacts,
    document: Document,
    findings: Findings,
    unclear: Collection[str] = (),
) -> list[Template]:
    """Report the first invalid walltime of each template. Return the templates without invalid walltimes.

    A step without nodes and procs is local with any scheduler. So the rules for local walltimes apply to it. Templates
    in `unclear` have unknown values and are not checked.
    """
    sound: list[Template] = []
    for template in order:
        wrong = _wrong_walltime(template, expansion, facts) if template.name not in unclear else None
        if wrong is None:
            sound.append(template)
            continue
        line = document.line("study", template.index, "run", "walltime")
        name, walltime, remedy = wrong
        message = f"In study step '{name}', walltime is {shown(walltime)}, which is not a time"
        findings.problem(line, message, remedy)
        run = {key: value for key, value in template.run.items() if key != "walltime"}
        sound.append(dataclasses.replace(template, run=run))
    return sound


def _wrong_walltime(template: Template, expansion: Expansion, facts: SchedulerFacts) -> tuple[str, object, str] | None:
    """Return the name of the first instance with an invalid walltime, the walltime, and the remedy."""
    written = template.run.get("walltime")
    if not written:
        return None
    instances = expansion.templates[template.name]
    for index in instances.distinct(*(template.run.get(key) for key in ("walltime", "nodes", "procs"))):
        walltime = substitute(written, instances.params(index)) if isinstance(written, str) else written
        remedy = (facts.walltime_remedy if instances.scheduled(index) else walltime_remedy)(walltime)
        if remedy:
            return expansion.name(instances.first + index), walltime, remedy
    return None
