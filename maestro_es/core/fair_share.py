"""Decides how the studies of a user share the slots of a host, and the room in the queue of a scheduler.

Nothing is reserved or recorded. Each tick derives its share from what it sees of the other studies, so no state can be
wrong after a crash. `maestro_es.study.other_studies` collects what a tick sees, and `maestro_es.core.throttle` applies
the other limits.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from maestro_es.core import throttle
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord
from maestro_es.core.observations import OtherStudy
from maestro_es.core.packing import cpus_inside, inside, local_steps, need, need_inside
from maestro_es.core.step_keys import Allocation, Need, substitute
from maestro_es.core.throttle import count_slots

#: If a host has fewer slots than studies, or the number of slots can't be divided evenly, the studies take turns. A
#: turn takes this long, in microseconds.
TURN = 300 * 1_000_000

#: After this time of its turn, a study starts a step that is larger than its share even if others have made no room.
_LATE = 180 * 1_000_000

#: A study lets others go first until its last submission is this old, in microseconds.
_WAIT = 600 * 1_000_000


class Demand(NamedTuple):
    """How many CPUs local steps of a study would use: `asks` in all, `step` for the next one (0: there is none)."""

    asks: int
    step: int = 0


def local_share(graph: Graph, host: Need, others: Sequence[OtherStudy], now: Micros) -> int:
    """Return how many CPUs of a host the local steps of a study may use now.

    The host has as many slots as cores, or as many as the largest setting of these studies says. They are divided
    evenly, but no study gets more than it asks for. No running step is ended. So a study may have to wait until the
    others have given back what they use beyond their share. It does not wait for a hidden study, because that study
    can't see it before its first step runs.

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


def share_inside(graph: Graph, allocation: Allocation, others: Sequence[OtherStudy], now: Micros) -> Allocation:
    """Return an allocation with the parts that the steps of other studies take, and the share of this study.

    The CPUs of all nodes are divided as the slots of a host are (`local_share`). Memory and GPUs are never shared.
    """
    study_id = graph.study.study_id
    own = demand_inside(graph, allocation)
    demands = {other.study_id: Demand(other.asks, other.step) for other in others} | {study_id: own}
    share = _shares(allocation.cpus, demands, now // TURN)[study_id]
    taken = tuple(part for other in others for part in other.taken)
    if 1 < own.step <= share and now % TURN >= _LATE and not cpus_inside(graph, allocation):
        taken = tuple((at, part._replace(cpus=0)) for at, part in taken)
    return allocation._replace(taken=taken, share=share)


def demand_inside(graph: Graph, allocation: Allocation) -> Demand:
    """Return what the steps of a study would use in an allocation if it were alone there."""
    used = cpus_inside(graph, allocation)
    alone = allocation._replace(taken=(), share=None)
    parts = (need_inside(graph, step, alone) for step, _ in inside(graph, alone))
    starting = [part.cpus * part.nodes for part in parts]
    return Demand(min(used + sum(starting), allocation.cpus), (*starting, 0)[0])


def _shares(pool: int, demands: Mapping[str, Demand], turn: int) -> dict[str, int]:
    """Divide a pool. The study whose turn it is gets enough for its next step.

    Another study gets nothing while its share is too small for its next step, unless all other studies have enough.
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


def _divide(pool: int, demands: Mapping[str, int], turn: int, has: Mapping[str, int] | None = None) -> dict[str, int]:
    """Divide a pool. Each unit goes to the study that has the least so far and still asks for more.

    What a study already `has` counts. If several studies have equally much, a different one comes first in each turn.
    """
    has = has or {}
    shares = dict.fromkeys(demands, 0)
    line = [(has.get(name, 0), rank, name) for rank, name in enumerate(_in_turn(demands, turn)) if demands[name] > 0]
    heapq.heapify(line)
    while pool > 0 and line:
        least, rank, name = heapq.heappop(line)
        shares[name] += 1
        pool -= 1
        if shares[name] < demands[name]:
            heapq.heappush(line, (least + 1, rank, name))
    return shares


def _in_turn(names: Iterable[str], turn: int) -> list[str]:
    """Return the names in an order that begins with a different name in each turn."""
    names = sorted(names)
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def jobs_in_turn(graph: Graph, available: int, others: Sequence[OtherStudy], now: Micros) -> int:
    """Return how many jobs a tick submits after the queue was full. It would submit `available` ones if it were alone.

    The study with the fewest jobs in the queue goes first; if there are several, they take turns. It gets those of
    the `available` jobs that make the numbers even. Some time after the refusal, it may also catch up with the others
    at once. The others wait, but not longer than ten minutes after their last submission.

    Only studies that also wait for room in the queue of the next job count.
    """
    queue, own = next_queue(graph), graph.study.study_id
    waiting = {other.study_id: other.jobs for other in others if other.waits and other.queue == queue}
    if not waiting:
        return available
    mine = jobs_in(graph, queue)
    jobs = waiting | {own: len(mine)}
    turn = now // TURN
    shifted = turn + turn // 7  # so that ticks at fixed intervals see the turn of each study
    if own != min(_in_turn(jobs, shifted), key=jobs.__getitem__):
        newest = max((step.requested_at or 0 for step in mine), default=now)
        return available if now - newest >= _WAIT else 0
    refusal, (first, _) = graph.study.refusal, throttle.BACKOFF
    if refusal is None or now >= refusal.at + first:
        available = max(available, max(waiting.values()) - len(mine), 1)
    return _divide(available, dict.fromkeys(jobs, available), shifted, jobs)[own]


#: The keys of a batch block, or of a step's run block, that identify a queue, and the account whose limits hold.
_QUEUE_KEYS = ("type", "host", "bank", "queue", "partition", "qos", "reservation")


def queue_of(graph: Graph, step: StepRecord) -> tuple[str, ...]:
    """Return what identifies the queue of a step. A step may name another one than its study."""
    run = graph.template(step.template).run
    named = ((run.get(key) and substitute(str(run[key]), step.params)) for key in _QUEUE_KEYS)
    return tuple(name or str(graph.study.adapter.get(key, "")) for key, name in zip(_QUEUE_KEYS, named, strict=True))


def next_queue(graph: Graph) -> tuple[str, ...]:
    """Return the queue of the next job of a study (empty: no job is ready)."""
    return next((queue_of(graph, step) for step in graph.ready(scheduled=True, limit=1)), ())


def jobs_in(graph: Graph, queue: tuple[str, ...]) -> list[StepRecord]:
    """Return the steps whose jobs are in a queue."""
    return [step for step in graph.in_flight() if step.scheduled and queue_of(graph, step) == queue]
