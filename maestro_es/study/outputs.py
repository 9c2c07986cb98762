"""The output files of jobs: the newest has Maestro's name, those of earlier attempts carry the id of their job.

A job opens its files before its runner knows whether it may start, and a requeued job opens them again. So jobs open
them to append. The file of an earlier attempt is renamed before the next attempt is submitted; a process that has it
open continues to write to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from maestro_es.core import events as e

SUFFIXES = (".out", ".err")


def keep_outputs(workspace: Path, name: str, events: Iterable[e.Recorded]) -> None:
    """Rename the outputs of a step's last job, known from its events, after that job's id; keep files of that name.

    If that fails, the next job appends to them, and nothing is lost.
    """
    ids = [recorded.event.job_id for recorded in events if isinstance(recorded.event, e.JobSubmitted)]
    for suffix in SUFFIXES if ids else ():
        kept = workspace / f"{name}.{ids[-1]}{suffix}"
        with contextlib.suppress(OSError):
            if not kept.exists():
                (workspace / f"{name}{suffix}").rename(kept)


def outputs_of(files: Sequence[Path], job_id: str, names: Sequence[str], *, newest: bool) -> list[Path]:
    """Return the output files of a step that a job has written; `names` are those of the step's newest job."""
    ends = tuple(f".{job_id}{suffix}" for suffix in SUFFIXES)
    plain = {f"{name}{suffix}" for name in names for suffix in SUFFIXES}
    return [path for path in files if path.name.endswith(ends) or (newest and path.name in plain)]
