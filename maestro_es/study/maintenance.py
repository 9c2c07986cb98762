"""Creates and repairs files of a study directory at each tick: ``.maestro-es``, and the copies of the study file.

``.maestro-es`` contains the inbox, the runner, and the command with which a runner requests a tick. The runner is
replaced if its version differs, because the study may be older than the installation. A file that users may change is
written again only if it is missing, or empty after a power cut.

`maestro_es.study.layout` has the paths. `maestro_es.study.status_file` writes ``status.csv``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import maestro_es.adapters
from maestro_es.adapters.schedulers import JOB_VARIABLES
from maestro_es.core import file_names
from maestro_es.core.events import StudyCreated
from maestro_es.core.graph import Graph
from maestro_es.core.scheduler_facts import JobEnvironment
from maestro_es.files import is_empty, read, replace_file
from maestro_es.import_path import own_command
from maestro_es.store.study_log import StudyLog
from maestro_es.study.layout import StudyDir
from maestro_es.study.sharing import group_reads

_RUNNER = Path(maestro_es.adapters.__file__).with_name(file_names.RUNNER)
_NEXT_TICK = _RUNNER.with_name("next-tick.sh")

#: The lines of the runner that are filled in: the variables that may contain the id of its job, and the signals with
#: which the scheduler ends the job.
_JOB_VARIABLES, _STOP_SIGNALS = "job_variables='{}'", "stop_signals='{}'"

#: The default. The variables of all schedulers may contain the id of the job, and only TERM ends the runner.
_ANY_JOBS = JobEnvironment()

_MODE = 0o755

#: The mode with which Maestro creates the copies. The umask of the study limits it.
_COPY_MODE = 0o666

#: The highest possible seq of the event that creates the study. The first event describes the process that creates the
#: study.
_CREATED_BY = 2


def make_state_dir(study_dir: StudyDir, jobs: JobEnvironment = _ANY_JOBS) -> None:
    """Create or repair ``.maestro-es`` and its content. OSError if that fails.

    `jobs` holds the variables and signals of the study's jobs.
    """
    for folder in (study_dir.state, study_dir.inbox):
        _make_private(folder, group_reads=group_reads(study_dir))
    _put(study_dir.runner, runner(jobs))
    if is_empty(study_dir.next_tick):
        import shlex  # noqa: PLC0415 - needed once for each study

        command = [*own_command(), "tick", "--queue"]
        text = _NEXT_TICK.read_text()
        text = text.replace("{python}", shlex.quote(command[0])).replace("{command}", shlex.join(command))
        _replace(study_dir.next_tick, os.fsencode(text))


def runner(jobs: JobEnvironment = _ANY_JOBS) -> bytes:
    """Return the text of the runner for these jobs. The variables of the study's own scheduler come first."""
    text = _RUNNER.read_bytes()
    for line, names in ((_JOB_VARIABLES, (*jobs.job_ids, *JOB_VARIABLES)), (_STOP_SIGNALS, jobs.stop_signals)):
        text = text.replace(line.format("").encode(), line.format(" ".join(dict.fromkeys(names))).encode(), 1)
    return text


def _make_private(folder: Path, *, group_reads: bool) -> None:
    """Create a directory to which no other user can write, because its content is trusted and executed."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
        if group_reads:
            folder.chmod(0o750)
    close_to_others(folder, stat.S_IWGRP | stat.S_IWOTH)


def close_to_others(folder: Path, bits: int = stat.S_IWOTH) -> None:
    """Remove the write permissions in `bits`, which the umask may have allowed."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & bits:
        folder.chmod(mode & ~bits)


def _put(path: Path, content: bytes) -> None:
    """Replace an executable file atomically, so that a process which runs it is not disturbed."""
    try:
        if read(path) == content:
            return
    except FileNotFoundError:
        pass
    _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    replace_file(path, content, _MODE, durable=True)  # durable: jobs may run it next


def repair_copies(study_dir: StudyDir, graph: Graph, log: StudyLog) -> None:
    """Restore the copies of the study file and of its batch block that are missing or empty. OSError if that fails.

    maestro-es does not read these copies, and users may change them. The log has their content.
    """
    name = graph.study.spec_file
    if not name or name != name.rpartition("/")[2]:
        return
    spec, batch = study_dir.root / name, study_dir.root / file_names.BATCH_INFO
    if is_empty(spec):
        created = (recorded.event for recorded in log.events(upto=_CREATED_BY))
        text = next((event.spec for event in created if isinstance(event, StudyCreated)), "")
        _restore_copy(spec, text)
    if is_empty(batch):
        from maestro_es.study_file.metadata import batch_info  # noqa: PLC0415 - YAML is slow to import, and seldom needed

        _restore_copy(batch, batch_info(graph.study.adapter))


def _restore_copy(path: Path, text: str) -> None:
    replace_file(path, text.encode(), _COPY_MODE, durable=False)  # the next tick restores it again
