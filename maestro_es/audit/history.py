"""Finds the events of a study that match a query, each with its step, its sentence and its actor.

`maestro_es.store.event_query` translates filters to SQL. `maestro_es.cli.event_output` prints the events.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from maestro_es.audit.sentences import NAMED, describe
from maestro_es.audit.times import iso
from maestro_es.core.events import EVENT_TYPES, VERSIONS, InvocationStarted, Recorded, StepAdded
from maestro_es.core.model import Cause, Micros
from maestro_es.core.reducer import uncollected
from maestro_es.core.requests import match_numbers
from maestro_es.errors import LogUnavailable, RequestRefused
from maestro_es.store.event_query import CAUSED, FIELDS, PARAM, Selection, Span, count, job_spans, select
from maestro_es.store.projection import ProjectedGraph
from maestro_es.store.study_log import StudyLog
from maestro_es.study.invocation import Driver


class Query(NamedTuple):
    """A query for events. An event matches if it passes every filter. None and empty filters let every event through.

    If `steps` are given, one of them must match. The same holds for `types`, `causes` and `actors`. All `params` must
    match. Only events after the seq `after` match. `limit` keeps only the last events.
    """

    steps: Sequence[str] = ()
    params: Sequence[tuple[str, str]] = ()
    types: Sequence[str] = ()
    causes: Sequence[str] = ()
    actors: Sequence[str] = ()
    job: str | None = None
    attempt: int | None = None
    invocation: int | None = None
    since: Micros | None = None
    until: Micros | None = None
    after: int = 0
    limit: int | None = None


#: The drivers that are not shown: an unknown driver, and the user.
_ONESELF = ("", Driver.PERSON.value)


class Entry(NamedTuple):
    """One event with the texts that are shown. `step` is a name, empty for an event about the study."""

    recorded: Recorded
    step: str
    actor: str
    sentence: str
    driver: str = ""

    @property
    def by(self) -> str:
        """The user of the process that wrote the event, and its driver unless the user started it."""
        return self.actor if self.driver in _ONESELF else f"{self.actor} ({self.driver})"

    @property
    def type(self) -> str:
        """The name of the event's type."""
        return type(self.recorded.event).__name__


#: How many events are described at a time.
_AT_ONCE = 1000

_NAMES = "SELECT number, name FROM step WHERE number IN (SELECT value FROM json_each(?))"


def history(log: StudyLog, query: Query) -> Iterator[Entry]:
    """Yield the events that match a query, oldest first.

    RequestRefused if it names a step, parameter, event type, cause, job or invocation that does not exist.
    """
    return _entries(log, select(log, _selection(log, query)))


def entries(log: StudyLog, events: Iterable[Recorded]) -> list[Entry]:
    """Return events with the texts that are shown."""
    return list(_entries(log, events))


def _entries(log: StudyLog, events: Iterable[Recorded]) -> Iterator[Entry]:
    names = _Names(log)
    rest = iter(events)
    while block := _described(names, itertools.islice(rest, _AT_ONCE)):
        yield from block


@uncollected()
def _described(names: _Names, events: Iterable[Recorded]) -> list[Entry]:
    described, some = [], list(events)
    names.look_up(some)
    for recorded in some:
        step = names.step(recorded.step) if recorded.step else ""
        actor, driver = names.writer(recorded.invocation)
        described.append(Entry(recorded, step, actor, describe(recorded.event, names.step), driver))
    return described


def count_by(log: StudyLog, query: Query, fields: Sequence[str], *, utc: bool = False) -> Counter[tuple[object, ...]]:
    """Count the events that match a query, by the combinations of the fields' values.

    An event without such a field has the value None. RequestRefused as for `history`, and for an unknown field.
    """
    for field in fields:
        if field.startswith(PARAM):
            check_param(log.graph, field.removeprefix(PARAM))
        elif field not in FIELDS:
            raise RequestRefused(
                f"events can't be counted by {field!r}; possible fields are {', '.join(FIELDS)}, {PARAM}NAME"
            )
    rows = count(log, _selection(log, query), fields, utc=utc)
    return Counter({tuple(values): int(str(number)) for *values, number in rows})


#: After this number of failed readings in a row, `follow` raises an error.
_FAILURES = 60


def follow(log: StudyLog, query: Query, pause: Callable[[], None]) -> Iterator[Entry | None]:
    """Yield the events that match a query, and then new ones as they come. Yield None if there are no new events yet.

    The iterator never ends. It calls `pause` after each None, and holds no lock meanwhile. If the log is busy, it
    tries again later. LogUnavailable if many tries in a row have failed.
    """
    seen, failures = -1, 0
    while True:
        try:
            log.refresh()
            head = log.head.seq
            for entry in history(log, query) if head != seen else ():
                yield entry
                query = query._replace(after=entry.recorded.seq)
            query = query._replace(after=head, limit=None)
            seen, failures = head, 0
        except LogUnavailable:
            failures += 1
            if failures > _FAILURES:
                raise
        yield None
        pause()


def entry_data(entry: Entry) -> dict[str, Any]:
    """Return an entry for JSON. Its `data` is the payload in the log. Fields with default values are missing there."""
    return {
        "seq": entry.recorded.seq,
        "time": iso(entry.recorded.recorded_at),
        "step": entry.step or None,
        "type": entry.type,
        "what": entry.sentence,
        "actor": entry.actor,
        "driver": entry.driver or None,
        "invocation": entry.recorded.invocation,
        "version": VERSIONS[entry.type],
        "data": msgspec.to_builtins(entry.recorded.event),
    }


# -- the names in a query --------------------------------------------------------------------------------------------


def _selection(log: StudyLog, query: Query) -> Selection:
    """Look up the names in a query."""
    after = log.seq_at(query.since - 1) if query.since is not None else 0
    return Selection(
        after=max(after, query.after),
        upto=log.seq_at(query.until) if query.until is not None else log.head.seq,
        steps=_steps(log, query),
        types=_types(query.types),
        causes=_causes(query.causes),
        actors=query.actors or None,
        attempt=query.attempt,
        invocation=_invocation(log, query.invocation),
        spans=_spans(log, query.job),
        limit=query.limit,
    )


def _steps(log: StudyLog, query: Query) -> list[int] | None:
    """Return the numbers of the steps that match the names and the parameters."""
    matches = set(match_numbers(log.graph, query.steps)) if query.steps else None
    for name, pattern in query.params:
        numbers = _with_param(log, name, pattern)
        matches = numbers if matches is None else matches & numbers
    return None if matches is None else sorted(matches)


def _with_param(log: StudyLog, name: str, pattern: str) -> set[int]:
    """Return the steps with a parameter of this name whose value or label matches the pattern."""
    check_param(log.graph, name)
    matches = {
        number
        for number, params in log.graph.params()
        for param in params
        if param.key == name and any(map(_Glob(pattern).matches, (param.value, param.label)))
    }
    if not matches:
        raise RequestRefused(
            f"no step has {name}={pattern}; 'maestro-es history --count-by {PARAM}{name}' lists values"
        )
    return matches


def check_param(graph: ProjectedGraph, name: str) -> None:
    """Refuse the name of a parameter that no step has."""
    known: dict[str, None] = {}
    for _, params in graph.params():
        known.update(dict.fromkeys(param.key for param in params))
        if name in known:
            return
    has = f"the parameters are {', '.join(known)}" if known else "the study has none"
    raise RequestRefused(f"no step has a parameter {name!r}; {has}")


class _Glob:
    """A pattern. A text matches if it is equal to the pattern, or matches it as a glob."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def matches(self, text: str) -> bool:
        return text == self._pattern or fnmatch.fnmatchcase(text, self._pattern)


def _types(patterns: Sequence[str]) -> list[str] | None:
    """Return the event types that match the patterns."""
    types: set[str] = set()
    for pattern in patterns:
        named = {name for name in EVENT_TYPES if fnmatch.fnmatchcase(name.lower(), pattern.lower())}
        if not named:
            raise RequestRefused(f"no event type is called {pattern}; the types are {', '.join(sorted(EVENT_TYPES))}")
        types |= named
    return sorted(types) if patterns else None


def _causes(patterns: Sequence[str]) -> Sequence[str] | None:
    """Refuse a word that is not a cause. A glob is accepted, because it can also match a message."""
    known = dict.fromkeys([*(cause.value for cause in Cause), *filter(None, CAUSED.values())])
    for pattern in patterns:
        if pattern.lower() not in known and not set(pattern) & set("*?["):
            raise RequestRefused(
                f"there is no cause {pattern!r}; the causes are {', '.join(known)}; to match a message, use a glob"
            )
    return patterns or None


def _invocation(log: StudyLog, seq: int | None) -> int | None:
    """Refuse a number that is not the seq of an InvocationStarted."""
    if seq is None:
        return None
    invocations = [recorded.invocation for recorded in log.events(seq - 1, seq)]
    if invocations == [seq]:
        return seq
    hint = f"it was written by invocation {invocations[0]}" if invocations else f"the last one is event {log.head.seq}"
    raise RequestRefused(f"event {seq} does not begin an invocation; {hint}")


def _spans(log: StudyLog, job: str | None) -> list[Span] | None:
    if job is None:
        return None
    spans = job_spans(log, job)
    if not spans:
        raise RequestRefused(f"the log contains no job {job!r}; 'maestro-es history --type JobSubmitted' lists them")
    return spans


def started_by(log: StudyLog, invocation: int) -> InvocationStarted | None:
    """Return the InvocationStarted with this seq (None: a damaged log lacks it)."""
    for recorded in log.events(invocation - 1, invocation):
        if isinstance(recorded.event, InvocationStarted):
            return recorded.event
    return None


class _Names:
    """The names of steps, and of the processes that wrote events."""

    def __init__(self, log: StudyLog) -> None:
        self._log = log
        self._steps: dict[int, str] = {}
        self._writers: dict[int, tuple[str, str]] = {}

    def look_up(self, events: Sequence[Recorded]) -> None:
        """Look up the names of the steps that these events mention, and forget all others."""
        numbers = {recorded.step for recorded in events if recorded.step}
        for recorded in events:
            if isinstance(recorded.event, StepAdded):
                numbers.update(recorded.event.parents[:NAMED])
        rows = self._log.query(_NAMES, (json.dumps(sorted(numbers)),))
        self._steps = {int(str(number)): str(name) for number, name in rows}

    def step(self, number: int) -> str:
        """Return the name of a step."""
        return self._steps.get(number) or self._log.graph.step(number).name

    def writer(self, invocation: int) -> tuple[str, str]:
        """Return the user who started the process whose first event has this seq, and its driver."""
        if invocation not in self._writers:
            started = started_by(self._log, invocation)
            self._writers[invocation] = (started.actor, started.driver) if started else ("", "")
        return self._writers[invocation]
