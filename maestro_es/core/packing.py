"""Decides which steps run on hosts at the same time, given the CPUs, memory and GPUs that they need.

Steps start in the order of their numbers. If the first waiting step does not fit, its share of a host is reserved.
Later steps then start only if they leave this share free. So small steps fill gaps, and no large step waits
for ever.

`maestro_es.core.step_keys` reads what a step needs, and `maestro_es.core.throttle` decides how many steps may be in
flight.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from maestro_es.core.attempt_token import Placement, placement_of, without_start
from maestro_es.core.graph import Graph
from maestro_es.core.model import StepRecord
from maestro_es.core.step_keys import PLAIN, Allocation, Need, amounts, need_of, walltime_of

#: How many ready steps are considered if the first ones do not fit.
_LOOKED_AT = 200


class Packing:
    """Hosts, and what is free on each of them. A reservation may make a free amount negative.

    A step that needs several nodes gets neighbouring nodes, and the same GPUs on each of them.
    """

    def __init__(self, hosts: Sequence[Need]) -> None:
        self.hosts = tuple(hosts)
        self.free = [*hosts]
        self._gpus = [(1 << host.gpus) - 1 for host in hosts]
        self._is_reserved = False

    def capped(self, need: Need, index: int = 0) -> Need:
        """Return a need, limited to what a host has. A step that needs more runs there alone."""
        return _capped(need, self.hosts[index])

    def take(self, first: int, need: Need, gpus: int = 0) -> None:
        """Note that a step takes its part of the host `first`, and of the next hosts if needed. `gpus` is a mask."""
        for index in range(first, min(first + need.nodes, len(self.hosts))):
            free = self.free[index]
            self.free[index] = Need(free.cpus - need.cpus, free.memory - need.memory, free.gpus - need.gpus)
            self._gpus[index] &= ~gpus

    def fit(self, need: Need, only: int | None = None) -> tuple[int, int] | None:
        """Take a step's part of the first host on which it fits, and return this host and a mask of the step's GPUs.

        Return None if the step has to wait. The first step that has to wait gets a reservation. With `only`, the step
        fits on no other host.
        """
        firsts = range(len(self.hosts) - need.nodes + 1) if only is None else (only,)
        for first in firsts:
            gpus = self._choose(first, need)
            if gpus is not None and self.has_room(first, need):
                self.take(first, need, gpus)
                return first, gpus
        able = [first for first in firsts if self._could(first, need)]
        if able and not self._is_reserved:
            self._is_reserved = True
            self.take(
                max(able, key=lambda first: min(free.cpus for free in self.free[first : first + need.nodes])), need
            )
        return None

    def emptiest(self) -> int:
        """Return the host with the most free CPUs. Their number may be negative."""
        return max(range(len(self.free)), key=lambda index: self.free[index].cpus)

    def give_back(self, first: int, need: Need) -> None:
        """Note that a step has ended."""
        self.take(first, Need(-need.cpus, -need.memory, -need.gpus, need.nodes))

    def has_room(self, first: int, need: Need) -> bool:
        """Return whether a step fits now on as many hosts as it needs, from `first` on."""
        return all(_fits(need, free) for free in self.free[first : first + need.nodes])

    def is_too_small(self, need: Need) -> bool:
        """Return whether a step never fits, even if nothing else runs."""
        return not any(self._could(first, need) for first in range(len(self.hosts) - need.nodes + 1))

    def _could(self, first: int, need: Need) -> bool:
        return all(_fits(need, host) for host in self.hosts[first : first + need.nodes])

    def _choose(self, first: int, need: Need) -> int | None:
        """Return a mask of GPUs that are free on each of the nodes (None: there are too few)."""
        free = -1
        for mask in self._gpus[first : first + need.nodes]:
            free &= mask
        chosen = 0
        for _ in range(need.gpus):
            lowest = free & -free
            if not lowest:
                return None
            chosen, free = chosen | lowest, free ^ lowest
        return chosen


def _capped(need: Need, host: Need) -> Need:
    return Need(min(need.cpus, host.cpus), min(need.memory, host.memory), min(need.gpus, host.gpus))


def _fits(need: Need, free: Need) -> bool:
    return need.cpus <= free.cpus and need.memory <= max(free.memory, 0) and need.gpus <= max(free.gpus, 0)


def need(graph: Graph, step: StepRecord, *, spread: bool = False) -> Need:
    """Return what a step needs."""
    return need_of(graph.template(step.template).run, step.params, spread=spread)


def local_steps(graph: Graph, host: Need, free: int, ahead: int = 0, withheld: int = 0) -> list[StepRecord]:
    """Return the ready local steps that a tick starts on a host, at most `free`. Other studies use `withheld` CPUs.

    If no step says what it needs, `ahead` more steps are requested than there are slots.
    """
    if free + ahead <= 0:
        return []
    if not counts_needs(graph, free + ahead):
        return [*graph.ready(scheduled=False, limit=free + ahead)]
    packing = occupied(host, needs_running(graph))
    packing.take(0, Need(withheld, 0, 0))
    line = graph.ready(scheduled=False, limit=free + _LOOKED_AT)
    return [step for step in line if packing.fit(packing.capped(need(graph, step))) is not None][:free]


def counts_needs(graph: Graph, limit: int) -> bool:
    """Return whether one of the local steps in flight, or of the first ready ones, says what it needs."""
    ready = [need(graph, step) for step in graph.ready(scheduled=False, limit=limit)]
    return bool(ready) and any(each != PLAIN for each in (*ready, *needs_running(graph)))


def needs_running(graph: Graph) -> list[Need]:
    """Return what the local steps in flight need."""
    return [need(graph, step) for step in graph.in_flight() if not step.scheduled]


def inside(graph: Graph, allocation: Allocation, ahead: int = 0) -> Iterator[tuple[StepRecord, Placement | None]]:
    """Yield the ready steps that start inside an allocation, and where. Local steps start on the node of the driver.

    A step starts only if its walltime ends before the job does. A study that is alone requests `ahead` more of the
    smallest steps than fit. If others share the allocation, the study stops at the first step that exceeds its share.
    """
    if allocation.seconds_left is not None and allocation.seconds_left <= 0:
        return
    packing = busy_nodes(graph, allocation)
    limit, left = allocation.cpus + _LOOKED_AT, None
    if allocation.share is not None:
        left, ahead = allocation.share - cpus_inside(graph, allocation), 0
    slots = graph.study.settings.local_slots
    local = max(slots - len(needs_running(graph)), 0) if slots else limit
    lines = (graph.ready(scheduled=scheduled, limit=limit if scheduled else local) for scheduled in (True, False))
    for step in heapq.merge(*lines, key=lambda step: step.number):
        asked = need_inside(graph, step, allocation)
        if ends_too_late(graph, step, allocation) or _is_impossible(packing, step, asked, allocation):
            continue
        if left is not None and asked.cpus * asked.nodes > left:
            return
        fitting = packing.fit(asked, None if step.scheduled else allocation.ours)
        if fitting:
            left = None if left is None else left - asked.cpus * asked.nodes
            yield step, Placement(allocation.job, fitting[0], asked.nodes, fitting[1]) if step.scheduled else None
        elif ahead > 0 and step.scheduled and asked == PLAIN:
            ahead -= 1
            node = packing.emptiest()
            packing.take(node, asked)
            yield step, Placement(allocation.job, node)


def _is_impossible(packing: Packing, step: StepRecord, asked: Need, allocation: Allocation) -> bool:
    if step.scheduled:
        return packing.is_too_small(asked)
    return allocation.ours is None or not allocation.nodes[allocation.ours].cpus


def obstacle(graph: Graph, allocation: Allocation) -> str:
    """Return why no step can start in an allocation where none runs. Empty if one can start, or none is ready."""
    if allocation.is_pausing:
        return ""
    ready = [step for kind in (True, False) for step in graph.ready(scheduled=kind, limit=_LOOKED_AT)]
    reasons = [_obstacle_of(graph, step, allocation) for step in ready]
    return allocation.trouble or reasons[0] if reasons and all(reasons) else ""


def _obstacle_of(graph: Graph, step: StepRecord, allocation: Allocation) -> str:
    """Return why a step can't start even if nothing else runs (empty: it can)."""
    asked = need(graph, step, spread=step.scheduled)
    if ends_too_late(graph, step, allocation):
        return f"the walltime of {step.name} is longer than the time that job {without_start(allocation.job)} has left"
    if not _is_impossible(Packing(allocation.nodes), step, asked, allocation):
        return ""
    if not step.scheduled:
        return f"{step.name} is a local step, and the driver runs on no node of job {without_start(allocation.job)}"
    nodes = f" on each of {asked.nodes} nodes" if asked.nodes > 1 else ""
    return f"{step.name} needs {amounts(asked)}{nodes}, which the job {without_start(allocation.job)} does not have"


def busy_nodes(graph: Graph, allocation: Allocation) -> Packing:
    """Return the nodes of an allocation with the steps that run there, including the steps of other studies."""
    packing = Packing(allocation.nodes)
    own = ((at, part) for _, at, part in parts_of(graph, allocation))
    for at, part in (*own, *allocation.taken):
        packing.take(at.node, part, at.gpus)
    return packing


def parts_of(graph: Graph, allocation: Allocation) -> Iterator[tuple[StepRecord, Placement, Need]]:
    """Yield the steps of a study that run in an allocation, each with the part that it takes."""
    for step in graph.in_flight():
        placement = placement_of(step.token)
        if placement and placement.job == allocation.job:
            yield step, placement, need(graph, step, spread=True)
        elif not step.scheduled and allocation.ours is not None:
            yield step, Placement(allocation.job, allocation.ours), need_inside(graph, step, allocation)


def need_inside(graph: Graph, step: StepRecord, allocation: Allocation) -> Need:
    """Return what a step takes in an allocation. A local step takes no more than the driver's node has."""
    asked = need(graph, step, spread=step.scheduled)
    if step.scheduled or allocation.ours is None:
        return asked
    return _capped(asked, allocation.nodes[allocation.ours])


def cpus_inside(graph: Graph, allocation: Allocation) -> int:
    """Return how many CPUs of an allocation the steps of a study use."""
    return sum(part.cpus * part.nodes for _, _, part in parts_of(graph, allocation))


def ends_too_late(graph: Graph, step: StepRecord, allocation: Allocation) -> bool:
    """Return whether the job may end before a step that starts now has reached its walltime."""
    if allocation.seconds_left is None:
        return False
    return walltime_of(graph.template(step.template).run, step.params) > allocation.seconds_left


def occupied(host: Need, running: Iterable[Need]) -> Packing:
    """Return a host with the steps that run on it."""
    packing = Packing([host])
    for each in running:
        packing.take(0, packing.capped(each))
    return packing
