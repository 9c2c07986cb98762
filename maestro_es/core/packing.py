"""Decides which steps run on hosts at the same time, by their CPUs, memory and GPUs.

Steps start in the order of their numbers. If the first waiting step does not fit, its share of a host is reserved.
Later steps then start only if they leave enough room for it there. So small steps fill gaps, and no large step waits
for ever.

`maestro_es.core.step_keys` reads what a step needs, and `maestro_es.core.throttle` decides how many steps may be in
flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maestro_es.core.graph import Graph
from maestro_es.core.model import StepRecord
from maestro_es.core.step_keys import PLAIN, Need, need_of

#: How many ready steps are considered if the first ones do not fit.
_LOOKED_AT = 200


class Packing:
    """Hosts and their free parts. A reservation may make a free part negative."""

    def __init__(self, hosts: Sequence[Need]) -> None:
        self.hosts = tuple(hosts)
        self.free = [*hosts]
        self._is_reserved = False

    def capped(self, need: Need) -> Need:
        """Return a need, or all that the first host has if that is less. So such a step runs there alone."""
        host = self.hosts[0]
        return Need(min(need.cpus, host.cpus), min(need.memory, host.memory), min(need.gpus, host.gpus))

    def take(self, host: int, need: Need) -> None:
        """Note that a step takes its part of a host."""
        free = self.free[host]
        self.free[host] = Need(free.cpus - need.cpus, free.memory - need.memory, free.gpus - need.gpus)

    def fit(self, need: Need) -> int | None:
        """Return the first host on which a step fits, and take its part. None if it has to wait.

        The first step that has to wait gets a reservation.
        """
        for index, free in enumerate(self.free):
            if _fits(need, free):
                self.take(index, need)
                return index
        able = [index for index, host in enumerate(self.hosts) if _fits(need, host)]
        if able and not self._is_reserved:
            self._is_reserved = True
            self.take(max(able, key=lambda index: self.free[index].cpus), need)
        return None


def _fits(need: Need, free: Need) -> bool:
    return need.cpus <= free.cpus and need.memory <= max(free.memory, 0) and need.gpus <= max(free.gpus, 0)


def need(graph: Graph, step: StepRecord, *, spread: bool = False) -> Need:
    """Return what a step needs."""
    return need_of(graph.template(step.template).run, step.params, spread=spread)


def local_steps(graph: Graph, host: Need, free: int, ahead: int = 0) -> list[StepRecord]:
    """Return the ready local steps that a tick starts on a host, at most `free`.

    If no step says what it needs, `ahead` more are requested than there are slots.
    """
    if free + ahead <= 0:
        return []
    if not counts_needs(graph, free + ahead):
        return [*graph.ready(scheduled=False, limit=free + ahead)]
    packing = occupied(host, needs_running(graph))
    line = graph.ready(scheduled=False, limit=free + _LOOKED_AT)
    return [step for step in line if packing.fit(packing.capped(need(graph, step))) is not None][:free]


def counts_needs(graph: Graph, limit: int) -> bool:
    """Return whether one of the local steps in flight, or of the first ready ones, says what it needs."""
    ready = [need(graph, step) for step in graph.ready(scheduled=False, limit=limit)]
    return bool(ready) and any(each != PLAIN for each in (*ready, *needs_running(graph)))


def needs_running(graph: Graph) -> list[Need]:
    """Return what the local steps in flight need."""
    return [need(graph, step) for step in graph.in_flight() if not step.scheduled]


def occupied(host: Need, running: Iterable[Need]) -> Packing:
    """Return a host with the steps that run on it."""
    packing = Packing([host])
    for each in running:
        packing.take(0, packing.capped(each))
    return packing
