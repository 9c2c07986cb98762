"""Helpers for `run` while it creates a study: they show the progress, and remove everything if `run` is terminated."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from maestro_es.cli.output import exact_errors, outliving
from maestro_es.creation.exclusive_creation import Site, creating_named, remove_abandoned

#: The signals that a shell sends when it ends, and a system when it shuts down.
_ENDING = (signal.SIGHUP, signal.SIGTERM)

#: A creation that takes longer than `_PATIENCE` seconds shows its progress every `_INTERVAL` seconds.
_PATIENCE, _INTERVAL = 1.0, 0.2


@contextlib.contextmanager
def removing_if_ended() -> Iterator[None]:
    """Let SIGHUP and SIGTERM end this process as Ctrl-C does, so that what it has created is removed.

    Meanwhile, Python's garbage collector is off, because a plan has millions of objects and hardly any garbage.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    collects = gc.isenabled()
    gc.disable()
    try:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, _end)
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _end:  # otherwise a driver has begun, and its own handler stays
                signal.signal(number, handler)
        if collects:
            gc.enable()


def _end(number: int, _: FrameType | None) -> None:
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)  # one signal is enough, and nothing may interrupt the removal
    raise SystemExit(128 + number)


class Reservation:
    """Reserves the directory of a study as soon as the study file gives its name."""

    def __init__(self, creation: contextlib.ExitStack, *files: Path | None) -> None:
        self.site: Site | None = None
        self._creation = creation
        self._files = {file.name for file in files if file}

    def reserve(self, stem: str) -> Path:
        """Return a new directory, whose name is `stem` and the time. Later calls return the same directory."""
        if self.site is None:
            remove_abandoned(stem, self._files)
            self.site = self._creation.enter_context(creating_named(stem))
        return self.site.study_dir.root


class CreationProgress:
    """Shows on a terminal how many steps of a new study are stored."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + _PATIENCE
        self._shown = False

    def show(self, stored: int, steps: int) -> None:
        """Show the progress, if it is time."""
        if self._terminal and time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            self._shown = True
            self._write(f"creating the study: {stored:,} of {steps:,} steps")

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._write("")

    @staticmethod
    def _write(text: str) -> None:
        with outliving(sys.stderr):
            print(f"\r\033[K{text}", end="", file=exact_errors(), flush=True)
