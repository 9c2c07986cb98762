"""Sets the permissions of a study: only its owner may read it or, with ``--group-read``, its group too.

Study directory, workspaces and scripts have the permissions of the user's umask. The log and ``.maestro-es`` are
private, because their content is trusted and executed. Commands that read a study need both, so the modes of these two
alone decide whether the group may read the study.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from maestro_es.core.graph import Graph
from maestro_es.study.layout import StudyDir

_GROUP_READS_FOLDER = stat.S_IRGRP | stat.S_IXGRP


def group_reads(study_dir: StudyDir) -> bool:
    """Return whether the group may read the log."""
    try:
        return bool(study_dir.log.stat().st_mode & stat.S_IRGRP)
    except FileNotFoundError:
        return False


def group_of(study_dir: StudyDir) -> str:
    """Return the name of the log's group."""
    import grp  # noqa: PLC0415 - needed only for messages

    number = study_dir.log.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def let_group_read(study_dir: StudyDir, *, allowed: bool) -> bool:
    """Allow or forbid the group to read the study. Return whether anything changed.

    If reading is allowed, the group may also enter the study directory. It may still do so if reading is forbidden
    later. OSError if the modes can't be changed.
    """
    before = group_reads(study_dir)
    if allowed:
        _set(study_dir.root, _GROUP_READS_FOLDER)
    for folder in (study_dir.state, study_dir.inbox):
        _set(folder, _GROUP_READS_FOLDER, allowed=allowed)
    for file in (study_dir.last_tick, study_dir.log.with_name(f"{study_dir.log.name}-journal"), study_dir.log):
        _set(file, stat.S_IRGRP, allowed=allowed)
    return before is not allowed


def _set(path: Path, bits: int, *, allowed: bool = True) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | bits if allowed else mode & ~bits)


@contextlib.contextmanager
def umask_of(graph: Graph) -> Iterator[None]:
    """Create files with the umask of the study's environment, whichever process ticks.

    No file is writable by all users.
    """
    recorded = graph.study.environment
    before = os.umask(0o077)
    os.umask((recorded.umask if recorded.digest else before) | stat.S_IWOTH)
    try:
        yield
    finally:
        os.umask(before)
