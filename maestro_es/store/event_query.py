"""Selects and counts the events of a log by filters, with SQL.

Events are read in blocks, and no lock is held between blocks, so a slow reader does not make writers wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

from maestro_es.core.events import Recorded
from maestro_es.store import event_log
from maestro_es.store.study_log import StudyLog

_BLOCK = 2_000
_ROW = "e.seq, e.recorded_at, e.invocation, e.step, e.type, e.version, e.data, e.digest"

#: Up to this many steps are looked up one by one, by an index. For more steps, the whole log is read.
_FEW = 100

_NEVER = 2**62


class Span(NamedTuple):
    """The events of one step with ``first <= seq <= last``."""

    step: int
    first: int
    last: int


class Selection(NamedTuple):
    """A selection: the events with ``after < seq <= upto`` that match all conditions. None sets no condition.

    One of the globs in `causes` must match, and one of the globs in `actors`. An event must be in one of the `spans`.
    """

    after: int
    upto: int
    steps: Sequence[int] | None = None
    types: Sequence[str] | None = None
    causes: Sequence[str] | None = None
    actors: Sequence[str] | None = None
    attempt: int | None = None
    invocation: int | None = None
    spans: Sequence[Span] | None = None
    limit: int | None = None


_REQUEST = "r.step = e.step AND r.seq <= e.seq AND r.type = 'SubmissionRequested' ORDER BY r.seq DESC LIMIT 1"
_ATTEMPT = f"(SELECT json_extract(r.data, '$.attempt') FROM event r WHERE {_REQUEST})"

#: The types of events that record a failure, each with the cause in one word. A StepFailed itself contains a `Cause`.
CAUSED = {
    "HardwareFailed": "hardware",
    "StepTimedOut": "timeout",
    "StepCancelled": "cancelled",
    "SubmissionRejected": "rejected",
    "AttemptAbandoned": "abandoned",
    "StepFailed": None,
}

_WORDS = " ".join(f"WHEN '{name}' THEN '{word}'" for name, word in CAUSED.items() if word)
_CAUSE = f"CASE e.type {_WORDS} WHEN 'StepFailed' THEN json_extract(e.data, '$.cause') END"
_MESSAGES = ", ".join(f"json_extract(e.data, '$.{name}')" for name in ("message", "reason", "final"))

#: The fields by which events can be counted. `node` is the host of the attempt, and `host` is the host of the process
#: that wrote the event.
FIELDS = {
    "step": "(SELECT name FROM step WHERE number = e.step)",
    "template": "(SELECT template FROM step WHERE number = e.step)",
    "type": "e.type",
    "cause": _CAUSE,
    "attempt": _ATTEMPT,
    "node": f"""(SELECT json_extract(x.data, '$.host') FROM event x
        WHERE x.step = e.step AND x.seq <= e.seq AND x.type IN ('JobSubmitted', 'JobStarted')
            AND x.seq > (SELECT r.seq FROM event r WHERE {_REQUEST}) AND json_extract(x.data, '$.host') IS NOT NULL
        ORDER BY x.seq DESC LIMIT 1)""",
    "actor": "(SELECT json_extract(i.data, '$.actor') FROM event i WHERE i.seq = e.invocation)",
    "host": "(SELECT json_extract(i.data, '$.host') FROM event i WHERE i.seq = e.invocation)",
    "command": "(SELECT json_extract(i.data, '$.command') FROM event i WHERE i.seq = e.invocation)",
    "driver": "(SELECT json_extract(i.data, '$.driver') FROM event i WHERE i.seq = e.invocation)",
    "invocation": "e.invocation",
    "day": "strftime('%Y-%m-%d', e.recorded_at / 1000000, 'unixepoch', ?)",
    "hour": "strftime('%H', e.recorded_at / 1000000, 'unixepoch', ?)",
}

#: A field for each parameter: ``param:SIZE``.
PARAM = "param:"

_PARAM = """(SELECT json_extract(p.value, '$[1]') FROM step s, json_each(s.params) p
    WHERE s.number = e.step AND json_extract(p.value, '$[0]') = ?)"""


def select(log: StudyLog, selection: Selection) -> Iterator[Recorded]:
    """Yield the selected events, oldest first. With a limit, yield only the last ones."""
    if selection.limit is not None:
        where, values = _where(selection)
        rows = log.query(f"SELECT {_ROW} FROM event e {where} ORDER BY e.seq DESC LIMIT ?", (*values, selection.limit))
        yield from map(_decode, reversed(rows))
        return
    block: list[tuple[object, ...]] = [()]
    while block:
        where, values = _where(selection)
        block = log.query(f"SELECT {_ROW} FROM event e {where} ORDER BY e.seq LIMIT {_BLOCK}", values)
        yield from map(_decode, block)
        if block:
            selection = selection._replace(after=int(str(block[-1][0])))


_decode = cast("Callable[[tuple[object, ...]], Recorded]", event_log.decode)


def count(
    log: StudyLog, selection: Selection, fields: Sequence[str], *, utc: bool = False
) -> list[tuple[object, ...]]:
    """Return a row for each combination of values of the fields: the values, then the number of events.

    Days and hours are in the host's time zone or in UTC.
    """
    expressions = [_field(field, "+0 days" if utc else "localtime") for field in fields]
    parameters = [value for _, value in expressions if value is not None]
    where, values = _where(selection)
    limit = "" if selection.limit is None else f"ORDER BY e.seq DESC LIMIT {selection.limit:d}"
    columns = "".join(f"{sql}, " for sql, _ in expressions)
    groups = ", ".join(["''", *map(str, range(1, len(fields) + 1))])
    events = f"SELECT e.* FROM event e {where} {limit}"
    return log.query(f"SELECT {columns}count(*) FROM ({events}) e GROUP BY {groups}", (*parameters, *values))


def _field(field: str, zone: str) -> tuple[str, str | None]:
    """Return the SQL expression for a field, and the value of the parameter in it (None: there is no parameter)."""
    if field.startswith(PARAM):
        return _PARAM, field.removeprefix(PARAM)
    sql = FIELDS[field]
    return sql, zone if "?" in sql else None


def _where(selection: Selection) -> tuple[str, list[object]]:
    """Return the SQL condition of a selection, and the values of the parameters in it."""
    terms: list[tuple[str, Sequence[object]]] = [("e.seq > ? AND e.seq <= ?", (selection.after, selection.upto))]
    if selection.steps is not None:
        terms.append(_one_of("e.step", selection.steps))
    if selection.spans is not None:
        spans = [value for span in selection.spans for value in span]
        terms.append((_any("e.step = ? AND e.seq BETWEEN ? AND ?", len(selection.spans)), spans))
    if selection.types is not None:
        terms.append(_one_of("e.type", selection.types))
    if selection.causes is not None:
        terms.append(_one_of("e.type", list(CAUSED)))
        globs = [glob for cause in selection.causes for glob in (_glob(cause.lower()),) * 2]
        terms.append(
            (_any(f"lower({_CAUSE}) GLOB ? OR lower(coalesce({_MESSAGES}, '')) GLOB ?", len(selection.causes)), globs)
        )
    if selection.actors is not None:
        actor = _any("json_extract(i.data, '$.actor') GLOB ?", len(selection.actors))
        sql = f"e.invocation IN (SELECT i.seq FROM event i WHERE i.type = 'InvocationStarted' AND {actor})"
        terms.append((sql, [*map(_glob, selection.actors)]))
    if selection.invocation is not None:
        terms.append(("e.invocation = ?", (selection.invocation,)))
    if selection.attempt is not None:
        terms.append((f"e.step IS NOT NULL AND {_ATTEMPT} = ?", (selection.attempt,)))
    return "WHERE " + " AND ".join(sql for sql, _ in terms), [value for _, values in terms for value in values]


def _one_of(column: str, values: Sequence[object]) -> tuple[str, Sequence[object]]:
    if len(values) <= _FEW:
        return f"{column} IN ({', '.join('?' * len(values))})", values
    return f"+{column} IN (SELECT value FROM json_each(?))", (json.dumps(values),)


def _any(term: str, times: int) -> str:
    return "(" + " OR ".join([f"({term})"] * times) + ")"


def _glob(pattern: str) -> str:
    """Return a glob in SQLite's syntax, in which ``[^`` means "none of"."""
    return pattern.replace("[!", "[^")


def job_spans(log: StudyLog, job_id: str) -> list[Span]:
    """Return the spans of the attempts with this job id. A span ends before the request of the next attempt."""
    request = "FROM event r WHERE r.step = j.step AND r.type = 'SubmissionRequested' AND r.seq"
    sql = (
        f"SELECT j.step, coalesce((SELECT max(r.seq) {request} < j.seq), j.seq),"
        f" coalesce((SELECT min(r.seq) - 1 {request} > j.seq), {_NEVER})"
        " FROM event j WHERE j.type IN ('JobSubmitted', 'StepImported') AND json_extract(j.data, '$.job_id') = ?"
    )
    return [Span(*map(int, map(str, row))) for row in log.query(sql, (job_id,))]


def writers(log: StudyLog, seqs: Sequence[int]) -> Iterator[str]:
    """For each event, yield the user whose process wrote the event (empty: unknown)."""
    sql = (
        "SELECT e.seq, coalesce(json_extract(i.data, '$.actor'), '') FROM event e"
        " LEFT JOIN event i ON i.seq = e.invocation WHERE e.seq IN (SELECT value FROM json_each(?))"
    )
    for start in range(0, len(seqs), _BLOCK):
        block = list(seqs[start : start + _BLOCK])
        actors = {seq: str(actor) for seq, actor in log.query(sql, (json.dumps(block),))}
        yield from (actors.get(seq, "") for seq in block)
