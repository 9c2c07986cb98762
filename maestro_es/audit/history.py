"""What happened in a study: the events that a person asks for, each with its step, its sentence and its actor.

How filters become SQL is decided in `maestro_es.store.event_query`; how the lines look, in
`maestro_es.cli.event_output`.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from maestro_es.audit.sentences import describe
from maestro_es.audit.times import iso
from maestro_es.core.events import EVENT_TYPES, VERSIONS, InvocationStarted, Recorded
from maestro_es.core.model import Cause, Driver, Micros
from maestro_es.core.requests import match_numbers
from maestro_es.errors import LogUnavailable, RequestRefused
from maestro_es.store.event_query import CAUSED, FIELDS, PARAM, Selection, Span, count, job_spans, select
from maestro_es.store.study_log import StudyLog


class Query(NamedTuple):
    """Which events are wanted: those that pass every filter; None and empty filters let all pass.

    Of several `steps`, `types`, `causes` or `actors` one must match, of `params` all. `after` is a seq. `limit` keeps
    the last ones.
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


class Entry(NamedTuple):
    """One event as it is shown. `step` is a name, empty for an event about the study."""

    recorded: Recorded
    step: str
    actor: str
    sentence: str
    driver: str = ""

    @property
    def by(self) -> str:
        """Who wrote it, and what has started the process, unless that was a person."""
        return self.actor if self.driver in {"", Driver.PERSON.value} else f"{self.actor} ({self.driver})"

    @property
    def type(self) -> str:
        """The name of the event's type."""
        return type(self.recorded.event).__name__


def history(log: StudyLog, query: Query) -> Iterator[Entry]:
    """Return the events that a query wants, oldest first.

    RequestRefused if it names what there is not: a step, a parameter, a type of event, a cause, a job, an invocation.
    """
    return _entries(log, select(log, _selection(log, query)))


def entries(log: StudyLog, events: Iterable[Recorded]) -> list[Entry]:
    """Return events as they are shown."""
    return list(_entries(log, events))


def _entries(log: StudyLog, events: Iterable[Recorded]) -> Iterator[Entry]:
    names = _Names(log)
    return (
        Entry(
            recorded,
            names.step(recorded.step) if recorded.step else "",
            names.actor(recorded.invocation),
            describe(recorded.event, names.step),
            names.driver(recorded.invocation),
        )
        for recorded in events
    )


def count_by(log: StudyLog, query: Query, fields: Sequence[str], *, utc: bool = False) -> Counter[tuple[object, ...]]:
    """Return how many of the events that a query wants there are of each combination of the fields' values.

    None is the value of an event that has no such thing. RequestRefused as for `history`, and for an unknown field.
    """
    for field in fields:
        if field.startswith(PARAM):
            _check_param(log, field.removeprefix(PARAM))
        elif field not in FIELDS:
            raise RequestRefused(
                f"events can't be counted by {field!r}; possible fields are {', '.join(FIELDS)}, {PARAM}NAME"
            )
    rows = count(log, _selection(log, query), fields, utc=utc)
    return Counter({tuple(values): int(str(number)) for *values, number in rows})


#: How often in a row a log may be busy, or not to be read, before those who follow it are told.
_FAILURES = 60


def follow(log: StudyLog, query: Query, pause: Callable[[], None]) -> Iterator[Entry | None]:
    """Yield the events that a query wants and then, for ever, new ones as they come; None when there are no more yet.

    A `pause` follows each None. Between two looks nothing is held, and a log that is busy is looked at later.
    LogUnavailable if it can't be read many times in a row.
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
    """Return an entry for JSON: `data` is the payload as the log has it, without fields that are at their default."""
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


# -- what the query names --------------------------------------------------------------------------------------------


def _selection(log: StudyLog, query: Query) -> Selection:
    """Look up what a query names."""
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
    """Return the numbers of the steps that are named and have the parameters."""
    matches = set(match_numbers(log.graph, query.steps)) if query.steps else None
    for name, pattern in query.params:
        numbers = _with_param(log, name, pattern)
        matches = numbers if matches is None else matches & numbers
    return None if matches is None else sorted(matches)


def _with_param(log: StudyLog, name: str, pattern: str) -> set[int]:
    """Return the steps one of whose parameters has this name, and a value or label that the pattern matches."""
    _check_param(log, name)
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


def _check_param(log: StudyLog, name: str) -> None:
    """Refuse the name of a parameter that no step has."""
    known: dict[str, None] = {}
    for _, params in log.graph.params():
        known.update(dict.fromkeys(param.key for param in params))
        if name in known:
            return
    has = f"the parameters are {', '.join(known)}" if known else "the study has none"
    raise RequestRefused(f"no step has a parameter {name!r}; {has}")


class _Glob:
    """A pattern that a text matches by being it, or as a glob."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def matches(self, text: str) -> bool:
        return text == self._pattern or fnmatch.fnmatchcase(text, self._pattern)


def _types(patterns: Sequence[str]) -> list[str] | None:
    """Return the types of events that the patterns name."""
    types: set[str] = set()
    for pattern in patterns:
        named = {name for name in EVENT_TYPES if fnmatch.fnmatchcase(name.lower(), pattern.lower())}
        if not named:
            raise RequestRefused(f"no event type is called {pattern}; the types are {', '.join(sorted(EVENT_TYPES))}")
        types |= named
    return sorted(types) if patterns else None


def _causes(patterns: Sequence[str]) -> Sequence[str] | None:
    """Refuse a word that is no cause; a glob may match a message as well."""
    known = dict.fromkeys([*(cause.value for cause in Cause), *filter(None, CAUSED.values())])
    for pattern in patterns:
        if pattern.lower() not in known and not set(pattern) & set("*?["):
            raise RequestRefused(
                f"there is no cause {pattern!r}; causes are {', '.join(known)}; a glob matches messages"
            )
    return patterns or None


def _invocation(log: StudyLog, seq: int | None) -> int | None:
    """Refuse a seq that is not that of an InvocationStarted."""
    if seq is None:
        return None
    invocations = [recorded.invocation for recorded in log.events(seq - 1, seq)]
    if invocations == [seq]:
        return seq
    hint = f"it was written by invocation {invocations[0]}" if invocations else f"the last one is event {log.head.seq}"
    raise RequestRefused(f"event {seq} begins no invocation; {hint}")


def _spans(log: StudyLog, job: str | None) -> list[Span] | None:
    if job is None:
        return None
    spans = job_spans(log, job)
    if not spans:
        raise RequestRefused(f"the log contains no job {job!r}; 'maestro-es history --type JobSubmitted' lists them")
    return spans


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
        self._started: dict[int, InvocationStarted | None] = {}

    def step(self, number: int) -> str:
        """Return the name of a step; the graph keeps what it has loaded."""
        return self._log.graph.step(number).name

    def actor(self, invocation: int) -> str:
        """Return who started the process whose first event has this seq."""
        started = self._by(invocation)
        return started.actor if started else ""

    def driver(self, invocation: int) -> str:
        """Return what started that process."""
        started = self._by(invocation)
        return started.driver if started else ""

    def _by(self, invocation: int) -> InvocationStarted | None:
        if invocation not in self._started:
            self._started[invocation] = started_by(self._log, invocation)
        return self._started[invocation]
