"""Parses and formats times and durations for users. All other code has microseconds since 1970 (UTC).

There are two notations of a duration: `clock` to the second, for columns that people compare, and `show_span` in one
unit, for sentences. A third one is Maestro's: `maestro_es.study.status_csv` writes it to ``status.csv``, and Maestro's
layouts show it.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from maestro_es.core.events import Recorded
from maestro_es.core.model import Micros

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d+)\s*([smhdw])")
_SEQ = re.compile(r"[0-9]{1,18}")
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
#: If an event was recorded at most this long after the fact, in microseconds, both count as the same moment. On a busy
#: host, the report of a runner and the next tick take seconds.
_JUST = 2_000_000
_MICROSECOND = timedelta(microseconds=1)


class When(NamedTuple):
    """A moment of a study: the event with the number `seq`, or the time `at` if `seq` is None."""

    at: Micros = 0
    seq: int | None = None


def parse_when(text: str, now: Micros) -> When:
    """Parse a moment. A string of digits is the number of an event. Any other string is a time."""
    return When(seq=int(text)) if _SEQ.fullmatch(text) else When(parse_time(text, now))


def parse_time(text: str, now: Micros) -> Micros:
    """Parse a time: a time ago (``30m``, ``2h``, ``3d``), or a date or time in ISO format.

    A time without an offset is in the host's time zone. ValueError, with the reason, if the text is not a time.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]] * 1_000_000
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time: write 30m, 2h, 3d, 2026-01-31 or '2026-01-31 14:30'") from None
    return (moment - _EPOCH) // _MICROSECOND


def time_of(recorded: Recorded) -> Micros:
    """Return the time of an event for tables that users read.

    This is the time at which the event was recorded. But if the fact itself happened just before, its time is used, so
    that all commands show the same second.
    """
    at = getattr(recorded.event, "at", None)
    return at if at is not None and 0 <= recorded.recorded_at - at < _JUST else recorded.recorded_at


def iso(at: Micros | None) -> str | None:
    """Return a time as ISO 8601 in UTC, for programs: ``2026-01-31T13:30:00.000000+00:00``."""
    return None if at is None else _moment(at).isoformat(timespec="microseconds")


def show_time(at: Micros | None, *, utc: bool = False) -> str:
    """Return a time as ``YYYY-MM-DD HH:MM:SS``, in the host's time zone or in UTC (None: ``--``)."""
    if at is None:
        return "--"
    moment, form = _moment(at), "%Y-%m-%d %H:%M:%S"
    return moment.strftime(form) if utc else time.strftime(form, time.localtime(at // 1_000_000))


def show_utc(at: Micros) -> str:
    """Return a time as ``2026-01-31 13:30:00 UTC``, for the sentences that programs get."""
    return f"{show_time(at, utc=True)} UTC"


def show_ago(at: Micros, now: Micros) -> str:
    """Return the time since a moment: ``5 s ago``, ``3 min ago``, ``2 days ago``."""
    return f"{show_span(max(now - at, 0) // 1_000_000)} ago"


def show_span(seconds: int) -> str:
    """Return a duration in its largest unit: ``5 s``, ``3 min``, ``2 days``."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock(seconds: int) -> str:
    """Return a duration to the second, for tables and live views: ``0:05``, ``1:02:03``."""
    minutes, rest = divmod(max(seconds, 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _moment(at: Micros) -> datetime:
    return _EPOCH + timedelta(microseconds=at)
