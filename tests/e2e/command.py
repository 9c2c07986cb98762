"""The installed command, started as a user or cron starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from maestro_es.study.layout import StudyDir
from tools.testbed.processes import running_under, wait_for


def maestro_es(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``maestro-es`` with these arguments until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "maestro_es", *map(str, words)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def stop_own_ticks(study: Path) -> Path:
    """Let the runners of a study ask for no ticks, and wait for those that they have asked for. Returns the study.

    From then on, only the test makes ticks.
    """
    next_tick = StudyDir(study).next_tick
    quiet = next_tick.with_name("quiet")
    quiet.write_text("#!/bin/sh\n")
    quiet.chmod(0o755)
    quiet.replace(next_tick)  # by a rename: a shell may be reading the old file
    wait_for(lambda: not running_under(study, _asks_for_a_tick))
    return study


def _asks_for_a_tick(words: list[bytes]) -> bool:
    return b"tick" in words or any(word.endswith(b"/next-tick") for word in words)
