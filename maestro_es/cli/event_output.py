"""Prints events and counts of events as a table, JSON or CSV, all at once or as they are recorded.

`maestro_es.audit.history` finds the events and their texts.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from maestro_es.audit.history import Entry, entry_data
from maestro_es.audit.times import iso, show_time, time_of
from maestro_es.cli.formats import Format, write_rows
from maestro_es.cli.output import page_width, write_csv, write_json, write_lines
from maestro_es.report.fitted import hanging
from maestro_es.report.table import columns

_HEADER = ("Seq", "Time", "Step", "Event", "By", "What")
_CSV_HEADER = ("seq", "time", "step", "type", "actor", "what", "data")

#: How many printed events determine the column widths for the next ones.
_RECENT = 100

#: How many events are printed at a time.
_PAGE = 1000

#: Fields whose values are sorted, instead of listed by frequency.
_ORDERED = {"day", "hour", "attempt", "invocation"}


@dataclass
class EventOutput:
    """Prints events, each with the directory of its study if `with_study`.

    Times in tables are local, or UTC if `utc`.
    """

    form: Format
    utc: bool
    with_study: bool
    _recent: deque[list[str]] = field(default_factory=lambda: deque(maxlen=_RECENT))
    begun: bool = False
    _second: int | None = None
    _time: str = ""

    def show(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Print events below those that were printed before."""
        if self.form.is_json:
            write_json({**self._named(study), **entry_data(entry)} for study, entry in entries)
        elif self.form is Format.CSV:
            header = (*self._named("study"), *_CSV_HEADER)
            write_csv(() if self.begun else header, ([*self._named(s).values(), *_csv_row(e)] for s, e in entries))
        else:
            rows = ([*self._named(s).values(), *self._row(e)] for s, e in entries)
            while (page := list(itertools.islice(rows, _PAGE))) or not self.begun:
                self._show_table(page)
                self.begun = True
        self.begun = True

    def _show_table(self, rows: list[list[str]]) -> None:
        header = (*(["Study"] if self.with_study else []), *_HEADER)
        lines = hanging(header, [*self._recent, *rows], page_width())
        write_lines(lines[1 + len(self._recent) :] if self.begun else lines)
        self._recent.extend(rows[-_RECENT:])

    def show_counts(self, fields: Sequence[str], counts: Counter[tuple[object, ...]]) -> None:
        """Print the number of events for each combination of values.

        The most frequent combination comes first. Days and similar values are sorted by value instead.
        """
        ordered = _ORDERED & set(fields)
        rows = sorted(counts.items(), key=lambda row: (not ordered and -row[1], [_order(value) for value in row[0]]))
        if self.form is not Format.TABLE:
            write_rows(self.form, [*fields, "count"], ([*values, number] for values, number in rows))
        else:
            cells = [["--" if v is None else str(v) for v in values] + [str(number)] for values, number in rows]
            header = [name if ":" in name else name.capitalize() for name in fields]
            write_lines(columns([*header, "Events"], cells))

    def _named(self, study: str) -> dict[str, str]:
        return {"study": study} if self.with_study else {}

    def _row(self, entry: Entry) -> list[str]:
        recorded = entry.recorded
        second = time_of(recorded) // 1_000_000
        if second != self._second:  # consecutive events often have the same second
            self._second, self._time = second, show_time(second * 1_000_000, utc=self.utc)
        return [str(recorded.seq), self._time, entry.step, entry.type, entry.by, entry.sentence]


def _order(value: object) -> tuple[bool, Any]:
    return (value is not None, value)


def _csv_row(entry: Entry) -> list[object]:
    recorded = entry.recorded
    data = msgspec.json.encode(recorded.event).decode()
    return [recorded.seq, iso(recorded.recorded_at), entry.step, entry.type, entry.actor, entry.sentence, data]
