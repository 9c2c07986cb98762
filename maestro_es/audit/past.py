"""A study as it was: the state that its log added up to at a moment, folded in memory.

It is what the log knew then. A step that had ended, and whose end was recorded a minute later, still runs in between.
"""

from __future__ import annotations

from typing import NamedTuple

from maestro_es.audit.times import When, show_time
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.errors import RequestRefused
from maestro_es.store.study_log import StudyLog


class Past(NamedTuple):
    """The graph as it was after event `seq`; durations count to the time `at`."""

    graph: MemoryGraph
    seq: int
    at: Micros


def recall(log: StudyLog, when: When, now: Micros) -> Past:
    """Return a study as it was. RequestRefused if it had not begun, or if the moment is still to come."""
    seq, at = locate(log, when, now)
    return Past(log.replay(upto=seq), seq, at)


def locate(log: StudyLog, when: When, now: Micros) -> tuple[int, Micros]:
    """Return the last event at a moment, and the moment's time: of an event it is when that was recorded."""
    first, last = (_recorded_at(log, seq) for seq in (1, log.head.seq))
    if when.seq is not None:
        if not 1 <= when.seq <= log.head.seq:
            raise RequestRefused(
                f"there is no event {when.seq}: the log has 1 to {log.head.seq}; a date is written 2026-01-31"
            )
        return when.seq, _recorded_at(log, when.seq)
    if when.at < first:
        raise RequestRefused(f"the study had not begun at {show_time(when.at)}: it did at {show_time(first)}")
    if when.at > max(now, last):
        raise RequestRefused(f"{show_time(when.at)} is still to come: it is {show_time(now)}")
    return log.seq_at(when.at), when.at


def _recorded_at(log: StudyLog, seq: int) -> Micros:
    return next((recorded.recorded_at for recorded in log.events(seq - 1, seq)), 0)
