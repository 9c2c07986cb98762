"""Replays a study in memory, up to a past moment.

The result is the state that the log had at that moment. If the end of a step was recorded a minute late, the step is
still running during this minute.
"""

from __future__ import annotations

from typing import NamedTuple

from maestro_es.audit.times import When, show_time
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros
from maestro_es.errors import RequestRefused
from maestro_es.store.study_log import StudyLog


class Past(NamedTuple):
    """The graph after event `seq` (0: before the first event). Durations are computed up to the time `at`."""

    graph: Graph
    seq: int
    at: Micros


def as_of(log: StudyLog, when: When, now: Micros) -> Past:
    """Return a study at a past moment. RequestRefused if it did not exist yet, or if the moment is in the future."""
    seq, at = locate(log, when, now)
    if not seq:
        raise RequestRefused(f"the study did not exist yet: its first event is from {show_time(_recorded_at(log, 1))}")
    return Past(_replay(log, seq), seq, at)


def two_moments(
    log: StudyLog, first: When, last: When | None, now: Micros
) -> tuple[tuple[int, Micros], tuple[int, Micros]]:
    """Return the last event at two moments, and their times. If `last` is None, the second moment is now.

    `first` may be before the first event. RequestRefused if it is after `last`.
    """
    upto, until = locate(log, last, now) if last else (log.head.seq, now)
    after, since = locate(log, first, now)
    if (after, since) > (upto, until):
        raise RequestRefused(f"{show_time(since)}, event {after}, is later than {show_time(until)}, event {upto}")
    return (after, since), (upto, until)


def locate(log: StudyLog, when: When, now: Micros) -> tuple[int, Micros]:
    """Return the last event at a moment (0: none), and the time of the moment.

    The time of an event is the time at which it was recorded. RequestRefused if the moment is in the future.
    """
    head = log.head
    if when.seq is not None:
        if when.seq > head.seq:
            raise RequestRefused(
                f"there is no event {when.seq}: the last event is {head.seq} (digits alone are the number of an "
                "event; write a date as 2026-01-31)"
            )
        return when.seq, _recorded_at(log, max(when.seq, 1))
    if when.at > max(now, head.recorded_at):
        raise RequestRefused(f"{show_time(when.at)} is in the future: it is now {show_time(now)}")
    return log.seq_at(when.at), when.at


def _recorded_at(log: StudyLog, seq: int) -> Micros:
    return next((recorded.recorded_at for recorded in log.events(seq - 1, seq)), 0)


def _replay(log: StudyLog, seq: int) -> Graph:
    from maestro_es.store.past_graph import replay_past  # noqa: PLC0415 - most questions are about the present

    return replay_past(log, seq)
