"""Parses the walltimes of study files. A scheduler may have another grammar (see `SchedulerFacts`).

The runner (`adapters/runner.sh`) enforces the walltime of a local step. The scheduler enforces all other walltimes.
"""

from __future__ import annotations

#: The names that Flux and Slurm use for "no limit", in lower case.
_NO_LIMIT = ("inf", "infinite", "unlimited")

_FLUX_NO_LIMIT = 2**32 - 1

_UNITS = (1, 60, 3600, 86400)


def walltime_seconds(walltime: object) -> int:
    """Return a walltime in seconds (0: no walltime).

    A plain number is a number of minutes, as in Slurm. The other forms are ``MM:SS``, ``HH:MM:SS``, ``D-HH:MM:SS`` and
    ``unlimited``. ValueError for any other text.
    """
    text = str(walltime or "").strip()
    if not text or text.lower() in _NO_LIMIT:
        return 0
    days, dash, rest = text.partition("-")
    if not dash:
        days, rest = "0", text
    parts = rest.split(":")
    digits = all(part.isascii() and part.isdigit() for part in (days, *parts))
    if not digits or len(parts) > len(_UNITS) - len(dash):
        raise ValueError(f"walltime {text!r} is not a time: write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS")
    if len(parts) == 1:
        return int(days) * 86400 + int(parts[0]) * (3600 if dash else 60)
    if dash and len(parts) < len("HMS"):
        parts.append("00")  # D-HH:MM
    return int(days) * 86400 + sum(int(part) * unit for part, unit in zip(reversed(parts), _UNITS, strict=False))


def walltime_remedy(walltime: object) -> str:
    """Return the remedy for a walltime that `walltime_seconds` can't read (empty: it can)."""
    try:
        walltime_seconds(walltime)
    except ValueError:
        return "Write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS."
    return ""


def seconds_left(answer: str, _now: float) -> float | None:
    """Return how many seconds a job has left, from the answer of its scheduler (None: no limit is known).

    This reads a number of seconds, as from Flux, and times such as ``0:59``, ``1:10:00`` or ``1-00:00:00`` from Slurm.
    Slurm also prints words such as UNLIMITED, INVALID or NOT_SET. For "no limit", Flux prints the largest number.
    """
    text = answer.strip()
    if text.isascii() and text.isdigit():
        return float(text) if int(text) < _FLUX_NO_LIMIT else None
    try:
        return float(walltime_seconds(text)) if ":" in text else None
    except ValueError:
        return None
