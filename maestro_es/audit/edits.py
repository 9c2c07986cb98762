"""Finds the files that a user has edited in a study directory: scripts in workspaces, and the copy of the study file.

`maestro_es.study.scripts` decides what a tick does with an edited script.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import structs

from maestro_es import files
from maestro_es.core import events as e
from maestro_es.core.model import StepRecord
from maestro_es.study.scripts import digest_of, place_aside, written_digests
from maestro_es.study.session import Session
from maestro_es.study.workspace import JobPlan, ScriptOf, plan_job

#: How many edited scripts get a line of their own. The others are only counted.
_NAMED = 5


def edits(study: Session, numbers: Sequence[int], named: Path) -> Iterator[str]:
    """Yield a line about each edited script of these steps, and about an edited study file.

    Each line says which version will run.

    `named` is the study's path as the user has typed it.
    """
    if not numbers:
        return
    lines = [line for number in numbers for line in _of_step(study, study.graph.step(number), named)]
    yield from lines[:_NAMED]
    if lines[_NAMED:]:
        yield f"{len(lines) - _NAMED} more scripts were edited"
    yield from _of_study_file(study)


def _of_step(study: Session, step: StepRecord, named: Path) -> Iterator[str]:
    ours = partial(written_digests, study.log.events_of(step.number))
    unedited = structs.replace(step, keep_script=False)
    try:
        plan = plan_job(ScriptOf(study.graph, unedited, study.dir, study.adapters))
    except ValueError:
        return
    for path in plan.scripts:
        if _is_edited(plan, path, ours):
            yield f"{os.path.relpath(path, study.dir.root)} was edited{_fate(step, path, plan.chosen, named)}"
        elif step.keep_script and path == plan.chosen and not path.exists():
            yield f"{os.path.relpath(path, study.dir.root)} does not exist: a tick will write it as the log defines it"


def _is_edited(plan: JobPlan, path: Path, ours: partial[set[str]]) -> bool:
    try:
        return plan.is_edited(path, ours)
    except OSError:
        return False


def _fate(step: StepRecord, path: Path, chosen: Path, named: Path) -> str:
    """Return the end of a sentence that says what will happen to an edited script."""
    if path != chosen:
        return f", but {chosen.name} will run"
    if step.keep_script:
        return ": the edited script will run"
    command = shlex.join(["maestro-es", "retry", str(named), step.name, "--keep-script"])
    return (
        f": a tick will keep the edit as {place_aside(path).name} and write the script again; "
        f"'{command}' runs the edited script"
    )


def _of_study_file(study: Session) -> Iterator[str]:
    """Yield a line if the copy of the study file was edited.

    No command reads this copy, because the log has the steps.
    """
    created = next((r.event for r in study.log.events() if isinstance(r.event, e.StudyCreated)), None)
    if created is None or not created.spec_file:
        return
    try:
        digest = digest_of(files.read(study.dir.root / created.spec_file))
    except OSError:
        return
    if digest != created.spec_digest:
        yield f"{created.spec_file} was edited, but this does not change this study: run it as a new study"
