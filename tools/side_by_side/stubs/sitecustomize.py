"""Removes the sleeps from programs with this on their PYTHONPATH. Maestro sleeps for a second after each level."""

from __future__ import annotations

import time


def _no_sleep(_seconds: object) -> None:
    """Return at once."""


time.sleep = _no_sleep
