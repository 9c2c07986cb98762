"""Create a study: its directory, and its log.

The log is written under another name and renamed when it is whole: a process that dies in between leaves a directory
that is no study, and a second `run` may have it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from maestro_es.adapters.command import run
from maestro_es.core.events import Draft, StudyCreated
from maestro_es.core.model import Settings
from maestro_es.errors import RequestRefused
from maestro_es.poller import clock, durable
from maestro_es.poller.copies import BATCH_INFO
from maestro_es.poller.lock import hold
from maestro_es.poller.open_study import Context
from maestro_es.poller.state_dir import close_to_others, make_state_dir
from maestro_es.poller.study_dir import StudyDir
from maestro_es.spec.metadata import batch_info
from maestro_es.spec.plan import StudyPlan, acquire
from maestro_es.store.registry import registering
from maestro_es.store.study_log import StudyLog

#: What of a user's environment is recorded, for ticks that cron starts with next to none. No secrets are among it.
ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH",
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "MODULEPATH", "MODULESHOME", "LOADEDMODULES", "LMOD_CMD",
    "SLURM_CONF", "LSF_ENVDIR", "LSF_SERVERDIR", "FLUX_URI", "OMP_NUM_THREADS", "SBATCH_ACCOUNT", "SBATCH_CONSTRAINT",
    "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION", "SBATCH_TIMELIMIT",
)  # fmt: skip


#: How many bytes the path of a log may have. SQLite takes 512 (MAX_PATHNAME) with what is appended for a journal, and
#: a log that is being made has another suffix.
_LONGEST = 512 - len("-journal") - len(".new")


def new_study_id() -> str:
    """Return an id for a study: 32 hexadecimal digits, of which tokens carry the first eight."""
    return uuid.uuid4().hex


def recorded_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is recorded of an environment."""
    return {name: environment[name] for name in ENVIRONMENT if name in environment}


def make_directory(root: Path) -> StudyDir:
    """Make a study directory without a log. RequestRefused if it holds a study already, or can't be written."""
    study = StudyDir(root)
    if os.fsencode(study.root) != str(study.root).encode("utf-8", "replace"):
        raise RequestRefused(f"{root}: the log holds UTF-8 only, and this path is not; choose another one with -o")
    excess = len(os.path.realpath(study.log).encode()) - _LONGEST
    if excess > 0:
        raise RequestRefused(f"{root}: SQLite can't open a file whose path is so long; make it {excess} bytes shorter")
    if study.log.exists():
        raise RequestRefused(f"{root}: there is a study in this directory; choose another one with -o")
    try:
        make_state_dir(study)
        close_to_others(study.root)
    except OSError as error:
        raise RequestRefused(
            f"{error.filename or root}: the study directory can't be made: {error.strerror}"
        ) from error
    return study


def create_study(plan: StudyPlan, settings: Settings, context: Context) -> StudyDir:
    """Create the study that a plan describes: its directory as Maestro lays it out, its dependencies, and its log.

    If that fails, a directory that was not there before is gone again.
    """
    scheduler = context.adapters(plan.batch, context.host).scheduler
    if not settings.dry_run and not scheduler.can_submit and plan.has_jobs:
        raise RequestRefused(f"maestro-es can't submit to {scheduler.name} yet; --dry writes the scripts of the study")
    fresh = not plan.output.exists()
    study = make_directory(plan.output)
    with alone(study):
        try:
            _lay_out(plan, study)
            acquire(plan, _run)
            study_id = new_study_id()
            facts = {} if settings.dry_run else scheduler.facts()
            with registering(study_id, study.root):
                create_log(study, [(None, _created(plan, settings, study_id, study, facts)), *plan.events], context)
        except BaseException:
            if fresh:
                shutil.rmtree(study.root, ignore_errors=True)
            raise
    return study


def take_over(
    plan: StudyPlan, settings: Settings, study_id: str, drafts: Iterable[Draft], context: Context
) -> StudyDir:
    """Create the log of a study whose directory Maestro has made; `drafts` tell what happened there.

    Beside the log and our own directory nothing is written.
    """
    study = make_directory(plan.output)
    with alone(study), registering(study_id, study.root):
        create_log(study, [(None, _created(plan, settings, study_id, study, {})), *drafts], context)
    return study


@contextlib.contextmanager
def alone(study: StudyDir) -> Iterator[None]:
    """Be the only process that creates a study in this directory."""
    with hold(study.tick_lock) as held:
        if not held or study.log.exists():
            raise RequestRefused(f"{study.root}: another process has created a study here, or is about to")
        yield


def _created(
    plan: StudyPlan, settings: Settings, study_id: str, study: StudyDir, facts: dict[str, str]
) -> StudyCreated:
    return StudyCreated(
        study_id=study_id,
        root=str(study.root),
        name=plan.name,
        description=plan.description,
        spec=plan.spec_text,
        spec_digest=hashlib.sha256(plan.spec_text.encode()).hexdigest(),
        spec_file=plan.spec_path.name,
        adapter=plan.batch,
        settings=settings,
        environment=recorded_environment(os.environ),
        scheduler=facts,
    )


def _lay_out(plan: StudyPlan, study: StudyDir) -> None:
    """Write what Maestro keeps beside the workspaces; no pickles, and nothing of the environment."""
    try:
        durable.write(study.root / plan.spec_path.name, plan.spec_text.encode())
        if plan.pgen_path:
            durable.write(study.root / plan.pgen_path.name, plan.pgen_path.read_bytes())
        durable.write(study.root / BATCH_INFO, batch_info(plan.batch).encode())
        for name in ("meta", "logs"):
            (study.root / name).mkdir(exist_ok=True)
        for name, text in plan.metadata.items():
            durable.write(study.root / "meta" / name, text.encode())
        for folder in (study.root / "meta", study.root, study.root.parent):
            durable.sync(folder)
    except OSError as error:
        raise RequestRefused(f"{error.filename}: can't be written: {error.strerror}") from error


def _run(argv: Sequence[str]) -> tuple[int, str, str]:
    try:
        return run(argv)
    except FileNotFoundError:
        return 127, "", f"{argv[0]} is not installed"


def create_log(study: StudyDir, drafts: Iterable[Draft], context: Context) -> None:
    """Write a study's first events; the study exists once this returns."""
    write_log(study, lambda log: log.append(drafts), context)


def write_log(study: StudyDir, fill: Callable[[StudyLog], None], context: Context) -> None:
    """Make the log of a study and `fill` it; it is there whole, or not at all."""
    scratch = study.log.with_name(study.log.name + ".new")
    journal = scratch.with_name(scratch.name + "-journal")
    for leftover in (scratch, journal):
        leftover.unlink(missing_ok=True)
    with StudyLog.create(scratch, context.now, clock.identity(context.host)) as log:
        fill(log)
    context.after("append")
    journal.unlink(missing_ok=True)
    study.log.with_name(f"{study.log.name}-journal").unlink(missing_ok=True)  # of a log that is gone
    study.last_tick.unlink(missing_ok=True)  # likewise
    scratch.rename(study.log)
    durable.sync(study.root)
    context.after("rename")
