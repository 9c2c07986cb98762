"""Takes over a study that Maestro has started and whose conductor is dead. It adds a log to the directory.

`plan_import` reads and decides, and changes nothing. `carry_out` writes. The log appears complete, or not at all, so a
study is taken over only once. After that, Maestro's pickle of the study is renamed. Otherwise a new conductor could
read it and run all steps from the beginning, at the same time as maestro-es.

`maestro_es.creation.import_rules` decides what happens to each step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from maestro_es.adapters import process
from maestro_es.adapters.base import Adapter, JobInfo
from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core.attempt_token import imported_token
from maestro_es.core.events import JobSubmitted, NewEvent, StepAdded
from maestro_es.core.file_names import CANCEL
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import JobState, Phase, Settings, StepRecord
from maestro_es.core.unit_of_work import UnitOfWork
from maestro_es.creation.create import new_study_id, take_over
from maestro_es.creation.exclusive_creation import creating
from maestro_es.creation.import_rules import ImportDecision, StepFacts, decide_import, in_flight
from maestro_es.errors import RequestRefused, StudyError
from maestro_es.poller.performers import show_status
from maestro_es.study.claims import make_claim
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.session import Session
from maestro_es.study_file.document import read_file
from maestro_es.study_file.maestro_dir import MaestroDir, read_maestro_dir
from maestro_es.study_file.plan import StudyPlan, plan_study
from maestro_es.study_file.reading import StudyContext

#: Maestro's programs that run a study. ``maestro`` does so with ``-fg``.
_PROGRAMS = ("conductor", "maestro")

#: How many words of a command line are searched for the program. The interpreter and its options precede the program.
_FIRST_WORDS = 4

#: The maximum number of differences that a message names.
_NAMED = 3


@dataclass(frozen=True)
class ImportOptions:
    """The options of the study's ``maestro run``, as the user gives them. The directory does not contain them."""

    settings: Settings
    pargs: Sequence[str] = ()
    spec_root: Path | None = None


@dataclass(frozen=True)
class Import:
    """A study that can be taken over: the decision about each step, and the events that record it."""

    plan: StudyPlan
    settings: Settings
    study_id: str
    decisions: tuple[ImportDecision, ...]
    new_events: tuple[NewEvent, ...]


def plan_import(root: Path, options: ImportOptions, runtime: Runtime) -> Import:
    """Decide what happens to each step. A MaestroError says why the study can't be taken over."""
    root = Path(os.path.abspath(root))
    check_idle(root, process.of_this_user())
    maestro_dir = read_maestro_dir(root)
    plan = _plan(maestro_dir, options)
    _check_instances(maestro_dir, plan)
    study_id = new_study_id()
    work = UnitOfWork(MemoryGraph(), 0, runtime.now())
    work.record(plan.events)
    _check_local_steps(root, process.of_this_user(), plan, work.graph)
    decisions = _decisions(maestro_dir, work.graph, runtime.adapters(plan.batch, runtime.host).scheduler, study_id)
    work.record((decision.step.number, event) for decision in decisions for event in decision.events)
    work.close()
    settings = structs.replace(options.settings, hash_workspaces=maestro_dir.hash_workspaces)
    return Import(plan, settings, study_id, tuple(decisions), tuple(work.new_events))


def carry_out(imported: Import, runtime: Runtime) -> StudyDir:
    """Write the log. From then on, maestro-es runs the study.

    Adopted jobs get claims first, because they count as started.
    """
    root = imported.plan.output
    with creating(root) as site:
        if site.has_study():
            raise _has_log(root)
        for decision in imported.decisions:
            for event in decision.events:
                if isinstance(event, JobSubmitted):
                    workspace = root / decision.step.workspace
                    make_claim(workspace, event.token, event.job_id, "maestro", "maestro", "imported")
        directory = take_over(imported.plan, imported.settings, imported.study_id, imported.new_events, runtime, site)
    for pickle in root.glob("*.study.pkl"):
        pickle.rename(f"{pickle}.imported")
    with Session(root, runtime) as opened:
        show_status(opened)
    return directory


# -- checks before the import ---------------------------------------------------------------------------------------


def check_idle(root: Path, running: Iterable[process.Running]) -> None:
    """Refuse a study that has a log or a pending request of Maestro, or that Maestro is running on this host."""
    study_dir = StudyDir(root)
    if study_dir.log.exists():
        raise _has_log(root)
    if not root.is_dir():
        raise StudyError(f"{root}: there is no such directory")
    if (root / CANCEL).exists():
        raise RequestRefused(
            f"{root}: a request of 'maestro cancel' is pending in it; remove {root / CANCEL} if it is old"
        )
    for other in running:
        if _is_maestro(other, os.path.realpath(root)):
            raise _is_busy(root, other)


def _is_busy(root: Path, other: process.Running) -> RequestRefused:
    command = " ".join(other.arguments)
    return RequestRefused(f"{root}: process {other.pid} is working on it ({command}); wait until it ends, or end it")


def _check_local_steps(root: Path, running: Iterable[process.Running], plan: StudyPlan, graph: MemoryGraph) -> None:
    """Refuse a study if a local step is still running on this host.

    The jobs of other steps are adopted, even if they run on this host. (Some schedulers run a script under its own
    path, so their jobs look like local steps.)
    """
    top = os.path.realpath(root)
    has_jobs = plan.batch.get("type", "local") != "local"
    of_jobs = {os.path.join(top, step.workspace) for step in graph.steps() if has_jobs and step.scheduled}
    for other in running:
        scripts = (
            os.path.realpath(os.path.join(other.folder, word)) for word in other.arguments if word.endswith(".sh")
        )
        ours = {os.path.dirname(script) for script in scripts if script.startswith(f"{top}/")}
        if other.folder.startswith(f"{top}/") and ours - of_jobs:
            raise _is_busy(root, other)


def _has_log(root: Path) -> RequestRefused:
    return RequestRefused(f"{root}: already has an event log; 'maestro-es status {root}' shows its state")


def _is_maestro(other: process.Running, root: str) -> bool:
    """Return whether a process is Maestro working on a study."""
    if not any(os.path.basename(word) in _PROGRAMS for word in other.arguments[:_FIRST_WORDS]):
        return False
    named = {os.path.realpath(os.path.join(other.folder, word)) for word in other.arguments}
    return root in named or process.has_open(other.pid, f"{root}/logs")


# -- expanding the study as Maestro did -----------------------------------------------------------------------------


def _plan(maestro_dir: MaestroDir, options: ImportOptions) -> StudyPlan:
    """Expand the copy of the study file as Maestro did."""
    plan = plan_study(
        maestro_dir.spec,
        SCHEDULERS,
        output=maestro_dir.root,
        timestamp="",
        pgen=maestro_dir.pgen,
        pargs=options.pargs,
        hash_workspaces=maestro_dir.hash_workspaces,
        restart_limit=options.settings.restart_limit,
        context=StudyContext(spec_root=_spec_root(maestro_dir, options), cwd=maestro_dir.launched_in, acquired=True),
    )
    if maestro_dir.batch.get("type", "local") != plan.batch["type"]:
        raise StudyError(
            f"{maestro_dir.root}/batch.info: names the scheduler {maestro_dir.batch.get('type')!r}, but "
            f"{maestro_dir.spec.name} names {plan.batch['type']!r}; make them agree"
        )
    return replace(plan, batch={"type": "local", **maestro_dir.batch})


def _spec_root(maestro_dir: MaestroDir, options: ImportOptions) -> Path:
    """Return SPECROOT, the directory of the study file. RequestRefused if it is needed and unknown."""
    if options.spec_root:
        return options.spec_root
    text = read_file(maestro_dir.spec)
    launched_in = maestro_dir.launched_in
    if launched_in and _same(launched_in / maestro_dir.spec.name, text):
        return launched_in
    if b"$(SPECROOT)" in text:
        raise RequestRefused(
            f"{maestro_dir.spec}: uses $(SPECROOT), the directory of the study file, which Maestro has not "
            "recorded; give it with --specroot"
        )
    return maestro_dir.root


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _check_instances(maestro_dir: MaestroDir, plan: StudyPlan) -> None:
    """Refuse a study whose steps differ from those that Maestro has recorded, and name the differences."""
    ours = {event.name: event for _, event in plan.events if isinstance(event, StepAdded)}
    theirs = {name: workspace for instances in maestro_dir.instances.values() for name, workspace in instances.items()}
    wrong = [f"{name} is in meta/metadata.yaml only" for name in theirs if name not in ours]
    wrong += [f"{name} is not in meta/metadata.yaml" for name in ours if name not in theirs]
    for name in (name for name in ours if name in theirs):
        if theirs[name] != ours[name].workspace:
            wrong.append(f"{name} runs in {theirs[name]}, not in {ours[name].workspace}")
        shown = [f"{param.key}:{param.value}" for param in ours[name].params]
        there = maestro_dir.rows[name].params
        if len(";".join(shown)) != len(there) or any(pair not in there for pair in shown):
            wrong.append(f"{name} has the parameters {there}, not {';'.join(shown)}")
    if wrong:
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise StudyError(
            f"{maestro_dir.spec}: does not produce Maestro's steps: {'; '.join(wrong[:_NAMED])}{more}"
            f"{'; is an argument of its generator missing (--pargs)?' if maestro_dir.pgen else ''}"
        )


# -- deciding about the steps ---------------------------------------------------------------------------------------


def _decisions(maestro_dir: MaestroDir, graph: MemoryGraph, scheduler: Adapter, study_id: str) -> list[ImportDecision]:
    facts = {step.number: _facts(maestro_dir, graph, step) for step in graph.steps()}
    seen = _ask(maestro_dir, graph, facts, scheduler, study_id)
    decisions = []
    for step in graph.steps():
        asked = replace(facts[step.number], seen=seen.get(imported_token(study_id, step.number)))
        decisions.append(decide_import(structs.replace(step), maestro_dir.rows[step.name], asked, study_id))
    return decisions


def _facts(maestro_dir: MaestroDir, graph: MemoryGraph, step: StepRecord) -> StepFacts:
    return StepFacts(
        restartable=bool(graph.template(step.template).run.get("restart")),
        begun=(maestro_dir.root / step.workspace).exists(),
        ended=maestro_dir.ended.get(step.name),
    )


def _ask(
    maestro_dir: MaestroDir, graph: MemoryGraph, facts: Mapping[int, StepFacts], scheduler: Adapter, study_id: str
) -> Mapping[str, JobInfo]:
    """Query the scheduler for the jobs that Maestro knew. Unreachable if it does not answer."""
    jobs = []
    for step in graph.steps():
        row = maestro_dir.rows[step.name]
        if step.scheduled and in_flight(row, facts[step.number]):
            token = imported_token(study_id, step.number)
            jobs.append(structs.replace(step, token=token, job_id=row.job_id, phase=Phase.SUBMITTED))
    if not scheduler.can_submit and any(step.scheduled for step in graph.steps()):
        raise RequestRefused(f"maestro-es can't submit jobs to {scheduler.name} yet, and can't query it")
    seen = scheduler.query_queue(jobs, {}) if jobs else {}
    gone = [job for job in jobs if job.token in seen and seen[job.token].state is JobState.GONE]
    return {**seen, **scheduler.query_accounting(gone)} if gone else seen
