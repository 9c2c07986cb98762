"""Events that ticks record about the study as a whole: about the host, schedulers, cascades and notifications.

`maestro_es.core.study_rules` decides how each event changes the state.
"""

from __future__ import annotations

import enum
from typing import Union

from maestro_es.core.events.base import Event
from maestro_es.core.model import Micros


class Notice(str, enum.Enum):
    """What a notification is about."""

    FAILURE = "failure"  # a step has failed, for the first time since the study began or was continued
    STALL = "stall"  # nothing can continue
    END = "end"  # the study has ended


class RebootDetected(Event, frozen=True):
    """The host has booted since the last event of the study. The boot id shows this; no clock is used.

    host: the name of the host
    before: its old boot id
    after: its new boot id

    Result: nothing
    """

    host: str
    before: str
    after: str


class TicksMissed(Event, frozen=True):
    """No tick ran for more than three periods. The gap lasted `seconds`, and began with the last tick at `since`.

    since: the time of the last tick, in microseconds UTC
    seconds: the length of the gap

    Result: nothing
    """

    since: Micros
    seconds: int


class PollFailed(Event, frozen=True):
    """A scheduler did not answer. Only the first tick without an answer records this. Ticks conclude nothing from it.

    adapter: the name of the scheduler
    message: the error message

    Result: nothing
    """

    adapter: str
    message: str


class PollRecovered(Event, frozen=True):
    """The scheduler answers again.

    adapter: the name of the scheduler

    Result: nothing
    """

    adapter: str


class CascadeStarted(Event, frozen=True):
    """Some steps will not run, and they are too many for one transaction. The next ticks end the others.

    Result: nothing
    """


class CascadeCompleted(Event, frozen=True):
    """All steps that will not run have ended.

    Result: nothing
    """


class NotificationRequested(Event, frozen=True):
    """A separate process will send a notification. If it records no outcome, a later tick requests another process.

    about: what the notification is about
    since: the notification covers the changes after the event with this number; 0 means all changes
    number: how many times the notification has been requested, this time included

    Result: nothing
    """

    about: Notice
    since: int = 0
    number: int = 1


class NotificationEnded(Event, frozen=True):
    """A notification was sent, or its command has failed.

    request: the number of the event that requested the notification
    problem: why it may not have arrived; empty if it was sent

    Result: nothing
    """

    request: int
    problem: str = ""


#: The events of this module.
TickEvent = Union[
    RebootDetected, TicksMissed, PollFailed, PollRecovered, CascadeStarted, CascadeCompleted, NotificationRequested,
    NotificationEnded,
]  # fmt: skip
