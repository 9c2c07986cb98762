"""The output files of jobs: the newest has Maestro's name, those of earlier attempts carry the id of their job.

A job opens its files before its runner can tell whether it may start, and one that was put back in the queue opens
them once more. So they are opened to append, and the file of an earlier attempt is renamed before the next one is
submitted: who has it open goes on writing to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from maestro_es.core import events as e

SUFFIXES = (".out", ".err")


def keep_outputs(workspace: Path, name: str, events: Iterable[e.Recorded]) -> None:
    """Give the outputs of a step's last job, which its events tell, that job's id; a file of that name is left alone.

    If it can't be done, the next job appends to them, and nothing is lost.
    """
    ids = [recorded.event.job_id for recorded in events if isinstance(recorded.event, e.JobSubmitted)]
    for suffix in SUFFIXES if ids else ():
        kept = workspace / f"{name}.{ids[-1]}{suffix}"
        with contextlib.suppress(OSError):
            if not kept.exists():
                (workspace / f"{name}{suffix}").rename(kept)


def outputs_of(files: Sequence[Path], job_id: str, names: Sequence[str], *, newest: bool) -> list[Path]:
    """Return those of a step's output files that a job has written; `names` are those of the step's newest job."""
    ends = tuple(f".{job_id}{suffix}" for suffix in SUFFIXES)
    plain = {f"{name}{suffix}" for name in names for suffix in SUFFIXES}
    return [path for path in files if path.name.endswith(ends) or (newest and path.name in plain)]
