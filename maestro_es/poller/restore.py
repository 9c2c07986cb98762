"""Make the log of a study from an export, at a place where there was no study."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from maestro_es.errors import DamagedLog, RequestRefused
from maestro_es.poller.create import alone, make_directory, write_log
from maestro_es.poller.open_study import Context, open_as_it_is
from maestro_es.poller.study_dir import STATE_DIR
from maestro_es.store.event_log import Head
from maestro_es.store.export import Export
from maestro_es.store.log_file import LOG_NAME
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import Fold

#: What an import that died leaves behind.
_LEFTOVERS = {STATE_DIR, f"{LOG_NAME}.new", f"{LOG_NAME}.new-journal"}


class Restored(NamedTuple):
    """The last event of a log that was made from an export, its directory, and the one that the study was in."""

    head: Head
    root: Path
    was: str


def import_log(export: Export, root: Path, context: Context) -> Restored:
    """Make a study directory with the log that an export holds, checked line by line.

    A directory that is in use is refused: the study has gone on in it after the export, and what happened then is not
    forgotten by `maestro_es.poller.recover` alone.
    """
    root = Path(os.path.abspath(root))
    fresh = not root.exists()
    if not fresh and not set(os.listdir(root)) <= _LEFTOVERS:
        raise RequestRefused(
            f"{root}: is not empty; name a new directory, or let 'maestro-es recover {root} --from {export.path}' see "
            "what has happened in it since"
        )
    try:
        study = make_directory(root)
        with alone(study):
            write_log(study, lambda log: fill(log, export), context)
    except BaseException:
        if fresh:
            shutil.rmtree(root, ignore_errors=True)
        raise
    with open_as_it_is(root, context) as log:
        return Restored(log.head, root, log.graph.study.root)


def fill(log: StudyLog, export: Export) -> None:
    """Let a new log have the events of an export, checked as `verify` does."""
    fold = Fold(log.graph)
    with export.reading():
        log.take(export.wanted(fold.checked(export.rows())))
        if not log.head.seq:
            raise DamagedLog(f"{export.path}: there is no event in it")
