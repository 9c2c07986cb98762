"""Reports everything that would prevent writing or submitting the scripts of a study, before the study exists.

Steps are rendered by the code that ticks use, for their first start and for their restart, but nothing is written or
submitted. So `validate` and `run` report the problems that a tick would meet. `study_file.instances` decides which
instances of a step must be rendered for this check.

`maestro_es.study_file.validation` checks the study file itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from msgspec import structs

from maestro_es.adapters.base import Adapters, noting
from maestro_es.adapters.host import Host
from maestro_es.core.attempt_token import make_token
from maestro_es.core.events import StudyCreated
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Settings, StepRecord, SubmissionKind, is_local
from maestro_es.core.step_keys import KEYS, amounts, exceeds, megabytes, need_of, substitute
from maestro_es.core.study_rules import new_step
from maestro_es.core.unit_of_work import UnitOfWork
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.workspace import ScriptOf, job_name, plan_job
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.instances import Expansion, samples
from maestro_es.study_file.parameters import is_inert
from maestro_es.study_file.partial import NO_LIMIT
from maestro_es.study_file.plan import StudyPlan
from maestro_es.study_file.render import render
from maestro_es.study_file.templates import Template

#: The maximum size of one argument of a command in Linux (MAX_ARG_STRLEN), in bytes, including the NUL at its end.
_LONGEST_ARGUMENT = 32 * 4096

#: A placeholder for the token of an attempt, which a tick creates.
_TOKEN = make_token("0" * 8, 1, 1, "0" * 8)

#: The maximum length of the name and the description of a step together, in characters. A step with a longer name and
#: description is always checked itself.
_LONGEST_ABOUT = 300

#: Characters that are not expected in commands.
_CONTROL = re.compile(r"[^\t\n\x20-\x7e]")

#: A problem of a step: the key of the run block that causes it (or "run"), and a message.
_Fault = tuple[str, str]


def check_scripts(plan: StudyPlan, findings: Findings, settings: Settings, runtime: Runtime) -> None:
    """Report the problems of a plan's scripts.

    If several instances of a step have a problem, only the first is named.
    """
    work = UnitOfWork(MemoryGraph(), 0, runtime.now())
    created = StudyCreated(study_id="", root=str(plan.output), name=plan.name, adapter=plan.batch, settings=settings)
    work.record([(None, created)])
    adapters, study_dir = runtime.adapters(plan.batch, runtime.host), StudyDir(plan.output)
    sound: set[str] = set()
    for template in plan.templates:
        outline = _outline(template, plan.expansion)
        if template.name in plan.unclear or outline in sound:
            continue
        work.record([(None, template.event())])
        name, faults = _first_faults(
            plan.expansion, template.name, lambda step: list(_faults(work.graph, step, study_dir, adapters))
        )
        if outline and not faults:
            sound.add(outline)
        for part, message in faults:
            findings.problem(plan.line(template.name, part, message), f"In study step '{name}', {message}")
        if is_local(plan.batch):
            _warn_of_needs(plan, template, findings, runtime.host, settings)


def _warn_of_needs(plan: StudyPlan, template: Template, findings: Findings, host: Host, settings: Settings) -> None:
    """Warn of a local step that needs more than this host has, or whose memory can't be read."""
    run = {key: value for key, value in template.run.items() if value != NO_LIMIT}  # such a problem is reported
    if not any(run.get(key) for key in KEYS):
        return
    room = host.size.with_slots(settings.local_slots)
    instances = plan.expansion.templates[template.name]
    for index in samples(instances):
        step = instances.step(index)
        need = need_of(run, step.params)
        size = substitute(str(run.get("memory") or ""), step.params)
        if size and megabytes(size) is None:
            message = f"In study step '{step.name}', memory is {size!r}, which can't be read, so it is not counted"
            findings.warn(plan.line(template.name, "memory", size), message, "Write a number with K, M, G or T.")
            return
        if exceeds(need, room):
            message = f"Study step '{step.name}' needs {amounts(need)}, and this host has {amounts(room, need)}"
            findings.warn(plan.line(template.name, "run", message), message, "It runs when no other local step runs.")
            return


def _outline(template: Template, expansion: Expansion) -> str:
    """Return an outline of a step: the data that a scheduler usually sees.

    Steps with the same outline can only have the same problems. The outline is empty if other data of the step may
    cause problems too. Such a step is always checked itself.
    """
    texts = [str(template.run.get(key) or "") for key in ("cmd", "restart")]
    about = f"{template.name} {template.description}"
    if expansion.templates[template.name].used or "LAUNCHER" in "".join(texts):
        return ""
    if len(about) > _LONGEST_ABOUT or not is_inert(about) or _CONTROL.search("".join(texts)):
        return ""
    others = {key: value for key, value in template.run.items() if key not in {"cmd", "restart", "depends"}}
    return repr((others, [bool(text.strip()) for text in texts], bool(template.references)))


def _first_faults(
    expansion: Expansion, template: str, faults_of: Callable[[StepRecord], list[_Fault]]
) -> tuple[str, list[_Fault]]:
    """Return the first instance of a template with problems, and its problems.

    If a sample has problems, all instances are checked in order, until the first one with problems is found.
    """
    instances = expansion.templates[template]

    def faulty(indexes: Iterable[int]) -> Iterator[tuple[str, list[_Fault]]]:
        for index in indexes:
            step = new_step(instances.first + index, instances.step(index))
            faults = faults_of(step)
            if faults:
                yield step.name, faults

    none: tuple[str, list[_Fault]] = ("", [])
    if next(faulty(samples(instances)), none) is none:
        return none
    return next(faulty(range(len(instances))), none)


def warn_of_scheduler(plan: StudyPlan, findings: Findings, runtime: Runtime) -> None:
    """Warn if the study has jobs for a scheduler to which maestro-es can't submit."""
    scheduler = runtime.adapters(plan.batch, runtime.host).scheduler
    if plan.has_jobs and not scheduler.can_submit:
        message = f"maestro-es can't submit to {scheduler.name} yet, so 'run' refuses this study"
        findings.warn(plan.line("", "type", ""), message, "'run --dry' writes its scripts.")


def _faults(graph: MemoryGraph, step: StepRecord, study_dir: StudyDir, adapters: Adapters) -> Iterator[_Fault]:
    """Yield the problems that would prevent a step from being submitted, at its first start and at a restart."""
    adapter = adapters.of(step)
    kinds = [SubmissionKind.FIRST]
    if graph.template(step.template).run.get("restart"):
        kinds.append(SubmissionKind.RESTART)
    for kind in kinds:
        attempt = structs.replace(step, kind=kind, token=_TOKEN)
        try:
            job = plan_job(ScriptOf(graph, attempt, study_dir, adapters)).job
            command = adapter.submission(job) if adapter.can_submit else []
        except ValueError as error:
            yield from _parts_at_fault(graph, attempt, study_dir, adapters) or [("run", str(error))]
            return
        long = next((word for word in command if len(word.encode()) >= _LONGEST_ARGUMENT), "")
        if long:
            yield "run", f"{long[:30]}... is longer than a command can take, {_LONGEST_ARGUMENT - 1} bytes"
            return


def _parts_at_fault(graph: MemoryGraph, step: StepRecord, study_dir: StudyDir, adapters: Adapters) -> list[_Fault]:
    """Return the parts of a step that cause a problem (empty: the whole step causes it)."""
    template = graph.template(step.template)
    rendered = render(
        template.description, template.run, step.params, step.workspace, step.workspaces, str(study_dir.root)
    )
    name = job_name(step, hashed=graph.study.settings.hash_workspaces)
    faults: list[_Fault] = []
    messages: list[str] = []
    with noting(messages):
        adapters.scheduler.header(name, rendered.description, rendered.run)
    faults += [("run", message) for message in messages]
    for key in ("cmd", "restart"):
        messages = []
        with noting(messages):
            adapters.of(step).command(str(rendered.run.get(key) or ""), rendered.run)
        faults += [(key, message) for message in messages]
    return faults
