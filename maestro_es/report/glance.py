"""Prints a study at a glance: a bar, the time left, and a line for each template. `audit.overview` has the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from maestro_es.audit.overview import GROUPS, Overview, TemplateCounts, TimeLeft
from maestro_es.audit.times import show_span
from maestro_es.report.palette import MARKS, TERMINAL_ORDER, painted
from maestro_es.report.table import clean, width, wrap

_BAR = 40
_NARROWEST_NAME = 12


def overview_lines(overview: Overview, page: int, *, colour: bool) -> Iterator[str]:
    """Yield the lines of an overview that fits a page of this width."""
    totals = {group: sum(one.counts[group] for one in overview.templates) for group in GROUPS}
    steps = sum(totals.values())
    if not steps:
        return
    numbers = ", ".join(f"{totals[group]} {group}" for group in TERMINAL_ORDER if totals[group])
    bar = f"[{_bar(totals, min(_BAR, page - 2), colour=colour)}]"
    yield from (f"{bar} {numbers}",) if _BAR + 3 + len(numbers) <= page else (bar, *wrap(numbers, page))
    pace = ", ".join(filter(None, (_left(overview.time_left), _rate(overview.rate))))
    if pace:
        yield f"{pace[0].upper()}{pace[1:]}"
    yield ""
    yield from _table(overview.templates, page)


def _bar(totals: Mapping[str, int], size: int, *, colour: bool) -> str:
    """Return a bar whose parts have the sizes of the groups. A group with steps has at least one character."""
    steps = sum(totals.values())
    groups = [group for group in TERMINAL_ORDER if totals[group]]
    sizes = {group: max(1, totals[group] * size // steps) for group in groups}
    while sum(sizes.values()) != size:
        step = 1 if sum(sizes.values()) < size else -1
        largest = max(groups, key=lambda group: totals[group] - step * sizes[group] * steps / size)
        sizes[largest] += step
    parts = []
    for group in groups:
        text = MARKS[group].letter * sizes[group]
        parts.append(painted(text, group) if colour else text)
    return "".join(parts)


def _left(left: TimeLeft | None) -> str:
    if left is None or (left.is_bound and left.least < 1):  # 'at least 0 s' says nothing
        return ""
    least, most = show_span(round(left.least)), show_span(round(left.most))
    if left.is_bound:
        return f"at least {least} left"
    if least == most:
        return f"about {most} left"
    number, unit = least.split(" ")
    return f"about {number if most.endswith(unit) else least} to {most} left"


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    number, unit = (rate / 60, "minute") if rate >= 60 else (rate, "hour")  # noqa: PLR2004 - minutes of an hour
    return f"{number:.0f} steps per {unit}"


def _table(templates: Sequence[TemplateCounts], page: int) -> Iterator[str]:
    """Yield a line for each template. Groups without steps have no column. A narrow page has fewer columns."""
    columns = {"Steps": [str(one.counts.total()) for one in templates]}
    columns |= {group.capitalize(): [str(one.counts[group] or "-") for one in templates] for group in GROUPS}
    columns["Run time"] = [_usual(one.run_times) for one in templates]
    columns = {title: cells for title, cells in columns.items() if {*cells} - {"-", ""}}
    names = ["Template", *(clean(one.name) for one in templates)]
    size = max(map(width, names))
    room = page - _total(columns)
    for title in ("Run time", "Steps"):
        if room < min(size, _NARROWEST_NAME):
            columns.pop(title, [])
            room = page - _total(columns)
    size = min(max(room, _NARROWEST_NAME), size)
    shown = ([shortened(name, size) for name in names], *map(_right, columns.items()))
    for line in zip(*shown, strict=True):
        yield "".join(line).rstrip()


def _right(column: tuple[str, Sequence[str]]) -> list[str]:
    """Return the cells of a column, aligned on the right behind a gap."""
    title, cells = column
    size = max(map(len, (title, *cells))) + 2
    return [cell.rjust(size) for cell in (title, *cells)]


def _total(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(len(_right(column)[0]) for column in columns.items())


def _usual(run_times: Sequence[float]) -> str:
    """Return the median of run times."""
    if not run_times:
        return ""
    return show_span(round(sorted(run_times)[len(run_times) // 2]))


def shortened(text: str, size: int) -> str:
    """Return a text of exactly this number of columns. The middle of a longer text becomes two dots."""
    if width(text) <= size:
        return text + " " * (size - width(text))
    head = text[: (size - 2) // 2]
    tail = text[-(size - 2 - len(head)) :]
    cut = f"{head}..{tail}"
    while width(cut) > size:
        tail = tail[1:]
        cut = f"{head}..{tail}"
    return cut + " " * (size - width(cut))
