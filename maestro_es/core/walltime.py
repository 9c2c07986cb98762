"""Walltimes as study files write them. A scheduler may have a grammar of its own: see `SchedulerFacts`.

The runner (`adapters/runner.sh`) enforces the walltime of a local step. The scheduler enforces the others.
"""

from __future__ import annotations

#: What Flux, or Slurm, calls no limit, in any case of letters.
_NO_LIMIT = ("inf", "infinite", "unlimited")

_UNITS = (1, 60, 3600, 86400)


def walltime_seconds(walltime: object) -> int:
    """Return a walltime in seconds; 0 means none.

    A plain number is minutes, as Slurm reads it; ``MM:SS``, ``HH:MM:SS`` and ``D-HH:MM:SS`` are what they look like,
    and ``unlimited`` is none. ValueError if it is none of these.
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
        raise ValueError(f"walltime {text!r} is no time: write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS")
    if len(parts) == 1:
        return int(days) * 86400 + int(parts[0]) * (3600 if dash else 60)
    if dash and len(parts) < len("HMS"):
        parts.append("00")  # D-HH:MM
    return int(days) * 86400 + sum(int(part) * unit for part, unit in zip(reversed(parts), _UNITS, strict=False))


def walltime_remedy(walltime: object) -> str:
    """Return what to write in place of a walltime that `walltime_seconds` can't read; nothing if it can."""
    try:
        walltime_seconds(walltime)
    except ValueError:
        return "Write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS."
    return ""
