"""``maestro-es history``: prints the events of a study. `maestro_es.audit.history` finds them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from maestro_es.audit.history import Entry, Query
from maestro_es.audit.times import parse_time
from maestro_es.cli.common import POSITIVE, Assignment, Fields, example, open_graph, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.event_output import EventOutput
from maestro_es.cli.formats import Format, line_format_options
from maestro_es.cli.output import say
from maestro_es.core.model import Micros
from maestro_es.errors import EXIT_ERROR, EXIT_OK
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.execution_graph.studies import ask_all
from maestro_es.study.invocation import Runtime

Found = TypeVar("Found")

#: The number of earlier events with which --follow begins.
_BEGIN = 10

#: An additional field by which the events of all studies can be counted.
STUDY = "study"


class Moment(click.ParamType[Micros]):
    """A time: a time ago, or a date or time in the host's time zone."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Return the time in microseconds since 1970 (UTC)."""
        try:
            return parse_time(value, time.time_ns() // 1000)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@example("maestro-es history ./pi --since 2h --type 'Step*'")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY] [STEP]...")
@click.option("--step", "steps", multiple=True, metavar="PATTERN", help="Only steps whose name matches this glob.")
@click.option(
    "--param", "params", multiple=True, type=Assignment(), metavar="NAME=VALUE",
    help="Only steps with this parameter value or label; VALUE may be a glob.",
)  # fmt: skip
@click.option("--type", "types", multiple=True, metavar="PATTERN", help="Only events whose type matches this glob.")
@click.option(
    "--cause", "causes", multiple=True, metavar="PATTERN",
    help="Only failures with this cause (upstream, 'exit code', timeout ...), or whose message matches this glob.",
)  # fmt: skip
@click.option(
    "--actor", "actors", multiple=True, metavar="PATTERN", help="Only events that this user's processes wrote."
)
@click.option("--job", metavar="ID", help="Only events of the attempt with this job id.")
@click.option("--attempt", type=POSITIVE, metavar="N", help="Only events of the N-th attempt of each step.")
@click.option(
    "--invocation",
    type=POSITIVE,
    metavar="SEQ",
    help="Only events of the command or tick whose first event is SEQ.",
)
@click.option(
    "--since",
    type=Moment(),
    help="Only events from this time on: 30m (ago), 2h, 3d, 2026-01-31, '2026-01-31 14:30', 2026-01-31T14:30+01:00.",
)
@click.option("--until", type=Moment(), help="Only events up to this time.")
@click.option("-n", "--limit", type=POSITIVE, metavar="N", help="Only the last N events.")
@click.option("-f", "--follow", "following", is_flag=True, help="Keep showing new events until you press Ctrl-C.")
@click.option("--all-studies", is_flag=True, help="Events of all studies that 'maestro-es studies' lists.")
@click.option(
    "--count-by", "fields", type=Fields(), metavar="FIELD[,FIELD]...",
    help="Count events by these fields. Fields of the step: step, template, param:NAME, attempt, node, study. Fields "
    "of the event: type, cause, day, hour. Fields of the process that wrote the event: actor, host, command, "
    "driver, invocation.",
)  # fmt: skip
@click.option("--utc", is_flag=True, help="Show times in UTC, not in the local time zone.")
@line_format_options
def command(
    arguments: tuple[str, ...],
    *,
    following: bool,
    all_studies: bool,
    fields: list[str] | None,
    utc: bool,
    form: Format,
    **filters: Any,  # noqa: ANN401 - the fields of a Query, by their names
) -> None:
    """Show the events of STUDY, newest last. With STEP patterns, show only the events of these steps.

    An event is shown if it matches every option that you give. If you repeat an option, one matching value is enough,
    but for --param all values must match.

    The time shown is the time at which the event was recorded. But if the step started or ended just before that, the
    time of the start or end itself is shown.
    """
    query = Query(**filters)
    output = EventOutput(form=form, utc=utc, with_study=all_studies)
    if following and (fields is not None or all_studies or query.until is not None):
        raise click.UsageError("--follow can't be combined with --count-by, --all-studies or --until.")
    if all_studies:
        _show_all(query._replace(steps=(*arguments, *query.steps)), fields, output)
        return
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1:
        raise click.UsageError("Give only one study.")
    query = query._replace(steps=(*patterns, *query.steps))
    if following:
        _follow(roots[0], query, output)
    else:
        _show_one(roots[0], query, fields, output)


def _show_one(root: Path, query: Query, fields: list[str] | None, output: EventOutput) -> None:
    with open_graph(AuditableGraph, root) as graph:
        if fields is not None:
            output.show_counts(fields, graph.count_by(query, fields, utc=output.utc))
        else:
            output.show(("", entry) for entry in graph.search(query))


def _show_all(query: Query, fields: list[str] | None, output: EventOutput) -> None:
    """Print the events of all studies by time. Exits with 1 if a study can't be read."""
    if fields is None:
        answers, failed = _ask_all(lambda graph: list(graph.search(query)))
        entries = [(path, entry) for path, matches in answers for entry in matches]
        entries.sort(key=lambda row: row[1].recorded.recorded_at)
        output.show(entries[-query.limit :] if query.limit else entries)
    else:
        own = [field for field in fields if field != STUDY]
        counted, failed = _ask_all(lambda graph: graph.count_by(query, own, utc=output.utc))
        counts: Counter[tuple[object, ...]] = Counter()
        for path, matches in counted:
            for values, number in matches.items():
                row = dict(zip(own, values, strict=True), **{STUDY: path})
                counts[tuple(row[field] for field in fields)] += number
        output.show_counts(fields, counts)
    sys.exit(EXIT_ERROR if failed else EXIT_OK)


def _ask_all(ask: Callable[[AuditableGraph], Found]) -> tuple[list[tuple[str, Found]], bool]:
    """Return the directory and the answer of each study, and whether one can't be read.

    Prints why it can't be read.
    """
    answers = list(ask_all(Runtime(), ask))
    for answer in answers:
        if answer.problem:
            say(f"maestro-es: {answer.problem}", err=True)
    results = [(answer.path, answer.result) for answer in answers if answer.result is not None]
    return results, len(results) < len(answers)


def _follow(root: Path, query: Query, output: EventOutput) -> None:
    """Print the last events and then new ones until interrupted, like `tail -f`, even after the end of the study."""
    if query.limit is None and query.since is None:
        query = query._replace(limit=_BEGIN)
    with contextlib.suppress(KeyboardInterrupt), open_graph(AuditableGraph, root) as graph:
        ready: list[tuple[str, Entry]] = []
        for entry in graph.follow(query):
            if entry is not None:
                ready.append(("", entry))
            elif ready or not output.begun:
                output.show(ready)
                ready = []
