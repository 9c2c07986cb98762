"""Requests the notification that is due after a tick, if any, and starts a process that sends it.

A tick does not wait for this process. `maestro_es.core.notifications` decides what is due, and the command ``notify``
sends it (`maestro_es.cli.notify`).
"""

from __future__ import annotations

import contextlib
import itertools
import time

from maestro_es.adapters.command import run
from maestro_es.core import events as e
from maestro_es.core.events import Event, NewEvent, Recorded
from maestro_es.core.graph import Graph
from maestro_es.core.model import StudyStatus
from maestro_es.core.notifications import NotificationLog, about, due, is_open
from maestro_es.import_path import own_command
from maestro_es.study.invocation import Driver
from maestro_es.study.session import Session

#: How many events of one type are read. A study has few notifications.
_MOST = 100

#: Starts a command that outlives this process and the shell itself.
_DETACH = '"$@" </dev/null >/dev/null 2>&1 &'

#: How long the shell may take to start it, in seconds.
_PATIENCE = 20.0

#: How long to wait for the process itself, in seconds. Its command may take a minute.
_LONGEST = 90.0

#: The interval for asking whether a notification was sent, in seconds.
_POLL = 0.2

#: Drivers that tick again and again. A driver in a job waits for notifications only before it may end.
_LASTING = (Driver.WAIT, Driver.INSIDE, Driver.DRIVE)

#: Whether a step has moved since an event. The types that are left out arrive late, and change no state.
_MOVED = """
    SELECT EXISTS (SELECT 1 FROM event WHERE seq > ? AND step IS NOT NULL
                   AND type NOT IN ('UsageReported', 'OutputDoubted', 'ReportIgnored'))
"""


def notify(study: Session) -> None:
    """Request a notification if one is due, and start the process that sends it."""
    requested: list[e.NotificationRequested] = []

    def decide(graph: Graph) -> list[NewEvent]:
        event = due(graph, _past(study), study.runtime.now())
        requested[:] = [event] if event else []
        return [(None, event)] if event else []

    study.request(decide)
    if requested:
        request = next(study.log.study_events(e.NotificationRequested))
        command = [*own_command(), "notify", "--send", str(request.seq), str(study.dir.root)]
        continues = study.runtime.driver in _LASTING and requested[0].about is e.Notice.FAILURE
        must_wait = study.runtime.brief or (study.runtime.host.job and not continues)
        argv, patience = (command, _LONGEST) if must_wait else (["/bin/sh", "-c", _DETACH, "sh", *command], _PATIENCE)
        with contextlib.suppress(TimeoutError):  # a later tick sends it again
            run(argv, timeout=patience)
        if must_wait:
            _wait_for_others(study, request.seq)


def _wait_for_others(study: Session, own: int) -> None:
    """Wait for earlier notifications that are being sent. The job around this tick ends soon, with all processes."""
    since = study.runtime.now() - int(_LONGEST * 1_000_000)
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end and any(one.seq < own and one.recorded_at > since for one in _past(study).open):
        time.sleep(_POLL)


def must_look(study: Session) -> bool:
    """Return whether a study that has ended needs a tick, because a notification is missing or has no outcome."""
    if not study.graph.study.settings.notify:
        return False
    past = _past(study)
    return is_open(past) or due(study.graph, past, study.runtime.now()) is not None


def _past(study: Session) -> NotificationLog:
    record = study.graph.study
    failed = [
        one.recorded_at
        for one in (_events(study, e.PollFailed) if record.unreachable else ())
        if isinstance(one.event, e.PollFailed) and record.unreachable.get(one.event.adapter) == one.event.message
    ]
    completed = _events(study, e.StudyCompleted) if record.status is not StudyStatus.RUNNING else []
    reopened = _events(study, e.StudyReopened) if record.status is StudyStatus.RUNNING else []
    requests = _events(study, e.NotificationRequested)
    stalls = [one.seq for one in requests if about(one) is e.Notice.STALL]
    return NotificationLog(
        requests=requests,
        outcomes=_events(study, e.NotificationEnded),
        completed_at=completed[0].recorded_at if completed else 0,
        reopened_at=reopened[0].recorded_at if reopened else 0,
        silent_since=max(failed, default=0),
        has_moved=bool(stalls) and study.log.query(_MOVED, (max(stalls),)) == [(1,)],
    )


def _events(study: Session, kind: type[Event]) -> list[Recorded]:
    return list(itertools.islice(study.log.study_events(kind), _MOST))
