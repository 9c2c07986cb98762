"""Reads keys of a step's ``run`` block: fills in parameters, and finds out what the step needs on a host.

`maestro_es.core.packing` decides which steps fit on a host at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from maestro_es.core.attempt_token import Placement
from maestro_es.core.model import Param
from maestro_es.core.walltime import walltime_seconds

#: The keys that determine what a step needs.
KEYS = ("nodes", "procs", "cores per task", "memory", "gpus")

#: An amount of memory. Without a unit, it is a number of megabytes.
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_MEGABYTES = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}

#: The form of a count, such as a number of nodes.
_COUNT = re.compile(r"\s*[0-9]{1,9}\s*")


class Need(NamedTuple):
    """What a step needs, or what a host has: CPUs, megabytes of memory, and GPUs, on each of its nodes.

    For a host, 0 megabytes mean that its memory is unknown, so memory does not count there. The same holds for GPUs.
    """

    cpus: int = 1
    memory: int = 0
    gpus: int = 0
    nodes: int = 1

    def with_slots(self, slots: int) -> Need:
        """Return a host that has this number of slots, whatever CPUs it has (0: a slot for each CPU)."""
        return self._replace(cpus=slots or self.cpus)


#: The need of a step that does not specify one.
PLAIN = Need()


def need_of(run: Mapping[str, object], params: Sequence[Param], *, spread: bool = False) -> Need:
    """Return what a step needs on a host, or on each of its nodes if it may `spread` over nodes.

    The number of CPUs that a step needs is its procs times its cores per task. A value that can't be read is
    ignored.
    """
    values = {key: substitute(str(run[key]), params) for key in KEYS if run.get(key) not in (None, "")}
    if not values:
        return PLAIN
    nodes = _count(values.get("nodes"))
    procs = _count(values.get("procs")) or nodes
    on = max(nodes, 1) if spread else 1
    cpus = -(-max(procs, 1) // on) * max(_count(values.get("cores per task")), 1)
    return Need(cpus, megabytes(values.get("memory", "")) or 0, _count(values.get("gpus")), on)


class Allocation(NamedTuple):
    """The job in which a driver runs steps: its id, its nodes, the node of the driver, and the seconds that are left.

    Without a limit, `seconds_left` is None. If the driver runs on none of the nodes, `ours` is None, and no local step
    starts. A node without CPUs takes no steps. If `is_pausing`, one of them may take steps again soon. `trouble` says
    why others never will.

    If other studies run steps in this job, `taken` holds the parts of nodes that these steps take, and the steps of
    this study may use `share` CPUs (None: as many as are free).
    """

    job: str
    nodes: tuple[Need, ...]
    ours: int | None = 0
    seconds_left: float | None = None
    is_pausing: bool = False
    trouble: str = ""
    taken: tuple[tuple[Placement, Need], ...] = ()
    share: int | None = None

    @property
    def cpus(self) -> int:
        """The number of CPUs of all nodes."""
        return sum(node.cpus for node in self.nodes)


def walltime_of(run: Mapping[str, object], params: Sequence[Param]) -> int:
    """Return the walltime of a step in seconds (0: it has none, or it can't be read)."""
    try:
        return walltime_seconds(substitute(str(run.get("walltime") or ""), params))
    except ValueError:
        return 0


def exceeds(need: Need, host: Need) -> bool:
    """Return whether a step needs more than a host has. An amount that is unknown for the host does not count."""
    return any(asked > has > 0 for asked, has in zip(need[:3], host[:3], strict=True))


def amounts(of: Need, asked: Need | None = None) -> str:
    """Return amounts in words. Memory and GPUs are mentioned only if they are `asked` for."""
    asked = asked or of
    parts = [f"{of.cpus} slot{'' if of.cpus == 1 else 's'}"]
    parts += [f"{of.memory} MB of memory"] * bool(asked.memory)
    parts += [f"{of.gpus} GPU{'' if of.gpus == 1 else 's'}"] * bool(asked.gpus)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def megabytes(size: str) -> int | None:
    """Return a size of memory in megabytes, rounded up (None: the text can't be read)."""
    match = _SIZE.fullmatch(size)
    return -int(-float(match[1]) * _MEGABYTES[match[2].lower()] // 1) if match else None


def _count(text: str | None) -> int:
    return int(text) if text and _COUNT.fullmatch(text) else 0


def substitute(text: str, params: Sequence[Param], sign: str = "$") -> str:
    """Replace the placeholders of parameters. Labels come first, then values, then names.

    A value may contain placeholders.
    """
    if sign not in text:
        return text
    for param in params:
        text = text.replace(f"{sign}({param.key}.label)", param.label)
    for param in params:
        text = text.replace(f"{sign}({param.key})", param.value)
    for param in params:
        text = text.replace(f"{sign}({param.key}.name)", param.name)
    return text
