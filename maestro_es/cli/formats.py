"""The formats in which commands print rows, and the options that choose one. All commands use the same names."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from maestro_es.cli.output import json_line, write_csv, write_data, write_lines


class Format(enum.Enum):
    """A format of rows."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"  # one array
    NL = "nl"  # one object per line

    @property
    def is_json(self) -> bool:
        """Whether this is one of the two JSON formats."""
        return self in {Format.JSON, Format.NL}


def format_options(csv_help: str, json_help: str, nl_help: str, *, json: Format) -> Callable[[Any], Any]:
    """Add ``--csv``, ``--json`` and ``--nl``, which set the argument `form`. `json` is the format for ``--json``."""
    options = (
        click.option("--csv", "form", flag_value=Format.CSV.value, help=csv_help),
        click.option("--json", "form", flag_value=json.value, help=json_help),
        click.option("--nl", "form", flag_value=Format.NL.value, help=nl_help),
    )

    def add(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
        @functools.wraps(command)
        def call(*arguments: Any, form: str | None, **others: Any) -> Any:  # noqa: ANN401 - the arguments of the command
            return command(*arguments, form=Format(form or Format.TABLE), **others)

        wrapped = call
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return add


#: The options of commands whose ``--json`` prints one object per line, as most commands do.
line_format_options = format_options(
    "Print CSV for programs, with times in UTC.",
    "Print one JSON object per line, with times in UTC.",
    "The same as --json, for consistency with 'query'.",
    json=Format.NL,
)


def write_rows(form: Format, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows for programs, in any format except a table."""
    if form is Format.CSV:
        write_csv(header, ([_cell(value) for value in row] for row in rows))
        return
    lines = (json_line(dict(zip(header, row, strict=True))) for row in rows)
    write_lines(lines if form is Format.NL else _array(lines), write_data)


def _cell(value: object) -> object:
    """Return a value for CSV. Lists and mappings become JSON."""
    return json_line(value) if isinstance(value, (dict, list)) else value


def _array(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines of one JSON array, with one object per line."""
    before = ""
    for line in lines:
        if before:
            yield f"{before},"
        before = f"{' ' if before else '['}{line}"
    yield f"{before or '['}]"
