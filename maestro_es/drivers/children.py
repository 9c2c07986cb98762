"""Runs one process for each study that a driver advances, and tells all of them to stop.

Each process drives its study as ``run --wait`` does. So a study with a problem does not stop the others. If the driver
is killed, its processes notice that, and stop too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from maestro_es.errors import EXIT_OK, EXIT_TRY_AGAIN

#: The interval in seconds between two checks of the processes.
_LOOK_SECONDS = 0.2


def on_stop(note: Callable[[int, FrameType | None], None]) -> None:
    """Call a function for the signals by which a scheduler tells a driver to stop. Some send HUP with TERM."""
    signal.signal(signal.SIGTERM, note)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, note)


class Children:
    """The processes of a driver. The driver itself stops them after SIGTERM, or if its own time is over."""

    def __init__(self) -> None:
        self.codes: dict[Path, int] = {}
        self.stopping = False
        self._running: dict[int, Path] = {}
        self._driver = os.getpid()
        on_stop(self._note)

    def start(self, root: Path) -> bool:
        """Start a process for a study. Returns whether this is the new process."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._running[pid] = root
            return False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, too, which tells us
        return True

    def must_stop(self) -> bool:
        """Return whether a process of this driver must stop: it was told to stop, or the driver is gone."""
        return self.stopping or os.getppid() != self._driver

    def wait(self, is_over: Callable[[], bool]) -> bool:
        """Wait until all processes have ended. Once their time `is_over`, tell them to stop.

        Returns whether the time was over. KeyboardInterrupt after Ctrl-C, when all have ended.
        """
        over = False
        try:
            while self._look():
                over = over or is_over()
                if over or self.stopping:
                    self._stop()
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the steps are being ended, and will run again
            self._stop()
            while self._look():
                time.sleep(_LOOK_SECONDS)
            raise
        return over

    def _stop(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)

    def _look(self) -> bool:
        """Note the processes that have ended. Return whether others are still running."""
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.codes[self._running.pop(pid)] = os.waitstatus_to_exitcode(status)
        return bool(self._running)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True


def exit_code(codes: dict[Path, int]) -> int:
    """Return the exit code of a driver from the codes of its studies. "Not finished" takes precedence.

    A process that was killed has not finished. "Something is wrong" comes next, and then the ends of the studies.
    """
    if any(code < 0 or code == EXIT_TRY_AGAIN for code in codes.values()):
        return EXIT_TRY_AGAIN
    return min((code for code in codes.values() if code), default=EXIT_OK)
