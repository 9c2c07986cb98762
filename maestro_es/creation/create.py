"""Creates a study: its directory, and its log.

The log is written under a temporary name, and gets its final name when it is complete. It never replaces another log.
If the process dies before the log is complete, the directory contains no study, and a second `run` may use this
directory.

`maestro_es.study_file.plan` decides which steps a study has. `maestro_es.creation.exclusive_creation` ensures that
only one process creates a study in a directory.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from maestro_es import files
from maestro_es.core import file_names
from maestro_es.core.events import NewEvent, StudyCreated
from maestro_es.core.model import Settings
from maestro_es.creation.exclusive_creation import CREATED, OURS, Site, check_path, creating
from maestro_es.creation.repositories import run_git
from maestro_es.errors import RequestRefused
from maestro_es.sha256 import sha256
from maestro_es.store.study_log import StudyLog
from maestro_es.study import invocation
from maestro_es.study.environment_file import keep
from maestro_es.study.invocation import Runtime
from maestro_es.study.layout import StudyDir
from maestro_es.study.maintenance import close_to_others, make_state_dir
from maestro_es.study.registry import registering
from maestro_es.study.surroundings import Surroundings, surroundings
from maestro_es.study_file.dependencies import clone_path
from maestro_es.study_file.metadata import batch_info
from maestro_es.study_file.plan import StudyPlan, acquire

#: The errors of a file system that has no hard links, or does not allow them.
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)

#: How many steps are stored between two reports of the progress.
_REPORTED = 500

#: The directories that are created with a study, as in Maestro.
_FOLDERS = ("meta", "logs")


def new_study_id() -> str:
    """Return an id for a study: 32 hexadecimal digits. Its tokens begin with the first eight."""
    return uuid.uuid4().hex


def make_directory(root: Path) -> StudyDir:
    """Create a study directory without a log. RequestRefused if it contains a log, or can't be written."""
    study_dir = StudyDir(root)
    check_path(study_dir)
    if os.path.lexists(study_dir.log):
        raise _taken(study_dir)
    try:
        study_dir.root.mkdir(parents=True, exist_ok=True)
        close_to_others(study_dir.root)
        make_state_dir(study_dir)
    except OSError as error:
        raise RequestRefused(
            f"{error.filename or root}: the study directory can't be created: {error.strerror}"
        ) from error
    return study_dir


def _taken(study_dir: StudyDir) -> RequestRefused:
    return RequestRefused(f"{study_dir.root}: there is already a study in this directory; choose another one (-o)")


def create_study(
    plan: StudyPlan, settings: Settings, runtime: Runtime, site: Site | None = None, around: Surroundings | None = None
) -> StudyDir:
    """Create the study that a plan describes: its directory with Maestro's layout, its dependencies, and its log.

    If the caller has already reserved the directory, `site` is this directory. If the study can't be created,
    everything that this process has created is removed. The steps inherit the environment `around` (default: the
    environment of this process).
    """
    scheduler = runtime.adapters(plan.batch, runtime.host).scheduler
    if not settings.dry_run and not scheduler.can_submit and plan.has_jobs:
        raise RequestRefused(
            f"maestro-es can't submit jobs to {scheduler.name} yet; --dry writes the scripts of the study"
        )
    with contextlib.ExitStack() as stack:
        if site is None:
            site = stack.enter_context(creating(plan.output))
        stack.callback(site.remove, _names(plan))  # does nothing if there is a study by then
        study_dir = make_directory(plan.output)
        _lay_out(plan, study_dir)
        runtime.on_effect("layout")
        acquire(plan, lambda argv: run_git(argv, os.environ), runtime.tell)
        study_id = new_study_id()
        facts = {} if settings.dry_run else scheduler.cluster_info()
        site.check()
        with registering(study_id, study_dir.root):
            created = _created(plan, settings, study_id, study_dir, facts)
            first = [(None, created), *keep_environment(study_dir, around)]
            create_log(study_dir, itertools.chain(first, _watched(plan, runtime)), runtime)
    return study_dir


def _watched(plan: StudyPlan, runtime: Runtime) -> Iterator[NewEvent]:
    """Yield the events of a plan, and report the progress."""
    for number, event in plan.events:
        if number is not None and number % _REPORTED == 0:
            runtime.on_progress(number, plan.expansion.size)
        yield number, event


def create_empty_study(root: Path, settings: Settings, runtime: Runtime) -> None:
    """Create a study without steps and without an adapter."""
    with creating(root) as site, contextlib.ExitStack() as stack:
        stack.callback(site.remove, OURS)
        created = StudyCreated(study_id=new_study_id(), root=str(site.study_dir.root), settings=settings)
        study = make_directory(root)
        create_log(study, [(None, created), *keep_environment(study)], runtime)


def take_over(
    plan: StudyPlan, settings: Settings, study_id: str, new_events: Iterable[NewEvent], runtime: Runtime, site: Site
) -> StudyDir:
    """Create the log of a study whose directory Maestro has created. `new_events` record its state.

    Only the log and ``.maestro-es`` are written.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(site.remove, OURS)
        study_dir = make_directory(plan.output)
        with registering(study_id, study_dir.root):
            created = _created(plan, settings, study_id, study_dir, {})
            create_log(study_dir, [(None, created), *keep_environment(study_dir), *new_events], runtime)
    return study_dir


def _names(plan: StudyPlan) -> Iterator[str]:
    """Yield the names that may be added to the directory when a study is created."""
    yield from (*CREATED, plan.spec_path.name)
    if plan.pgen_path:
        yield plan.pgen_path.name
    for dependency in plan.git_dependencies:
        path = os.path.relpath(clone_path(dependency, str(plan.output)), plan.output)
        if path.split("/")[0] not in (".", ".."):
            yield path.split("/")[0]


def _created(
    plan: StudyPlan, settings: Settings, study_id: str, study_dir: StudyDir, facts: dict[str, str]
) -> StudyCreated:
    return StudyCreated(
        study_id=study_id,
        root=str(study_dir.root),
        name=plan.name,
        description=plan.description,
        spec=plan.spec_text,
        spec_digest=sha256()(plan.spec_text.encode()).hexdigest(),
        spec_file=plan.spec_path.name,
        adapter=plan.batch,
        settings=settings,
        scheduler=facts,
    )


def keep_environment(study_dir: StudyDir, around: Surroundings | None = None) -> list[NewEvent]:
    """Write the file with the environment of the steps. Return the event that records it."""
    try:
        return [(None, keep(study_dir, around or surroundings()))]
    except OSError as error:
        raise RequestRefused(f"{error.filename}: can't be written: {error.strerror}") from error


def _lay_out(plan: StudyPlan, study_dir: StudyDir) -> None:
    """Write the files that Maestro writes next to the workspaces, except pickles and the environment."""
    try:
        files.write(study_dir.root / plan.spec_path.name, plan.spec_text.encode())
        if plan.pgen_path:
            files.write(study_dir.root / plan.pgen_path.name, plan.pgen_path.read_bytes())
        files.write(study_dir.root / file_names.BATCH_INFO, batch_info(plan.batch).encode())
        for name in _FOLDERS:
            (study_dir.root / name).mkdir(exist_ok=True)
        for name, parts in plan.metadata.items():
            files.write(study_dir.root / "meta" / name, map(str.encode, parts))
        for folder in (study_dir.root / "meta", study_dir.root, study_dir.root.parent):
            files.sync(folder)
    except OSError as error:
        raise RequestRefused(f"{error.filename}: can't be written: {error.strerror}") from error


def create_log(study_dir: StudyDir, new_events: Iterable[NewEvent], runtime: Runtime) -> None:
    """Write a study's first events. When this function returns, the study exists."""
    write_log(study_dir, lambda log: log.append(new_events), runtime)


def write_log(study_dir: StudyDir, fill: Callable[[StudyLog], None], runtime: Runtime) -> None:
    """Create the log of a study and `fill` it. The log appears complete, or not at all."""
    scratch = study_dir.log.with_name(study_dir.log.name + ".new")
    journal = scratch.with_name(scratch.name + "-journal")
    for leftover in (scratch, journal):
        leftover.unlink(missing_ok=True)
    with StudyLog.create(scratch, runtime.now, invocation.identity(runtime.host, runtime.driver)) as log:
        fill(log)
        study_id = log.graph.study.study_id
    runtime.on_effect("append")
    files.replace_file(
        study_dir.mark_of(study_id), b"", 0o600, durable=True
    )  # written before the log, because jobs look for this file
    journal.unlink(missing_ok=True)
    study_dir.log.with_name(f"{study_dir.log.name}-journal").unlink(missing_ok=True)  # the journal of an earlier log
    study_dir.last_tick.unlink(missing_ok=True)  # likewise
    try:
        _give_name(scratch, study_dir.log)
    except FileExistsError:
        raise _taken(study_dir) from None
    runtime.on_effect("rename")
    scratch.unlink(missing_ok=True)
    files.sync(study_dir.root)
    runtime.on_effect("unlink")


def _give_name(scratch: Path, name: Path) -> None:
    """Give a file its final name. FileExistsError if another file has this name. The other file is not changed."""
    try:
        os.link(scratch, name)
    except FileExistsError:
        if not os.path.samefile(scratch, name):  # it is the same file if the file system has repeated the call
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # reserves the name
        scratch.rename(name)
