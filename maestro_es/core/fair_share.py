"""Decides how the studies of a user share the slots of a host, and the room in the queue of a scheduler.

Nothing is reserved or recorded. Each tick derives its share from what it sees of the other studies, so no state can be
wrong after a crash. `maestro_es.study.other_studies` collects what a tick sees, and `maestro_es.core.throttle` applies
the other limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from maestro_es.core import throttle
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord, StudyRecord
from maestro_es.core.observations import OtherStudy
from maestro_es.core.packing import local_steps, need
from maestro_es.core.step_keys import Need
from maestro_es.core.throttle import count_slots

#: If a host has fewer slots than studies, or the number of slots can't be divided evenly, the studies take turns. A
#: turn takes this long, in microseconds.
TURN = 300 * 1_000_000

#: After this time of its turn, a study starts a step that is larger than its share even if others have made no room.
_LATE = 180 * 1_000_000

#: A study that lets others go first submits jobs after this number of minutes.
_MINUTE, _MINUTES = 60 * 1_000_000, 10


class Demand(NamedTuple):
    """How many CPUs local steps of a study would use: `asks` in all, `step` for the next one (0: there is none)."""

    asks: int
    step: int = 0


def local_share(graph: Graph, host: Need, others: Sequence[OtherStudy], now: Micros) -> int:
    """Return how many CPUs of a host the local steps of a study may use now.

    The host has as many slots as cores, or as many as the largest setting of these studies says. They are divided
    evenly, but no study gets more than it asks for. No running step is ended. So a study may have to wait until the
    others have given back what they use beyond their share. It does not wait for a hidden study, which does not see it
    before its first step runs.

    A step that is larger than an even share starts only in the turn of its study, when the others have made room. If
    they have not done so until the last part of the turn, it starts anyway. So no study waits for ever.
    """
    study_id, slots = graph.study.study_id, slots_of(graph, host.cpus)
    pool = max(host.cpus, slots, *(other.slots for other in others))
    own = demand_of(graph, host, slots)
    demands = {other.study_id: Demand(other.asks, other.step) for other in others} | {study_id: own}
    share = _shares(pool, demands, now // TURN)[study_id]
    left = max(pool - sum(other.running for other in others if not other.hidden), 0)
    is_late = now % TURN >= _LATE
    if left < own.step <= share and own.step > 1 and is_late and not _in_flight(graph):
        return own.step
    return min(share, left)


def slots_of(graph: Graph, cores: int) -> int:
    """Return how many local steps of a study may run on a host at the same time if no other study runs there."""
    return count_slots(graph, cores, 0)[0].limit or 0


def demand_of(graph: Graph, host: Need, slots: int) -> Demand:
    """Return what the local steps of a study would use if it were alone, but not more than its slots.

    Steps for which the host has too little memory or too few GPUs at present don't count.
    """
    used = cpus_of(graph, _in_flight(graph), slots)
    starting = [cpus_of(graph, [step], slots) for step in local_steps(graph, host._replace(cpus=used + slots), slots)]
    return Demand(min(used + sum(starting), slots), (*starting, 0)[0])


def _in_flight(graph: Graph) -> list[StepRecord]:
    return [step for step in graph.in_flight() if not step.scheduled]


def cpus_of(graph: Graph, steps: Iterable[StepRecord], slots: int) -> int:
    """Return how many CPUs steps use. A step that needs more than all slots runs alone."""
    return sum(min(need(graph, step).cpus, slots) for step in steps)


def _shares(pool: int, demands: Mapping[str, Demand], turn: int) -> dict[str, int]:
    """Divide a pool. The study whose turn it is gets enough for its next step.

    The others get nothing as long as that is too little for their next step, unless all other studies have enough.
    """
    asks = {name: demand.asks for name, demand in demands.items()}
    even = _divide(pool, asks, turn)
    wide = {name for name, demand in demands.items() if demand.step > even[name]}
    waiting = sorted(name for name, demand in demands.items() if demand.step)
    owner = waiting[turn % len(waiting)] if waiting else ""
    shares = dict.fromkeys(demands, 0)
    if owner in wide:
        shares[owner] = min(demands[owner].step, pool)
    for able in (demands.keys() - wide, wide):
        more = {name: asks[name] - shares[name] if name in able else 0 for name in demands}
        for name, share in _divide(pool - sum(shares.values()), more, turn).items():
            shares[name] += share
    return shares


def _divide(pool: int, demands: Mapping[str, int], turn: int) -> dict[str, int]:
    """Divide a pool evenly, one by one. The study that comes first changes with each turn."""
    names = sorted(demands)
    first = turn % len(names)
    shares = dict.fromkeys(names, 0)
    while pool > 0:
        hungry = [name for name in (*names[first:], *names[:first]) if shares[name] < demands[name]]
        if not hungry:
            break
        for name in hungry[:pool]:
            shares[name] += 1
        pool -= min(len(hungry), pool)
    return shares


def jobs_in_turn(graph: Graph, jobs: int, available: int, others: Sequence[OtherStudy], now: Micros) -> int:
    """Return how many jobs a tick submits after the queue was full. It would submit `available` ones if it were alone.

    Only studies whose jobs are in the same queue count, and of these only the ones that wait for room, too. If one of
    them has fewer jobs, it goes first: this study submits only if its last submission is ten minutes old. If all
    have more, this study tries again soon. Studies with the same number take turns, and leave half of the room.
    """
    study_record = graph.study
    queue, own = queue_of(study_record), study_record.study_id
    waiting = {other.study_id: other.jobs for other in others if other.waits and other.queue == queue}
    if not waiting:
        return available
    fewest = min(waiting.values())
    if fewest < jobs:
        newest = max((step.requested_at or 0 for step in graph.in_flight() if step.scheduled), default=0)
        return available if now - newest >= _MINUTES * _MINUTE else 0
    equal = sorted([own, *(name for name, number in waiting.items() if number == jobs)])
    turn = now // TURN
    shifted = turn + turn // 7  # so that ticks at fixed intervals see the turn of each study
    if own != equal[shifted % len(equal)]:
        return available // 2 if jobs else 0
    refusal, (first, _) = study_record.refusal, throttle.BACKOFF
    if refusal is None or now >= refusal.at + first:
        available = max(available, max(waiting.values()) - jobs, 1)
    return (available + 1) // 2 if len(equal) > 1 else available


def queue_of(study_record: StudyRecord) -> tuple[str, ...]:
    """Return what identifies the queue of a study, and the account whose limits hold there."""
    keys = ("type", "host", "bank", "queue", "partition", "qos", "reservation")
    return tuple(str(study_record.adapter.get(key, "")) for key in keys)
