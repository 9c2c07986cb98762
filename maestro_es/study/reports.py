"""The inbox: one directory in which the runners drop their reports.

A report is an empty file named ``TOKEN.KIND`` or ``TOKEN.KIND.CODE``, so it is whole the moment it is there, and a
full file system can still take it. Its modification time is when it was made.

What a report means for its attempt is decided in `maestro_es.core.verdict`; which reports are removed, in
`maestro_es.poller.tick`. ``runner.sh`` writes them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from maestro_es.core.model import Micros
from maestro_es.core.observations import Report, ReportKind

_DIGITS = 18
_KINDS = {kind.value: kind for kind in ReportKind}


def read_reports(inbox: Path) -> list[Report]:
    """Return the reports in the inbox; files that are none are left alone."""
    reports = []
    with os.scandir(inbox) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                report = parse_report(entry.name, entry.stat().st_mtime_ns // 1000)
                if report and entry.is_file(follow_symlinks=False):  # what can't be removed would be read for ever
                    reports.append(report)
    return reports


def parse_report(name: str, at: Micros) -> Report | None:
    """Return the report that a file's name makes, or None if it makes none: ours are ASCII."""
    token, _, rest = name.partition(".")
    kind, _, code = rest.partition(".")
    if not token or kind not in _KINDS or not name.isascii():
        return None
    return Report(token, _KINDS[kind], int(code) if _is_number(code) else None, at, name)


def _is_number(text: str) -> bool:
    """Whether a text is a number that fits in a column of the log."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def remove_reports(inbox: Path, reports: Iterable[Report]) -> None:
    """Remove reports whose events are committed. One that can't be removed is found again, and does no harm."""
    for report in reports:
        with contextlib.suppress(OSError):
            os.unlink(inbox / report.file)
