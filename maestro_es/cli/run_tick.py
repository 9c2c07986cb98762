"""Runs ``maestro-es tick`` without ``--dry``: one tick of each study. Prints lines that need attention."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from maestro_es.drivers.cron_tick import BY_CRON, tick_all, tick_next, tick_studies
from maestro_es.study.invocation import SUBMIT_SECONDS, Driver, Runtime
from maestro_es.study.layout import find_study


def run_tick(studies: Sequence[Path], *, every: bool, queue: bool, submit_seconds: float = SUBMIT_SECONDS) -> int:
    """Tick every registered study, the named studies, or the study of the current directory. Returns the exit code.

    Each tick submits steps for at most `submit_seconds`.
    """
    by_cron = every and os.environ.get(BY_CRON)
    others = {one.value: one for one in (Driver.SCRONTAB, Driver.SYSTEMD)}
    by = others.get(by_cron or "", Driver.CRON)
    driver = by if by_cron else Driver.RUNNER if queue else Driver.PERSON
    runtime = Runtime(driver=driver, submit_seconds=submit_seconds)
    if every:
        outcome = tick_all(runtime)
    else:
        named = studies or [find_study(Path.cwd())]
        outcome = tick_next(named[0], runtime) if queue else tick_studies(named, runtime)
    for line in outcome.lines:
        print(f"maestro-es: {line}", file=sys.stderr)
    if outcome.bug:
        raise outcome.bug
    return outcome.code
