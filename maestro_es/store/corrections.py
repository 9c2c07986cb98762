"""Corrects undecodable events in a log of an early version, and keeps all other events.

Early versions recorded the arguments of programs (``hold(reason=None)``) without checking that they can be decoded
later. The digests of such a log are right, but a payload does not match its type. In one transaction, `correct`
replaces such a payload with the one that the present version would have written, and recomputes all later digests.
`EventsCorrected` keeps the old payloads and the old digest of the last event. From these, `find_before` computes the
old digests again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from maestro_es.core.events import EVENT_TYPES, Correction, EventsCorrected
from maestro_es.errors import DamagedLog, InvalidTransition
from maestro_es.store import event_log
from maestro_es.store.log_reader import LogReader
from maestro_es.store.study_log import StudyLog


def correct(log: StudyLog, reason: str) -> EventsCorrected | None:
    """Correct the undecodable events. Return None if there are none.

    DamagedLog if a digest is wrong, because another program has changed the log, or if an event can't be corrected.
    """
    rows = list(log.sealed_rows())
    corrected = {row[0]: corrected_payload(row) for row in rows if _is_unreadable(row)}
    if not corrected:
        return None
    corrections = tuple(Correction(seq=seq, data=rows[seq - 1][6]) for seq in sorted(corrected))
    event = EventsCorrected(head=log.head.digest.hex(), corrections=corrections, reason=reason)
    first = min(corrected)
    before = rows[first - 2][7] if first > 1 else event_log.GENESIS
    try:
        log.rewrite(list(_sealed_again(rows[first - 1 :], corrected, before)), [(None, event)])
    except InvalidTransition as error:
        raise DamagedLog(f"{log.path}: the corrected log can't be replayed: {error}; nothing was changed") from error
    return event


def find_before(log: LogReader, head: str) -> tuple[event_log.Row, str] | None:
    """Return the row whose old digest begins with `head`, and this digest (None: there is no such row)."""
    were: dict[int, str] = {}
    for recorded in log.study_events(EventsCorrected):  # newest first
        if isinstance(recorded.event, EventsCorrected):
            were.update((item.seq, item.data) for item in recorded.event.corrections)
            known = _digests(log.rows(upto=recorded.seq - 1), were)
            matches = [(row, digest) for row, digest in known if digest.startswith(head.lower())]
            if len(matches) == 1:
                return matches[0]
    return None


def _digests(rows: Iterator[event_log.Row], were: dict[int, str]) -> Iterator[tuple[event_log.Row, str]]:
    """Yield rows, each with its old digest in hex. `were` holds the old payloads."""
    digest = event_log.GENESIS
    for row in rows:
        digest = event_log.row_digest(digest, (*row[:6], were.get(row[0], row[6])))
        yield row, digest.hex()


def _sealed_again(rows: list[event_log.Row], corrected: dict[int, str], digest: bytes) -> Iterator[event_log.Row]:
    for row in rows:
        columns = (*row[:6], corrected.get(row[0], row[6]))
        digest = event_log.row_digest(digest, columns)
        yield (*columns, digest)


def _is_unreadable(row: event_log.Row) -> bool:
    try:
        event_log.decode(row)
    except DamagedLog:
        return True
    return False


def corrected_payload(row: event_log.Row) -> str:
    """Return a payload as the present version would have written it. DamagedLog if this is not possible."""
    seq, name, data = row[0], row[4], row[6]
    try:
        value = _as(inspect.type_info(EVENT_TYPES[name]), msgspec.json.decode(data))
        return msgspec.json.encode(msgspec.convert(value, EVENT_TYPES[name])).decode()
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise DamagedLog(
            f"event {seq}: its payload is not a valid {name} and can't be corrected: {error}", seq=seq
        ) from None


# -- converting a value to a type ------------------------------------------------------------------------------------

_PLAIN = (inspect.StrType, inspect.BoolType, inspect.IntType)


def _as(kind: inspect.Type, value: Any) -> Any:  # noqa: ANN401, C901 - JSON, and one case for each type
    """Convert a value to its type. ValueError or TypeError if that fails."""
    match kind:
        case inspect.StructType():
            return _as_struct(kind, value)
        case inspect.UnionType():
            return _as_any_of(kind.types, value)
        case inspect.DictType():
            return {str(key): _as(kind.value_type, item) for key, item in (value or {}).items()}
        case inspect.VarTupleType() | inspect.ListType():
            items = value if isinstance(value, list) else [] if value is None else [value]
            return [_as(kind.item_type, item) for item in items]
        case inspect.StrType():
            return _as_text(value)
        case inspect.BoolType():
            return _as_flag(value)
        case inspect.IntType():
            return _as_number(value)
        case inspect.NoneType() if value is not None:
            raise ValueError(f"{value!r} is not None")
        case _:
            return value


def _as_struct(kind: inspect.StructType, value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the corrected fields of a struct.

    A number, flag or text that can't be corrected gets its default, if any.
    """
    if value is None:
        value = {}
    by_field = (
        value if isinstance(value, dict) else dict(zip([f.encode_name for f in kind.fields], value, strict=False))
    )
    corrected: dict[str, Any] = {}
    for field in kind.fields:
        if field.encode_name not in by_field:
            continue
        try:
            corrected[field.encode_name] = _as(field.type, by_field[field.encode_name])
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            if field.required or not isinstance(field.type, _PLAIN):
                raise
    return list(corrected.values()) if kind.array_like else corrected


def _as_any_of(kinds: tuple[inspect.Type, ...], value: Any) -> Any:  # noqa: ANN401 - JSON
    if value is None and any(isinstance(kind, inspect.NoneType) for kind in kinds):
        return None
    for kind in kinds:
        if not isinstance(kind, inspect.NoneType):
            with contextlib.suppress(ValueError, TypeError, ArithmeticError):
                return _as(kind, value)
    raise ValueError(f"{value!r} is of none of its types")


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')


def _as_flag(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in {"", "0", "false", "no", "off", "none"}
    return bool(value)


def _as_number(value: object) -> int:
    if not isinstance(value, (int, float, str)) or (isinstance(value, float) and not math.isfinite(value)):
        raise TypeError(f"{value!r} is not a number")
    return int(value)
