"""Describes what an attempt used, for users and for programs. `maestro_es.core.usage` defines the data."""

from __future__ import annotations

from maestro_es.audit.times import clock
from maestro_es.core.model import Micros
from maestro_es.core.usage import Usage, node_hours

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_SMALL = 10
_MINUTE = 60_000_000


def usage_data(
    usage: Usage | None, started_at: Micros | None, ended_at: Micros | None
) -> dict[str, float | None] | None:
    """Return the usage of an attempt for JSON, with the names of the columns of ``v_attempt`` (None: unknown)."""
    if usage is None:
        return None
    return {
        "cpu_seconds": None if usage.cpu is None else usage.cpu / 1e6,
        "memory": usage.memory,
        "nodes": usage.nodes,
        "cores": usage.cores,
        "walltime_seconds": usage.walltime,
        "memory_limit": usage.memory_limit,
        "node_hours": node_hours(usage, ran(started_at, ended_at)),
    }


def ran(started_at: Micros | None, ended_at: Micros | None) -> Micros | None:
    """Return how long an attempt ran, in microseconds."""
    return None if started_at is None or ended_at is None else max(ended_at - started_at, 0)


def usage_text(usage: Usage) -> str:
    """Return the usage of an attempt in words: ``0.07 s of CPU time, 304 MiB of memory, 2 nodes``."""
    parts = []
    if usage.cpu is not None:
        parts.append(f"{cpu_text(usage.cpu)} of CPU time")
    if usage.memory is not None:
        limit = f" of {size_text(usage.memory_limit)}" if usage.memory_limit else ""
        parts.append(f"{size_text(usage.memory)}{limit} of memory")
    for count, name in ((usage.cores, "core"), (usage.nodes, "node")):
        if count is not None:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return ", ".join(parts)


def cpu_text(cpu: Micros) -> str:
    """Return a CPU time: ``0.07 s``, ``1:02:03``."""
    return f"{cpu / 1e6:.2f} s" if cpu < _MINUTE else clock(cpu // 1_000_000)


def size_text(size: int) -> str:
    """Return a number of bytes in the largest unit that leaves at least 1: ``1.5 GiB``, ``304 MiB``."""
    number, unit = float(size), 0
    while round(number) >= _STEP and unit < len(_UNITS) - 1:
        number, unit = number / _STEP, unit + 1
    digits = 1 if unit and number < _SMALL else 0
    return f"{number:.{digits}f} {_UNITS[unit]}"
