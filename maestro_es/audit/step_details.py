"""Collects the details of one step, for ``show``.

`maestro_es.cli.show` prints them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from maestro_es.audit.as_of import Past
from maestro_es.audit.attempts import Attempt, attempts, script_of, which_script
from maestro_es.audit.consistent_view import consistent_view
from maestro_es.audit.sentences import listed
from maestro_es.audit.status import step_data
from maestro_es.audit.times import iso
from maestro_es.audit.usage import usage_data
from maestro_es.audit.why.explain import in_full
from maestro_es.core import events as e
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.requests import match_steps
from maestro_es.errors import RequestRefused
from maestro_es.study.session import Session
from maestro_es.study.workspace import job_name, outputs_of, temporary_folder
from maestro_es.study_file.render import safe


class Neighbour(msgspec.Struct, frozen=True):
    """A parent or a child of a step."""

    name: str
    state: str


class Files(msgspec.Struct, frozen=True):
    """The absolute paths of the existing files of a step."""

    scripts: list[str]
    outputs: list[str]
    errors: list[str]


class StepDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The details of a step. `path` is its workspace.

    `script` is the key of the script that it runs, or would run after a retry. `runs_with` describes this script. For
    a past moment, the files are unknown and `files` is None. `funnels` holds the templates for which the step waits,
    each with the number of unfinished instances. `environments` holds the environments of its attempts, and the latest
    one of the study.
    """

    step: StepRecord
    description: str
    why: str
    path: str
    parents: list[Neighbour]
    funnels: dict[str, int]
    children: list[Neighbour]
    attempts: list[Attempt]
    environments: list[RecordedEnvironment]
    script: str
    runs_with: str
    files: Files | None


def find_step(graph: Graph, pattern: str) -> StepRecord:
    """Return the step that matches a pattern. RequestRefused if there is none, or several."""
    number = graph.number_of(pattern)
    if number is not None:
        return graph.step(number)
    matches = match_steps(graph, [pattern])
    if len(matches) > 1:
        names = [step.name for step in matches]
        raise RequestRefused(f"{len(matches)} steps match {pattern}: {listed(names)}; name one of them")
    return matches[0]


def find_steps(graph: Graph, patterns: Sequence[str]) -> list[StepRecord]:
    """Return the steps that match the patterns, by number. RequestRefused if a pattern matches none."""
    numbers = {graph.number_of(pattern) for pattern in patterns}
    if None in numbers:
        return match_steps(graph, patterns)
    return [graph.step(number) for number in sorted(number for number in numbers if number)]


def details(study: Session, pattern: str, past: Past | None, show: Callable[[Micros], str]) -> StepDetails:
    """Return the details of the step that matches a pattern, now or at a past moment.

    For the past, files are left out.

    `show` formats the times in the sentence with the reason.
    """
    graph: Graph = past.graph if past else study.graph
    step = find_step(graph, pattern)
    events = study.log.events_of(step.number)
    recorded_ones = [*study.log.study_events(e.EnvironmentRecorded, past.seq if past else study.log.head.seq)]
    tried = attempts((recorded for recorded in events if not past or recorded.seq <= past.seq), recorded_ones)
    files = None if past else find_files(study, step)
    if files:
        _assign_outputs(tried, files, _job_names(study, step))
    children = [*graph.children(step.number), *graph.funnel(step.template)]
    return StepDetails(
        step=step,
        description=graph.template(step.template).description,
        why=consistent_view(study, past, show, lambda view: in_full(view, view.graph.step(step.number))).message,
        path=str(study.dir.path(step.workspace)),
        parents=_neighbours(graph, graph.parents(step.number)),
        funnels={template: graph.unfinished(template) for template in graph.funnels(step.number)},
        children=_neighbours(graph, dict.fromkeys(children)),
        attempts=tried,
        environments=_environments(recorded_ones, {attempt.environment for attempt in tried}),
        script=script_of(graph, step),
        runs_with=which_script(graph, step),
        files=files,
    )


def _environments(recorded_ones: Sequence[e.Recorded], seen: Container[str]) -> list[RecordedEnvironment]:
    """Return the environments with these digests and the study's last environment, oldest first."""
    in_order = sorted(recorded_ones, key=lambda recorded: recorded.seq)
    environments = [one.event.environment for one in in_order if isinstance(one.event, e.EnvironmentRecorded)]
    return [one for one in environments if one.digest in seen or one is environments[-1]]


def details_data(details: StepDetails, now: int) -> dict[str, Any]:
    """Return the details for JSON. They have the keys of a step in the status, and more. "why" is a whole sentence."""
    step = details.step
    return {
        **step_data(step, now),
        "description": details.description,
        "why": details.why,
        "path": details.path,
        "script": details.script,
        "restart_limit": step.restart_limit,
        "cancelling": step.cancelling,
        "message": step.message,
        "parents": msgspec.to_builtins(details.parents),
        "funnels": details.funnels,
        "children": msgspec.to_builtins(details.children),
        "attempts": [_attempt_data(attempt) for attempt in details.attempts],
        **_files_data(details.files),
    }


def _files_data(files: Files | None) -> dict[str, Any]:
    return dict.fromkeys(Files.__struct_fields__) if files is None else msgspec.to_builtins(files)


def find_files(study: Session, step: StepRecord) -> Files:
    """Return the scripts and outputs of a step that exist, oldest first."""
    name = job_name(step, hashed=study.graph.study.settings.hash_workspaces)
    paths = _own_files(study.dir.path(step.workspace), name)
    scripts = [path for path in paths if path.suffix == ".sh" or os.access(path, os.X_OK)]
    if study.graph.study.settings.use_tmp:
        scripts += _own_files(temporary_folder(study.graph.study.study_id) / str(step.number), name)
    by_suffix = {suffix: [str(path) for path in paths if path.suffix == suffix] for suffix in (".out", ".err")}
    return Files([str(path) for path in scripts], by_suffix[".out"], by_suffix[".err"])


def _job_names(study: Session, step: StepRecord) -> list[str]:
    """Return the two possible names of a step's jobs, with and without blanks."""
    name = job_name(step, hashed=study.graph.study.settings.hash_workspaces).replace("/", "_")
    return [name, name.replace(" ", "_")]


def _assign_outputs(tried: Sequence[Attempt], files: Files, names: Sequence[str]) -> None:
    """Set the outputs of each attempt."""
    paths = [Path(path) for path in (*files.outputs, *files.errors)]
    submitted = [attempt for attempt in tried if attempt.job_id]
    for attempt in submitted:
        mine = outputs_of(paths, attempt.job_id, names, newest=attempt is submitted[-1])
        attempt.outputs = [str(path) for path in mine]


def _own_files(folder: Path, name: str) -> list[Path]:
    """Return the files in a folder whose name begins with a job's name: scripts, restart scripts and outputs."""
    plain = name.replace("/", "_")
    prefixes = (f"{safe(name)}.", f"{plain}.", f"{plain.replace(' ', '_')}.")
    try:
        paths = [path for path in folder.iterdir() if path.name.startswith(prefixes) and path.is_file()]
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))
    except OSError:
        return []


def _neighbours(graph: Graph, numbers: Iterable[int]) -> list[Neighbour]:
    return [Neighbour(step.name, step.state.name) for step in map(graph.step, numbers)]


def _attempt_data(attempt: Attempt) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(attempt)
    used = usage_data(attempt.usage, attempt.started_at, attempt.ended_at)
    return {**{key: iso(value) if key.endswith("_at") else value for key, value in data.items()}, "usage": used}
