"""``maestro-es query``: runs SQL of the user, or a saved query."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from maestro_es.audit.saved_queries import saved_queries, saved_query
from maestro_es.cli.common import example, located, open_graph, study_path
from maestro_es.cli.formats import Format, format_options, write_rows
from maestro_es.cli.output import page_width, write_lines
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.fitted import fitted
from maestro_es.report.table import transposed
from maestro_es.store.user_query import QueryResult
from maestro_es.study.layout import has_log

_EXAMPLES = (
    'maestro-es query ./pi "SELECT state, count(*) FROM v_step GROUP BY state"',
    "maestro-es query ./pi --saved attempts -p step sample_N.1000.SEED.1 --csv",
    "maestro-es query --list",
)


@example(*_EXAMPLES)
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [SQL]")
@click.option("--saved", metavar="NAME", help="Run this saved query instead of SQL.")
@click.option("--list", "listing", is_flag=True, help="List the saved queries; with --json or --csv, also their SQL.")
@click.option(
    "-p", "--param", "params", type=(str, str), multiple=True, metavar="NAME VALUE",
    help="The value of :NAME in the SQL, as text. For a number, write CAST(:NAME AS INTEGER) in the SQL.",
)  # fmt: skip
@format_options(
    "Print CSV with a header.", "Print one JSON array of objects.", "Print one JSON object per line.", json=Format.JSON
)
def command(
    arguments: tuple[str, ...],
    saved: str | None,
    params: tuple[tuple[str, str], ...],
    *,
    listing: bool,
    form: Format,
) -> None:
    """Run one SQL query on the log of STUDY, and print the result as a table.

    Query the views v_event, v_attempt, v_wait, v_step and v_invocation. Their times are in UTC. SQL that would write
    is refused. A query that runs for more than two minutes is stopped.

    Blobs are hexadecimal in CSV; in JSON they have the form that sqlite-utils reads. If two columns have the same
    name, JSON calls the second one NAME_2.
    """
    if listing:
        if arguments or saved or params:
            raise click.UsageError("--list takes no STUDY, SQL, --saved or -p.")
        _list(form)
        return
    root, sql = _study_and_sql(arguments, is_saved=saved is not None)
    values = dict(params)
    sql = saved_query(saved, list(values)).sql if saved is not None else sql
    with open_graph(AuditableGraph, root) as graph, _ended_at_last(graph.query_limit_s):
        answer = graph.query(sql, values)
    _show(answer, form)


def _study_and_sql(arguments: Sequence[str], *, is_saved: bool) -> tuple[Path, str]:
    """Return the study and the SQL, in either order. The default study contains the current directory."""
    studies = [argument for argument in arguments if _names_study(argument)]
    rest = [argument for argument in arguments if argument not in studies]
    if is_saved:
        if len(arguments) > 1:
            raise click.UsageError("With --saved, name only a study.")
        return study_path(Path(arguments[0]).expanduser() if arguments else None), ""
    if len(arguments) > 2 or len(studies) > 1:  # noqa: PLR2004 - a study and its SQL
        raise click.UsageError("Name one study, and put its SQL into quotes.")
    if not rest:
        raise click.UsageError("Give a query in SQL, or --saved NAME.")
    if len(rest) > 1:
        return located(Path(rest[0])), rest[1]  # if this is not a study, opening it raises an error
    return study_path(Path(studies[0]).expanduser() if studies else None), rest[0]


def _names_study(argument: str) -> bool:
    """Return whether an argument is a study and not SQL: it has a log, or is clearly a path and has no blanks."""
    is_path = argument.startswith((".", "/", "~")) or argument.endswith("/")
    return has_log(Path(argument)) or (is_path and not set(argument) & set(" \t\n"))


@contextlib.contextmanager
def _ended_at_last(seconds: float) -> Iterator[None]:
    """Let the system end this process if SQLite can't interrupt a statement, for example in one long function call."""
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    left = signal.alarm(math.ceil(seconds) + _GRACE)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.alarm(left)


#: The time from the limit of a query until the system ends the process, in seconds.
_GRACE = 10


def _list(form: Format) -> None:
    queries = saved_queries()
    if form is Format.TABLE:
        rows = [[each.name, ", ".join(each.parameters), each.question] for each in queries]
        write_lines(fitted(("Name", "Parameters", "Question"), rows, page_width()))
    else:
        header = ("name", "parameters", "question", "sql")
        write_rows(form, header, ([each.name, each.parameters, each.question, each.sql] for each in queries))


def _show(answer: QueryResult, form: Format) -> None:
    if form is Format.TABLE:
        cells = ([_cell(value) for value in row] for row in answer.rows)
        write_lines(fitted(answer.columns, cells, page_width(), _numbers(answer)))
    elif form is Format.CSV:
        write_rows(form, answer.columns, ([_plain(value) for value in row] for row in answer.rows))
    else:
        write_rows(form, answer.keys, ([_json(value) for value in row] for row in answer.rows))


def _numbers(answer: QueryResult) -> list[int]:
    """Return the indices of the columns that contain only numbers."""
    kinds: list[set[type]] = [set() for _ in answer.columns]
    for some in transposed(answer.rows):
        for kind, values in zip(kinds, some, strict=True):
            kind.update(map(type, values))
    return [index for index, kind in enumerate(kinds) if kind <= {int, float, type(None)}]


def _cell(value: object) -> str:
    return "--" if value is None else str(_plain(value))


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _json(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return a value for JSON, which has neither blobs nor infinity."""
    if isinstance(value, bytes):
        import base64  # noqa: PLC0415 - seldom needed

        return {"$base64": True, "encoded": base64.b64encode(value).decode()}
    return None if isinstance(value, float) and math.isinf(value) else value
