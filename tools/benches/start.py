"""A tick with nothing to do, as a process."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from tools.benches.studies import sleeping_study
from tools.benches.timing import MAESTRO_ES, call, median


def bench(place: Path) -> None:
    """A tick with nothing to do as a whole process."""
    root = sleeping_study(place)
    ours = median(partial(call, *MAESTRO_ES, "tick", root), 21)
    bare = median(partial(call, sys.executable, "-c", "import sqlite3, click"), 21)
    call(*MAESTRO_ES, "cancel", "-y", root)
    figures = f"{ours * 1e3:.0f} ms, import sqlite3, click {bare * 1e3:.0f} ms: ratio {ours / bare:.2f} (goal 1)"
    print(f"start   tick with nothing to do: {figures}")
