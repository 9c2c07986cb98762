"""The events: facts of one study, past tense, immutable, versioned.

One frozen type each, in `study`, `attempt` or `step`; its docstring is its manual entry. The name of the class is the
``type`` column of the log, `VERSIONS` says which version is written, and ``schema/events/<type>.v<N>.json`` freezes
the payload. A released payload never changes: a new need is a new version with an upcast.

What an event does to the state is not decided here, but in `maestro_es.core.study_rules` and
`maestro_es.core.step_rules`. How it is stored is decided in `maestro_es.store.event_log`.
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
from maestro_es.core.model import Micros

AnyEvent = Union[StudyEvent, StepEvent, AttemptEvent]

#: A new event, after the number of its step. None: the event is about the study.
NewEvent = tuple[int | None, AnyEvent]

#: Every event type by its name in the log.
EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(AnyEvent)}

#: The version of each payload that is written. Older ones stay readable through an upcast.
VERSIONS: dict[str, int] = dict.fromkeys(EVENT_TYPES, 1)

#: By type and version: what makes a payload of the next version from one of this.
UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


class Recorded(msgspec.Struct, frozen=True):
    """An event with its place in the log: `step` is the number of the step it is about, or None."""

    seq: int
    recorded_at: Micros
    invocation: int
    step: int | None
    event: AnyEvent


def upcast(name: str, version: int, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload of a version as the present one has it: lifted one version after the other as it is read.

    Old rows are never rewritten, so the logs of all releases stay readable.
    """
    for older in range(version, VERSIONS[name]):
        payload = UPCASTS[name, older](payload)
    return payload
