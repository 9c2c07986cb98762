"""What an attempt used (CPU time, memory and nodes), and what it was allowed to use.

The scheduler reports this usage. For a local step, the runner reports it, or the process that started the runner. The
usage may become known some time after the end of the attempt. No rule of a tick depends on it.
"""

from __future__ import annotations

import msgspec

#: A runner reports its usage in the name of a file. The name has three parts (milliseconds of CPU time, KiB of memory,
#: seconds of walltime), each with at most this many digits.
_PARTS, _DIGITS = 3, 12


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What an attempt used, and what it was allowed to use. Null means unknown.

    cpu: the CPU time of all its processes, in microseconds
    memory: the largest resident memory in bytes. For a local step, it is the memory of one process. A scheduler may
        report the memory of a task, or of the whole job
    nodes: on how many nodes it ran
    cores: how many cores it had
    walltime: how long it was allowed to run, in seconds
    memory_limit: how much memory it had requested, in bytes
    """

    cpu: int | None = None
    memory: int | None = None
    nodes: int | None = None
    cores: int | None = None
    walltime: int | None = None
    memory_limit: int | None = None


def reported_usage(text: str) -> Usage | None:
    """Return what the runner of a local step reports as ``CPU-MEMORY-WALLTIME`` (None: it is something else)."""
    parts = text.split("-")
    if len(parts) != _PARTS or not all(part.isascii() and part.isdigit() and len(part) <= _DIGITS for part in parts):
        return None
    cpu, memory, walltime = map(int, parts)
    return local_usage(cpu * 1000, memory * 1024, walltime)


def local_usage(cpu: int, memory: int | None, walltime: int) -> Usage:
    """Return the usage of a local step.

    `cpu` is in microseconds, `memory` in bytes, and `walltime` in seconds (0: none).
    """
    return Usage(cpu=cpu, memory=memory, nodes=1, walltime=walltime or None)


def node_hours(usage: Usage | None, run_micros: int | None) -> float | None:
    """Return the number of nodes of an attempt, times the hours for which it ran."""
    if usage is None or usage.nodes is None or run_micros is None:
        return None
    return usage.nodes * run_micros / 3.6e9
