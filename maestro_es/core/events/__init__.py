"""The types of events, their versions, and the conversion of old payloads.

Each type of event is an immutable class in `study`, `tick`, `attempt` or `step`. Its docstring is its manual entry.
The name of the class is the ``type`` column of the log, `VERSIONS` holds the version that is written, and
``schema/events/<type>.v<N>.json`` defines the payload. A released payload never changes. A change needs a new version
with an upcast.

`maestro_es.core.study_rules` and `maestro_es.core.step_rules` decide how an event changes the state.
`maestro_es.store.event_log` decides how an event is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union, get_args

import msgspec

from maestro_es.core.events.attempt import *  # noqa: F403 - users name each event as events.NAME
from maestro_es.core.events.attempt import AttemptEvent
from maestro_es.core.events.base import *  # noqa: F403 - likewise
from maestro_es.core.events.base import Event
from maestro_es.core.events.step import *  # noqa: F403 - likewise
from maestro_es.core.events.step import StepEvent
from maestro_es.core.events.study import *  # noqa: F403 - likewise
from maestro_es.core.events.study import StudyEvent
from maestro_es.core.events.tick import *  # noqa: F403 - likewise
from maestro_es.core.events.tick import TickEvent
from maestro_es.core.model import Micros

AnyEvent = Union[StudyEvent, TickEvent, StepEvent, AttemptEvent]

#: The number of a step, and a new event about it. With None, the event is about the study.
NewEvent = tuple[int | None, AnyEvent]

#: Every event type by its name in the log.
EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(AnyEvent)}

#: The version of the payload that is written, for each type of event. Older versions are read through an upcast.
VERSIONS: dict[str, int] = dict.fromkeys(EVENT_TYPES, 1)

#: The functions that convert a payload to the next version. The key is the type and the old version.
UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


class Recorded(msgspec.Struct, frozen=True):
    """An event with its place in the log: `step` is the number of the step it is about, or None."""

    seq: int
    recorded_at: Micros
    invocation: int
    step: int | None
    event: AnyEvent


def upcast(name: str, version: int, payload: dict[str, Any]) -> dict[str, Any]:
    """Convert a payload of an older version to the present version, one version after the other.

    Old rows are never rewritten, so the logs of all releases stay readable.
    """
    for older in range(version, VERSIONS[name]):
        payload = UPCASTS[name, older](payload)
    return payload
