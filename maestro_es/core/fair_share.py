"""Decides how the studies of a user share the slots of a host, and the room in the queue of a scheduler.

Nothing is reserved or recorded. Each tick derives its share from what it sees of the other studies, so no state can be
wrong after a crash. `maestro_es.study.other_studies` collects what a tick sees, and `maestro_es.core.throttle` applies
the other limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from maestro_es.core import throttle
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord, StudyRecord
from maestro_es.core.observations import OtherStudy
from maestro_es.core.packing import need
from maestro_es.core.throttle import count_slots

#: If a host has fewer slots than studies, or the number of slots can't be divided evenly, the studies take turns. A
#: turn takes this long, in microseconds.
TURN = 300 * 1_000_000

#: A study that lets others go first submits jobs in one minute of this number.
_MINUTE, _MINUTES = 60 * 1_000_000, 10


def local_share(graph: Graph, cores: int, others: Sequence[OtherStudy], now: Micros) -> int:
    """Return how many CPUs of a host the local steps of a study may use now.

    The host has as many slots as cores, or as many as the largest setting of these studies says. They are divided
    evenly, but no study gets more than it asks for. No running step is ended. So a study may have to wait until the
    others have given back what they use beyond their share. It does not wait for a hidden study, which does not see it
    before its first step runs.
    """
    study_id, slots = graph.study.study_id, slots_of(graph, cores)
    pool = max(cores, slots, *(other.slots for other in others))
    wishes = {other.study_id: other.asks for other in others} | {study_id: asks_of(graph, slots)}
    fair = _divide(pool, wishes, now // TURN)[study_id]
    return max(min(fair, pool - sum(other.running for other in others if not other.hidden)), 0)


def slots_of(graph: Graph, cores: int) -> int:
    """Return how many local steps of a study may run on a host at the same time if no other study runs there."""
    return count_slots(graph, cores, 0)[0].limit or 0


def asks_of(graph: Graph, slots: int) -> int:
    """Return how many CPUs the local steps of a study would use, but not more than its slots."""
    in_flight = [step for step in graph.in_flight() if not step.scheduled]
    return min(cpus_of(graph, [*in_flight, *graph.ready(scheduled=False, limit=slots)]), slots)


def cpus_of(graph: Graph, steps: Iterable[StepRecord]) -> int:
    """Return how many CPUs steps use."""
    return sum(need(graph, step).cpus for step in steps)


def _divide(pool: int, wishes: Mapping[str, int], turn: int) -> dict[str, int]:
    """Divide a pool evenly, one by one. The study that comes first changes with each turn."""
    names = sorted(wishes)
    first = turn % len(names)
    shares = dict.fromkeys(names, 0)
    while pool > 0:
        hungry = [name for name in (*names[first:], *names[:first]) if shares[name] < wishes[name]]
        if not hungry:
            break
        for name in hungry[:pool]:
            shares[name] += 1
        pool -= min(len(hungry), pool)
    return shares


def jobs_in_turn(
    study_record: StudyRecord, jobs: int, available: int, others: Sequence[OtherStudy], now: Micros
) -> int:
    """Return how many jobs a tick submits after the queue was full. It would submit `available` ones if it were alone.

    Only studies whose jobs are in the same queue count, and of these only the ones that wait for room, too. If one of
    them has fewer jobs, it goes first: this study submits only in one minute of ten. If one of them has more, this
    study tries again soon. If they have about the same number, it leaves half of the room to the others.
    """
    waiting = [other.jobs for other in others if other.waits and other.queue == queue_of(study_record)]
    if not waiting:
        return available
    if min(waiting) < jobs:
        return available if now // _MINUTE % _MINUTES == 0 else 0
    refusal, (first, _) = study_record.refusal, throttle.BACKOFF
    if max(waiting) > jobs + 1 and (refusal is None or now >= refusal.at + first):
        return max(available, max(waiting) - jobs)
    return (available + 1) // 2


def queue_of(study_record: StudyRecord) -> tuple[str, ...]:
    """Return what identifies the queue of a study, and the account whose limits hold there."""
    keys = ("type", "host", "bank", "queue", "partition", "qos", "reservation")
    return tuple(str(study_record.adapter.get(key, "")) for key in keys)
