"""Reads and removes the reports in the inbox, the directory into which runners put them.

A report is an empty file named ``TOKEN.KIND``, ``TOKEN.KIND.CODE`` or ``TOKEN.used.CPU-MEMORY-WALLTIME``. So it is
complete as soon as it exists, and even a full file system can store it. Its modification time is the time of the
report.

``runner.sh`` writes the reports. `maestro_es.core.verdict` decides what a report means for its attempt, and
`maestro_es.poller.tick` decides which reports are removed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from maestro_es.core.attempt_token import is_number
from maestro_es.core.model import Micros
from maestro_es.core.observations import Report, ReportKind
from maestro_es.core.usage import reported_usage

_KINDS = {kind.value: kind for kind in ReportKind}


def read_reports(inbox: Path) -> list[Report]:
    """Return the reports in the inbox. Other files are ignored."""
    reports = []
    with os.scandir(inbox) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                continue  # anything else can't be removed and would stay for ever
            with contextlib.suppress(FileNotFoundError):
                report = parse_report(entry.name, entry.stat(follow_symlinks=False).st_mtime_ns // 1000)
                if report:
                    reports.append(report)
    return reports


def parse_report(name: str, at: Micros) -> Report | None:
    """Return the report that the name of a file describes (None: it is not a report). Names of reports are ASCII."""
    token, _, rest = name.partition(".")
    kind, _, code = rest.partition(".")
    if not token or kind not in _KINDS or not name.isascii():
        return None
    if kind == ReportKind.USED.value:
        return Report(token, ReportKind.USED, None, at, name, reported_usage(code))
    return Report(token, _KINDS[kind], int(code) if is_number(code) else None, at, name)


def remove_reports(inbox: Path, reports: Iterable[Report]) -> None:
    """Remove reports whose events are committed. A report that can't be removed is read again, which does no harm."""
    for report in reports:
        with contextlib.suppress(OSError):
            os.unlink(inbox / report.file)
