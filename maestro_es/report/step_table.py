"""A table of steps with the columns that a user chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from maestro_es.audit.status import reason
from maestro_es.audit.times import clock, show_time
from maestro_es.audit.usage import cpu_text, ran, size_text
from maestro_es.core.model import Micros, Param, State, StepRecord
from maestro_es.core.usage import node_hours
from maestro_es.errors import RequestRefused
from maestro_es.report.fitted import fitted
from maestro_es.spool import Spool

#: The columns that are printed if a user chooses none.
DEFAULT = ("step", "state", "job", "run", "why")

#: The columns with numbers or durations.
_NUMBERS = ("job", "run", "wait", "attempt", "restarts", "exit", "cpu", "memory", "nodes", "node-hours")

#: The value of a column: a text to print, and a value to sort by.
_Cell = tuple[str, object]


def _run(step: StepRecord, now: Micros) -> _Cell:
    end = step.ended_at or (now if step.state is State.RUNNING else None)
    return _span(step.started_at, end)


def _wait(step: StepRecord, now: Micros) -> _Cell:
    return _span(step.submitted_at, step.started_at or step.ended_at or now)


def _span(start: Micros | None, end: Micros | None) -> _Cell:
    if start is None or end is None:
        return "", -1
    seconds = max(end - start, 0) // 1_000_000
    return clock(seconds), seconds


def _time(at: Micros | None) -> _Cell:
    return (show_time(at), at) if at else ("", -1)


def _count(number: int | None) -> _Cell:
    return ("" if number is None else str(number)), -1 if number is None else number


def _used(step: StepRecord, what: str) -> _Cell:
    amount = getattr(step.usage, what, None)
    if amount is None:
        return "", -1
    texts = {"cpu": cpu_text(amount), "memory": size_text(amount)}
    return texts.get(what, str(amount)), amount


def _node_hours(step: StepRecord) -> _Cell:
    hours = node_hours(step.usage, ran(step.started_at, step.ended_at))
    return ("", -1) if hours is None else (f"{hours:.3f}", hours)


def _text(text: str) -> _Cell:
    return text, text


#: The columns, and how each is computed from a step and the present time. Any other column is the name of a parameter.
COLUMNS: dict[str, Callable[[StepRecord, Micros], _Cell]] = {
    "step": lambda step, _: _text(step.name),
    "template": lambda step, _: _text(step.template),
    "state": lambda step, _: _text(step.state.name),
    "job": lambda step, _: _text(step.job_id),
    "run": _run,
    "wait": _wait,
    "attempt": lambda step, _: _count(step.attempt or None),
    "restarts": lambda step, _: _count(step.restarts or None),
    "exit": lambda step, _: _count(step.exit_code),
    "cpu": lambda step, _: _used(step, "cpu"),
    "memory": lambda step, _: _used(step, "memory"),
    "host": lambda step, _: _text(step.job_host),
    "nodes": lambda step, _: _used(step, "nodes"),
    "node-hours": lambda step, _: _node_hours(step),
    "submitted": lambda step, _: _time(step.submitted_at),
    "started": lambda step, _: _time(step.started_at),
    "ended": lambda step, _: _time(step.ended_at),
    "workspace": lambda step, _: _text(step.workspace),
    "why": lambda step, _: _text(reason(step)),
}


def check_columns(columns: Iterable[str], steps: Iterable[StepRecord]) -> None:
    """Refuse names that are neither columns nor parameters of a step."""
    unknown = {*columns} - {*COLUMNS}
    parameters: dict[str, None] = {}
    for step in steps if unknown else ():
        parameters.update(dict.fromkeys(param.key for param in step.params))
        if unknown <= parameters.keys():
            return
    for name in sorted(unknown - parameters.keys()):
        raise RequestRefused(f"{name!r} is not a column; columns are {', '.join([*COLUMNS, *parameters])}")


def cell(step: StepRecord, column: str, now: Micros) -> _Cell:
    """Return the value of a column for a step."""
    if column in COLUMNS:
        return COLUMNS[column](step, now)
    return next((_parameter(param) for param in step.params if param.key == column), ("", ""))


def _parameter(param: Param) -> _Cell:
    text = str(param.value)
    try:
        return text, (0, float(text), "")
    except ValueError:
        return text, (1, 0.0, text)


def sorted_steps(steps: Spool[StepRecord], column: str, now: Micros) -> Iterator[StepRecord]:
    """Yield steps in the order of a column; with a minus before its name, in the reverse order.

    Steps for which the column is empty come last.
    """
    name, reverse = column.removeprefix("-"), column.startswith("-")

    def key(step: StepRecord) -> tuple[object, ...]:
        text, value = cell(step, name, now)
        return (reverse, value) if text else (not reverse,)  # all values of a column have one type

    return steps.in_order(key, reverse=reverse)


def _title(column: str) -> str:
    return "CPU" if column == "cpu" else column.capitalize()


def step_lines(steps: Iterable[StepRecord], columns: Sequence[str], now: Micros, page: int | None) -> Iterator[str]:
    """Yield the lines of a table of steps that fits a page (None: any width)."""
    rows = ([cell(step, column, now)[0] for column in columns] for step in steps)
    numbers = [index for index, column in enumerate(columns) if column in _NUMBERS]
    yield from fitted([_title(column) if column in COLUMNS else column for column in columns], rows, page, numbers)
