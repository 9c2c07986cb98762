"""The pages of ``watch`` as lines of text. `maestro_es.cli.watch` reads the keys and writes to the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from maestro_es.audit.overview import Overview
from maestro_es.report.glance import overview_lines, shortened
from maestro_es.report.table import clean, counted, width, wrap

#: The sections of the main page share its lines. A section with entries has at least this number of lines.
_LEAST = 2

#: A section keeps this fraction of the lines (one in `_SHARE`), even if the sections before it are long.
_SHARE = 6

_GAUGE = 12


class StepEntry(msgspec.Struct, frozen=True):
    """A step on the main page: `text` describes its state.

    `share` is the used part of its walltime; None if unknown.
    """

    step: str
    text: str
    share: float | None = None


class MainPage(msgspec.Struct, frozen=True):
    """The contents of the main page of a study.

    `chosen` is the index of the chosen entry: first running, then failed.
    """

    title: str
    overview: Overview
    running: Sequence[StepEntry]
    failed: Sequence[StepEntry]
    events: Sequence[str]
    chosen: int = 0


def main_lines(page: MainPage, columns: int, rows: int, keys: str, *, colour: bool) -> list[str]:
    """Return the lines of the main page: exactly `rows`, the last of which lists the keys."""
    head = [shortened(clean(page.title), columns), *overview_lines(page.overview, columns, colour=colour)]
    sections = [("Running", page.running), ("Failed", page.failed)]
    sizes = [len(entries) + 2 for _, entries in sections if entries]
    room = rows - 1 - sum(sizes) - min(len(page.events), _LEAST) - 2 * bool(page.events)
    body = _cut(head, max(room, rows // 2), len(page.overview.templates))
    left = rows - 1 - len(body)
    first = 0
    for index, (title, entries) in enumerate(sections):
        if entries:
            later = [min(len(more), max(rows // _SHARE, _LEAST)) for _, more in sections[index + 1 :]]
            kept = sum(size + 2 for size in (*later, min(len(page.events), _LEAST)) if size)
            size = max(min(len(entries), left - 2 - kept), 1)
            body += ["", f"{title} ({len(entries)})", *_entries(entries, page.chosen - first, size, columns)]
            left = rows - 1 - len(body)
        first += len(entries)
    if page.events and left > _LEAST:
        body += ["", "Events", *(shortened(clean(line), columns) for line in page.events[-(left - 2) :])]
    return _filled(body, rows, shortened(keys, columns))


def _cut(lines: Sequence[str], room: int, templates: int) -> list[str]:
    """Return lines that end with a table of templates. If they need more room, the last one says what is missing."""
    if len(lines) <= room:
        return list(lines)
    missing = min(len(lines) - room + 1, templates)
    return [*lines[: room - 1], f"and {counted(missing, 'more template')}"]


def _entries(entries: Sequence[StepEntry], chosen: int, size: int, columns: int) -> Iterator[str]:
    """Yield a line for each entry in a window of this size around the chosen one, which has a mark."""
    begin = min(max(chosen - size // 2, 0), max(len(entries) - size, 0))
    shown = entries[begin : begin + size]
    texts = [f"{_gauge(entry.share)}{clean(entry.text)}" for entry in shown]
    most = columns - 4 - min(max(map(width, texts), default=0), columns // 2)
    name = min(max((width(clean(entry.step)) for entry in shown), default=0), most)
    for index, (entry, text) in enumerate(zip(shown, texts, strict=True), begin):
        mark = "> " if index == chosen else "  "
        yield shortened(f"{mark}{shortened(clean(entry.step), name)}  {text}", columns).rstrip()


def _gauge(share: float | None) -> str:
    if share is None:
        return ""
    used = round(min(share, 1) * _GAUGE)
    return f"[{'=' * used}{' ' * (_GAUGE - used)}] "


def text_lines(title: str, text: Sequence[str], columns: int, rows: int, keys: str) -> list[str]:
    """Return the lines of a page with a long text: its end, if it does not fit."""
    lines = [part for line in text for part in wrap(clean(line), columns)]
    return _filled([shortened(clean(title), columns), "", *lines[-(rows - 3) :]], rows, shortened(keys, columns))


def _filled(body: Sequence[str], rows: int, last: str) -> list[str]:
    lines = [*body[: rows - 1]]
    return [*lines, *[""] * (rows - 1 - len(lines)), last]
