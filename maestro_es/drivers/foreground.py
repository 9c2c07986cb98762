"""The foreground driver, ``run --wait``: starts a tick whenever a step of this host has ended, and every so often.

While it lives it is the one that waits for the next tick, so runners need not ask for any. Killed at any moment it
leaves a study that cron, or another driver, goes on with.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

from maestro_es.core.model import StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.lock import hold
from maestro_es.poller.open_study import OpenStudy
from maestro_es.poller.tick import show_status, tick

#: How often ``status.csv`` and the progress display are written at most, in seconds.
_SHOW_SECONDS = 1.0

#: How often the inbox is looked at for steps that other processes started, in seconds.
_LOOK_SECONDS = 0.25


def drive(study: OpenStudy, seconds: float, progress: Callable[[OpenStudy], None]) -> StudyStatus:
    """Tick until the study has ended, at least every `seconds`; `progress` is told now and then how it stands."""
    shown = 0.0
    with _waiting(study), _child_signals() as wait:
        while True:
            shown_now = time.monotonic() - shown >= _SHOW_SECONDS
            inbox = _changed_at(study)
            with hold(study.dir.tick_lock, -1), contextlib.suppress(Unreachable):
                tick(study, show=shown_now, defer=True)
            if shown_now:
                shown = time.monotonic()
                progress(study)
            if study.status is not StudyStatus.RUNNING:
                break
            _rest(study, inbox, seconds, wait)
    show_status(study)
    progress(study)
    return study.status


def _rest(study: OpenStudy, inbox: int, seconds: float, wait: Callable[[float], bool]) -> None:
    """Wait until a child has ended, a report has come, an outcome has waited long enough, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _changed_at(study) != inbox or wait(min(_LOOK_SECONDS, seconds)) or study.pending:
            return


def _changed_at(study: OpenStudy) -> int:
    return study.dir.inbox.stat().st_mtime_ns


@contextlib.contextmanager
def _child_signals() -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits so many seconds for a child to end and returns whether one did."""
    if not hasattr(signal, "sigtimedwait"):  # macOS: look often instead

        def nap(_seconds: float) -> bool:
            time.sleep(0.01)
            return False

        yield nap
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        yield lambda seconds: signal.sigtimedwait({signal.SIGCHLD}, seconds) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _waiting(study: OpenStudy) -> Iterator[None]:
    """Be the one who waits for the next tick, if nobody else is; see `maestro_es.poller.lock.queue_up`."""
    with hold(study.dir.waiter_lock) as first:
        if first:
            study.dir.waiting.write_text(f"{study.context.host.name} {os.getpid()}\n")
        try:
            yield
        finally:
            if first:
                study.dir.waiting.unlink(missing_ok=True)
