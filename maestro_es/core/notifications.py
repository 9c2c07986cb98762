"""Decides when a notification about a study is due, from its state and the notifications in its log.

A user is notified once when a step fails for the first time, once when nothing can continue, and once when the study
ends. If a study continues after it has ended, the user is notified again of its next failure and its next end.

A notification is requested before its process starts. If the process dies, a later tick requests the notification
again. After a crash at the worst moment, a user may therefore get a notification twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from maestro_es.core import events as e
from maestro_es.core.events import Notice, Recorded
from maestro_es.core.graph import Graph
from maestro_es.core.model import ENVIRONMENT, FAILED_STATES, Micros, State, StudyStatus

#: If a notification has no outcome after `_LOST` microseconds, it is requested again. It is requested at most `_TRIES`
#: times.
_LOST, _TRIES = 180 * 1_000_000, 3

#: If a scheduler has not answered for this time, in microseconds, the study counts as stalled.
_SILENCE = 3600 * 1_000_000


#: The states of steps that have failed and do not run again by themselves.
_FAILED = tuple(state for state in FAILED_STATES if state is not State.HWFAILURE)


class NotificationLog(msgspec.Struct, frozen=True):
    """What a log says about notifications: the requests and outcomes, newest first, and three timestamps (or 0).

    `completed_at` is when the study ended, and `reopened_at` is when it was continued after that. If a scheduler does
    not answer, `silent_since` is when the first query without an answer was recorded. `has_moved` says whether a step
    has moved since the last request about a stall.
    """

    requests: Sequence[Recorded] = ()
    outcomes: Sequence[Recorded] = ()
    completed_at: Micros = 0
    reopened_at: Micros = 0
    silent_since: Micros = 0
    has_moved: bool = False

    def told_at(self, *notices: Notice) -> Micros:
        """Return when a notification about one of these was last requested (0: never)."""
        return max((one.recorded_at for one in self.requests if about(one) in notices), default=0)

    @property
    def open(self) -> Sequence[Recorded]:
        """The requests without an outcome, newest first."""
        ended = {_outcome(one).request for one in self.outcomes}
        return [one for one in self.requests if one.seq not in ended]

    @property
    def last_sent(self) -> int:
        """The number of the last request whose notification was sent without a problem (0: none was)."""
        return max((_outcome(one).request for one in self.outcomes if not _outcome(one).problem), default=0)


def due(graph: Graph, past: NotificationLog, now: Micros) -> e.NotificationRequested | None:
    """Return the request for a notification that is due; None if no notification is due."""
    notice = _news(graph, past, now)
    if notice:
        return e.NotificationRequested(about=notice, since=past.last_sent)
    return _again(past, now)


def _news(graph: Graph, past: NotificationLog, now: Micros) -> Notice | None:
    record = graph.study
    if record.status is not StudyStatus.RUNNING:
        return Notice.END if past.told_at(Notice.END) < max(past.completed_at, 1) else None
    if past.told_at(Notice.FAILURE, Notice.END) <= past.reopened_at and _has_failed(graph, past.reopened_at):
        return Notice.FAILURE
    if past.silent_since and now - past.silent_since > _SILENCE and not record.paused:
        return Notice.STALL if past.told_at(Notice.STALL) < past.silent_since else None
    is_news = past.has_moved or past.told_at(Notice.STALL) <= past.silent_since
    return Notice.STALL if is_news and _is_stalled(graph) else None


def _has_failed(graph: Graph, since: Micros) -> bool:
    """Return whether a step has failed since the study was continued. A step with a hardware failure runs again."""
    if not any(graph.study.states.get(state.name) for state in _FAILED):
        return False
    return not since or any((step.ended_at or 0) > since for step in graph.steps() if step.state in _FAILED)


def _is_stalled(graph: Graph) -> bool:
    """Return whether only a user can make the study continue. False for a paused study: its user knows this."""
    record = graph.study
    if record.paused or record.cascading or any(True for _ in graph.in_flight()):
        return False
    if ENVIRONMENT in record.unreachable:
        return True
    return not any(True for kind in (False, True) for _ in graph.ready(scheduled=kind, limit=1))


def _again(past: NotificationLog, now: Micros) -> e.NotificationRequested | None:
    """Request the last notification again, if its process seems to have died."""
    if not is_open(past) or now - past.requests[0].recorded_at < _LOST:
        return None
    request = _request(past.requests[0])
    return msgspec.structs.replace(request, number=request.number + 1)


def is_open(past: NotificationLog) -> bool:
    """Return whether the last notification has no outcome yet, and will be requested again if it gets none."""
    last = next(iter(past.requests), None)
    return last is not None and last in past.open and _request(last).number < _TRIES


def about(request: Recorded) -> Notice:
    """Return what a request is about."""
    return _request(request).about


def _request(recorded: Recorded) -> e.NotificationRequested:
    event = recorded.event
    return event if isinstance(event, e.NotificationRequested) else e.NotificationRequested(about=Notice.END)


def _outcome(recorded: Recorded) -> e.NotificationEnded:
    event = recorded.event
    return event if isinstance(event, e.NotificationEnded) else e.NotificationEnded(request=0)
