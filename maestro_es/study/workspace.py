"""Prepares the workspace of a step before a submission: its scripts, and the output files of earlier attempts.

`plan_job` decides which scripts a step has, and which of them its job starts. `maestro_es.study.scripts` decides what
happens to a script that a user has edited.

The newest output files have Maestro's names. The names of earlier output files contain the id of their job. A job
opens its output files before its runner knows whether it may start, and a requeued job opens them again. So jobs
append to these files. The files of an attempt are renamed before the next attempt is submitted. A process that has
such a file open continues to write to it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maestro_es import files
from maestro_es.adapters.base import Adapter, Adapters, Job
from maestro_es.core.environment import Environment
from maestro_es.core.events import JobSubmitted, Recorded, ScriptSetAside
from maestro_es.core.graph import Graph
from maestro_es.core.model import StepRecord, SubmissionKind
from maestro_es.core.submission import SubmittedScript
from maestro_es.errors import StudyError
from maestro_es.study.claims import make_claim, make_workspace
from maestro_es.study.layout import StudyDir
from maestro_es.study.scripts import (
    digest_of,
    is_edited,
    make_executable,
    place_aside,
    set_aside,
    write_new,
    write_script,
)
from maestro_es.study_file.render import render, safe

#: The suffixes of the output files of a job.
_OUTPUTS = (".out", ".err")


def job_name(step: StepRecord, *, hashed: bool) -> str:
    """Return the name of a step's scripts, outputs and jobs. It is the step's name, or a short name if `hashed`."""
    if hashed and step.params:
        return f"{step.template}_instance_{step.workspace.rpartition('_')[2]}"
    return step.name


def script_names(name: str, extension: str) -> tuple[str, str]:
    """Return the names of the main script and the restart script of a job.

    Maestro removes special characters from all paths, and so from the first name. The second name keeps them, except
    `/`, which no file name can contain.
    """
    return safe(f"{name}.{extension}"), f"{name.replace('/', '_')}.restart.{extension}"


def script_paths(graph: Graph, step: StepRecord, study_dir: StudyDir, extension: str) -> dict[str, Path]:
    """Return the paths of a step's scripts, by their keys in the ``run`` block. The scripts need not exist yet."""
    run = graph.template(step.template).run
    folder = study_dir.path(step.workspace)
    if _uses_tmp(graph, step):
        folder = temporary_folder(graph.study.study_id) / str(step.number)
    names = script_names(job_name(step, hashed=graph.study.settings.hash_workspaces), extension)
    return {key: folder / name for key, name in zip(("cmd", "restart"), names, strict=True) if run.get(key)}


class ScriptOf(NamedTuple):
    """The attempt whose scripts are written.

    One of the study's `adapters` runs the step. The scheduler's adapter provides the header and the extension of every
    script, local steps included. The step starts in `environment`. `ours` returns the digests of the scripts that
    maestro-es has written for this step before.
    """

    graph: Graph
    step: StepRecord
    study_dir: StudyDir
    adapters: Adapters
    environment: Environment | None = None
    ours: Callable[[], Collection[str]] = tuple


class Text(NamedTuple):
    """The text of a script, and a second text, used if the scheduler refuses the job."""

    main: str
    spare: Callable[[], str]


class JobPlan(NamedTuple):
    """The job of an attempt, and the texts of its scripts by path.

    The job starts the script at `chosen` with this `content`. If `edited`, the script runs as a user has edited it,
    and `content` differs from the text in `scripts`.
    """

    job: Job
    scripts: dict[Path, Text]
    chosen: Path
    content: bytes
    edited: bool

    def is_edited(self, path: Path, ours: Callable[[], Collection[str]]) -> bool:
        """Whether a user has edited a script. `ours` returns the digests of scripts that maestro-es has written."""
        text = self.scripts[path]
        return is_edited(path, text.main, lambda: {*ours(), digest_of(text.spare().encode())})


def write_scripts(of: ScriptOf) -> tuple[Job, SubmittedScript]:
    """Create a step's workspace and scripts. Return the job of the attempt, and its script.

    OSError, ValueError or StudyError if this fails.
    """
    plan = plan_job(of)
    make_workspace(plan.job.workspace)
    if _uses_tmp(of.graph, of.step):
        _make_script_folder(temporary_folder(of.graph.study.study_id), of.step)
    if plan.edited:
        of.adapters.of(of.step).submission(plan.job)  # raises if the edited header has invalid options
        make_executable(plan.chosen)
    others = [
        digest_of(text.main.encode()) for path, text in plan.scripts.items() if _write(plan, path, text.main, of.ours)
    ]
    aside = _make_way(plan, of.study_dir, of.ours)
    return plan.job, SubmittedScript(digest_of(plan.content), "".join(others), edited=plan.edited, set_aside=aside)


def preview_scripts(of: ScriptOf) -> tuple[Job, SubmittedScript]:
    """Return the result of `write_scripts` without the digests, and write nothing."""
    plan = plan_job(of)
    if plan.edited:
        of.adapters.of(of.step).submission(plan.job)
        return plan.job, SubmittedScript(edited=True)
    if not plan.is_edited(plan.chosen, of.ours):
        return plan.job, SubmittedScript()
    kept = place_aside(plan.chosen)
    return plan.job, SubmittedScript(
        set_aside=(_aside(of.study_dir, plan.chosen, kept, digest_of(files.read(plan.chosen))),)
    )


def _write(plan: JobPlan, path: Path, text: str, ours: Callable[[], Collection[str]]) -> bool:
    """Write a script that the job does not start, unless a user has edited it. Return whether it has this text now."""
    if path == plan.chosen:
        return False
    if not write_new(path, text):
        if plan.is_edited(path, ours):
            return False
        write_script(path, text)
    return True


def _make_way(plan: JobPlan, study_dir: StudyDir, ours: Callable[[], Collection[str]]) -> tuple[ScriptSetAside, ...]:
    """Write the script that the job starts. If an edited script was set aside, return its record."""
    if plan.edited:
        return ()
    text = plan.scripts[plan.chosen].main
    aside: tuple[ScriptSetAside, ...] = ()
    if write_new(plan.chosen, text):
        return aside
    if plan.is_edited(plan.chosen, ours):
        kept, digest = set_aside(plan.chosen)
        aside = (_aside(study_dir, plan.chosen, kept, digest),)
    write_script(plan.chosen, text)
    return aside


def _aside(study_dir: StudyDir, script: Path, kept: Path, digest: str) -> ScriptSetAside:
    names = (os.path.relpath(path, study_dir.root) for path in (script, kept))
    return ScriptSetAside(script=next(names), kept_as=next(names), digest=digest)


def plan_job(of: ScriptOf) -> JobPlan:
    """Return the job and the scripts of a step, and write nothing. ValueError if the step can't have a script."""
    graph, step, study_dir, adapters, environment, _ = of
    adapter, header_of = adapters.of(step), adapters.scheduler
    template = graph.template(step.template)
    where = (step.workspace, step.workspaces, str(study_dir.root))
    rendered = render(template.description, template.run, step.params, *where)
    workspace = study_dir.path(step.workspace)
    full_name = job_name(step, hashed=graph.study.settings.hash_workspaces)
    name = full_name.replace("/", "_").replace(" ", "_")
    scripts: dict[Path, Text] = {}
    for key, path in script_paths(graph, step, study_dir, header_of.extension).items():
        if not rendered.run.get(key):
            continue
        run = {**rendered.run, "cmd": rendered.run[key], "restart": ""}  # what this script needs
        filled_in = adapter.command(str(run["cmd"]), run)
        text = scripts[path] = _text(header_of, name, rendered.description, run, filled_in)
        if (key == "restart") is (step.kind is SubmissionKind.RESTART):
            chosen, command, used, chosen_text = path, filled_in, run, text
    script = f"./{chosen.name}" if chosen.parent == workspace else str(chosen)
    content = chosen_text.main.encode()
    kept = _kept(chosen, content) if step.keep_script else None
    known = (rendered.description, used, environment or Environment(), command, full_name.replace("/", "_"))
    edited = (kept or b"").decode(errors="replace")
    write = functools.partial(_write_spare, chosen, chosen_text)
    job = Job(
        step.token,
        name,
        workspace,
        script,
        study_dir.root,
        functools.partial(make_claim, workspace, step.token),
        *known,
        edited,
        write,
    )
    return JobPlan(job, scripts, chosen, content if kept is None else kept, edited=kept is not None)


def _text(header_of: Adapter, name: str, description: str, run: dict[str, Any], command: str) -> Text:
    def below(header: str) -> str:
        return f"{header}\n\n{command}\n"

    first = below(header_of.header(name, description, run))
    return Text(first, lambda: below(header_of.spare_header(name, description, run)))


def _write_spare(path: Path, text: Text) -> str:
    """Write the second text of a script, because the scheduler has refused the job. Return its digest."""
    spare = text.spare()
    write_script(path, spare)
    return digest_of(spare.encode())


def _kept(path: Path, content: bytes) -> bytes | None:
    """Return the content of an edited script that must run unchanged (None: it is not edited, or does not exist)."""
    with contextlib.suppress(FileNotFoundError):
        present = files.read(path)
        return None if present == content else present
    return None


def _uses_tmp(graph: Graph, step: StepRecord) -> bool:
    """Return whether a step has its scripts in the temporary directory.

    A scheduled step can't, because the node of its job may not have that directory.
    """
    settings = graph.study.settings
    return settings.use_tmp and (settings.dry_run or not step.scheduled)


def _make_script_folder(folder: Path, step: StepRecord) -> None:
    """Create the directory for the scripts of a step under ``--usetmp``, in a private temporary directory."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise StudyError(f"{folder}: belongs to another user; set TMPDIR to a directory of your own")
    (folder / str(step.number)).mkdir(exist_ok=True)


def temporary_folder(study_id: str) -> Path:
    """Return the directory of a study's scripts under ``--usetmp``."""
    import tempfile  # noqa: PLC0415 - few studies need it, and ticks are frequent

    return Path(tempfile.gettempdir()) / f"maestro-es-{study_id}"


def remove_temporary_folder(study_id: str) -> None:
    """Remove the scripts that ``--usetmp`` keeps outside the study, after the study has ended."""
    import shutil  # noqa: PLC0415 - few studies need it

    shutil.rmtree(temporary_folder(study_id), ignore_errors=True)


def keep_outputs(workspace: Path, name: str, events: Iterable[Recorded]) -> None:
    """Add the id of a step's last job, from its events, to the names of its output files. Never overwrite a file.

    If renaming fails, the next job appends to the same files, and nothing is lost.
    """
    ids = [recorded.event.job_id for recorded in events if isinstance(recorded.event, JobSubmitted)]
    for suffix in _OUTPUTS if ids else ():
        kept = workspace / f"{name}.{ids[-1]}{suffix}"
        with contextlib.suppress(OSError):
            if not kept.exists():
                (workspace / f"{name}{suffix}").rename(kept)


def outputs_of(files: Sequence[Path], job_id: str, names: Sequence[str], *, newest: bool) -> list[Path]:
    """Return the files that a job has written. If the job is the `newest`, its files have one of these `names`."""
    ends = tuple(f".{job_id}{suffix}" for suffix in _OUTPUTS)
    plain = {f"{name}{suffix}" for name in names for suffix in _OUTPUTS}
    return [path for path in files if path.name.endswith(ends) or (newest and path.name in plain)]
