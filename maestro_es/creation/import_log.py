"""Creates a study's log from an export, in a directory without a study.

`maestro_es.store.log_export` decides whether an export is complete. This module does not look for anything that has
happened since the export. `maestro_es.creation.recover` does that.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from maestro_es.creation.create import make_directory, write_log
from maestro_es.creation.exclusive_creation import OURS, Site, creating
from maestro_es.errors import DamagedLog, RequestRefused
from maestro_es.store.corrections import correct
from maestro_es.store.event_log import Head, check_chain
from maestro_es.store.log_export import ExportReader
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import Fold
from maestro_es.study.invocation import Runtime, open_as_it_is


class ImportedLog(NamedTuple):
    """The last event of an imported log, its directory `root`, and the directory that the log records (`was`)."""

    head: Head
    root: Path
    was: str


def import_log(export: ExportReader, root: Path, runtime: Runtime, *, repair: bool = False) -> ImportedLog:
    """Create a study directory with the log from an export, and check the export line by line.

    With `repair`, events that no reader can decode are corrected.

    A directory that contains other files is refused, because the study may have continued in it since the export. Only
    `maestro_es.creation.recover` takes such changes into account.
    """
    root = Path(os.path.abspath(root))
    with creating(root) as site, contextlib.ExitStack() as stack:
        _check_empty(site, export)
        stack.callback(site.remove, OURS)
        write_log(make_directory(root), lambda log: (_fill_corrected if repair else fill)(log, export), runtime)
    with open_as_it_is(root, runtime) as log:
        return ImportedLog(log.head, root, log.graph.study.root)


def _check_empty(site: Site, export: ExportReader) -> None:
    """Refuse a directory that contains anything except the files of an import that was killed."""
    root = site.study_dir.root
    if not site.entries() <= {*OURS}:
        raise RequestRefused(
            f"{root}: is not empty; choose a new directory, or use 'maestro-es recover {root} --from {export.path}' "
            "if the study has continued since the export"
        )


def fill(log: StudyLog, export: ExportReader) -> None:
    """Copy the events of an export into a new log, with the checks of `verify`."""
    fold = Fold(log.graph)
    with export.reading():
        log.take(export.selected(fold.checked(export.rows())))
        if not log.head.seq:
            raise DamagedLog(f"{export.path}: there is no event in it")


def _fill_corrected(log: StudyLog, export: ExportReader) -> None:
    """Copy the events of an export into a new log. Check their digests, and correct events that can't be decoded."""
    with export.reading():
        log.take(check_chain(export.rows()))
        correct(log, "imported")
        log.rebuild()
