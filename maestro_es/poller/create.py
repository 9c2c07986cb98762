"""Create a study: its directory, and its log.

The log is written under another name and renamed when it is whole: a process that dies in between leaves a directory
that is no study, and a second `run` may have it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from maestro_es.core.decide import Draft
from maestro_es.errors import RequestRefused
from maestro_es.poller import clock
from maestro_es.poller.open_study import Context
from maestro_es.poller.study_dir import StudyDir
from maestro_es.store.study_log import StudyLog

#: What of a user's environment is recorded, for ticks that cron starts with next to none. No secrets are among it.
ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH",
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "MODULEPATH", "MODULESHOME", "LOADEDMODULES", "LMOD_CMD",
    "SLURM_CONF", "LSF_ENVDIR", "LSF_SERVERDIR", "FLUX_URI", "OMP_NUM_THREADS",
)  # fmt: skip

_NEXT_TICK = """\
#!/bin/sh
# A runner calls this when its step has ended, so that the next step need not wait for cron.
study=$(dirname "$0")/..
if command -v setsid >/dev/null; then exec setsid {command} "$study"; fi
exec {command} "$study"
"""


def new_study_id() -> str:
    """Return an id for a study: 32 hexadecimal digits, of which tokens carry the first eight."""
    return uuid.uuid4().hex


def recorded_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is recorded of an environment."""
    return {name: environment[name] for name in ENVIRONMENT if name in environment}


def make_directory(root: Path) -> StudyDir:
    """Make a study directory without a log. RequestRefused if it holds a study already, or can't be written."""
    study = StudyDir(root)
    if study.log.exists():
        raise RequestRefused(f"{root}: there is a study in this directory; choose another one with -o")
    try:
        study.inbox.mkdir(parents=True, exist_ok=True)
        for folder in (study.root, study.state):
            folder.chmod(folder.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))
        with resources.as_file(resources.files("maestro_es.adapters") / "runner.sh") as runner:
            shutil.copyfile(runner, study.runner)
        study.next_tick.write_text(_NEXT_TICK.format(command=f"{shlex.quote(sys.executable)} -m maestro_es tick --queue"))
        for script in (study.runner, study.next_tick):
            script.chmod(0o755)
    except OSError as error:
        raise RequestRefused(f"{error.filename or root}: the study directory can't be made: {error.strerror}") from error
    return study


def create_log(study: StudyDir, drafts: Iterable[Draft], context: Context) -> None:
    """Write a study's first events; the study exists once this returns."""
    scratch = study.log.with_name(study.log.name + ".new")
    scratch.unlink(missing_ok=True)
    with StudyLog.create(scratch, context.now, clock.identity(context.host)) as log:
        log.append(drafts)
    context.after("append")
    if study.log.exists():
        raise RequestRefused(f"{study.root}: another process has created a study here meanwhile")
    scratch.rename(study.log)
    _sync(study.root)
    context.after("rename")


def _sync(folder: Path) -> None:
    """Make a rename durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
