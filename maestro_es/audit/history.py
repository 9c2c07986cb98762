"""What happened in a study: the events that a person asks for, each with its step, its sentence and its actor."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from maestro_es.audit.sentences import describe
from maestro_es.audit.times import iso
from maestro_es.core.events import EVENT_TYPES, VERSIONS, InvocationStarted, Recorded
from maestro_es.core.model import Micros
from maestro_es.core.requests import match_steps
from maestro_es.errors import RequestRefused
from maestro_es.store.study_log import StudyLog


class Query(NamedTuple):
    """Which events are wanted. Empty and None mean: all. `limit` keeps the last ones."""

    steps: Sequence[str] = ()
    types: Sequence[str] = ()
    since: Micros | None = None
    until: Micros | None = None
    limit: int | None = None


class Entry(NamedTuple):
    """One event as it is shown. `step` is a name, empty for an event about the study."""

    recorded: Recorded
    step: str
    actor: str
    sentence: str

    @property
    def type(self) -> str:
        """The name of the event's type."""
        return type(self.recorded.event).__name__


def history(log: StudyLog, query: Query) -> list[Entry]:
    """Return the events that a query wants, oldest first.

    RequestRefused if a pattern names no step, or no type of event.
    """
    return entries(log, deque(_wanted(log, query), maxlen=query.limit))


def entries(log: StudyLog, events: Iterable[Recorded]) -> list[Entry]:
    """Return events as they are shown."""
    names = _Names(log)
    return [
        Entry(
            recorded,
            names.step(recorded.step) if recorded.step else "",
            names.actor(recorded.invocation),
            describe(recorded.event, names.step),
        )
        for recorded in events
    ]


def entry_data(entry: Entry) -> dict[str, Any]:
    """Return an entry for JSON: `data` is the payload as the log has it, without fields that are at their default."""
    return {
        "seq": entry.recorded.seq,
        "time": iso(entry.recorded.recorded_at),
        "step": entry.step or None,
        "type": entry.type,
        "what": entry.sentence,
        "actor": entry.actor,
        "invocation": entry.recorded.invocation,
        "version": VERSIONS[entry.type],
        "data": msgspec.to_builtins(entry.recorded.event),
    }


def _wanted(log: StudyLog, query: Query) -> Iterator[Recorded]:
    """Yield the events that a query wants, without its limit."""
    types = _types(query.types)
    after = log.seq_at(query.since - 1) if query.since is not None else 0
    upto = log.seq_at(query.until) if query.until is not None else log.head.seq
    if query.steps:
        numbers = [record.number for record in match_steps(log.graph, query.steps)]
        events = _of_steps(log, numbers, after, upto)
    elif query.limit is not None and not query.types:
        events = log.events(max(after, upto - query.limit), upto)
    else:
        events = log.events(after, upto)
    return (recorded for recorded in events if type(recorded.event).__name__ in types)


def _of_steps(log: StudyLog, numbers: Sequence[int], after: int, upto: int) -> Iterator[Recorded]:
    """Yield the events about some steps, by the index if they are few."""
    few = 100
    if len(numbers) <= few:
        events = sorted((event for number in numbers for event in log.events_of(number)), key=lambda r: r.seq)
        return (recorded for recorded in events if after < recorded.seq <= upto)
    wanted = set(numbers)
    return (recorded for recorded in log.events(after, upto) if recorded.step in wanted)


def _types(patterns: Sequence[str]) -> set[str]:
    """Return the types of events that the patterns name."""
    found: set[str] = set() if patterns else set(EVENT_TYPES)
    for pattern in patterns:
        named = {name for name in EVENT_TYPES if fnmatch.fnmatchcase(name.lower(), pattern.lower())}
        if not named:
            raise RequestRefused(f"no type of event is called {pattern}; there are {', '.join(sorted(EVENT_TYPES))}")
        found |= named
    return found


def started_by(log: StudyLog, invocation: int) -> InvocationStarted | None:
    """Return the process whose first event has this seq; None if a damaged log does not say."""
    for recorded in log.events(invocation - 1, invocation):
        if isinstance(recorded.event, InvocationStarted):
            return recorded.event
    return None


class _Names:
    """The names of steps and of who wrote, each looked up once."""

    def __init__(self, log: StudyLog) -> None:
        self._log = log
        self._actors: dict[int, str] = {}

    def step(self, number: int) -> str:
        """Return the name of a step; the graph keeps what it has loaded."""
        return self._log.graph.step(number).name

    def actor(self, invocation: int) -> str:
        """Return who started the process whose first event has this seq."""
        if invocation not in self._actors:
            started = started_by(self._log, invocation)
            self._actors[invocation] = started.actor if started else ""
        return self._actors[invocation]
