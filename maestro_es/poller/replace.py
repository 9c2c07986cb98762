"""Replace a study directory: what ``run -o DIR`` may throw away, and what it may not."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from maestro_es.core.model import StudyStatus
from maestro_es.errors import DamagedLog, InvalidTransition, NotAStudy, RequestRefused
from maestro_es.poller.open_study import OpenStudy
from maestro_es.poller.study_dir import STATE_DIR, StudyDir
from maestro_es.store import registry

#: A log that nobody can read, or none: what was left of a run that did not get far. One that can't be read just now,
#: or by this version, may have jobs.
_UNREADABLE = (DamagedLog, InvalidTransition, NotAStudy)


def check_replaceable(root: Path) -> None:
    """Refuse to throw away a directory that is no study, or a study that has jobs."""
    if not root.is_dir():
        raise RequestRefused(f"{root}: exists and is no directory; choose another one with -o")
    if (root / STATE_DIR).is_dir() or StudyDir(root).log.exists():
        _check_idle(root)
    elif any(root.iterdir()) and not any(root.glob("*.study.pkl")):
        raise RequestRefused(f"{root}: holds something else than a study, and is not replaced; choose another -o")


def _check_idle(root: Path) -> None:
    try:
        with OpenStudy(root) as study:
            jobs = len(study.graph.in_flight()) if study.status is StudyStatus.RUNNING else 0
    except _UNREADABLE:
        return
    if jobs:
        raise RequestRefused(f"{root}: the study in it has {jobs} jobs; run 'maestro-es cancel {root}' first")


def remove(root: Path) -> None:
    """Throw a study directory away, after `check_replaceable`."""
    study_id = ""
    with contextlib.suppress(*_UNREADABLE), OpenStudy(root) as study:
        study_id = study.graph.study.study_id
    try:
        shutil.rmtree(root)
    except OSError as error:
        raise RequestRefused(f"{error.filename}: can't be removed: {error.strerror}") from error
    if study_id:
        registry.forget(study_id)
