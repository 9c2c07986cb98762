"""``maestro-es history``: what happened, event by event."""

from __future__ import annotations

import time

import click
import msgspec

from maestro_es.audit.history import Entry, Query, entry_data, history
from maestro_es.audit.times import iso, parse_time, show_time
from maestro_es.cli.common import example, split_arguments
from maestro_es.cli.output import json_option, write_csv, write_json, write_lines
from maestro_es.core.model import Micros
from maestro_es.poller.open_study import OpenStudy
from maestro_es.report.plain import columns

_HEADER = ("Seq", "Time", "Step", "Event", "By", "What")
_CSV_HEADER = ("seq", "time", "step", "type", "actor", "what", "data")


class Moment(click.ParamType[Micros]):
    """A time: so long ago, or a date or time in the host's zone."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Return it in microseconds UTC."""
        try:
            return parse_time(value, time.time_ns() // 1000)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@example("maestro-es history ./pi --since 2h --type 'Step*'")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [STEP]...")
@click.option("--step", "steps", multiple=True, metavar="PATTERN", help="Only these steps: a name, or a glob of one.")
@click.option("--type", "types", multiple=True, metavar="PATTERN", help="Only events of this type, or a glob of one.")
@click.option("--since", type=Moment(), help="Not before: 30m, 2h, 3d ago, or 2026-01-31 or '2026-01-31 14:30'.")
@click.option("--until", type=Moment(), help="Not after.")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Only the last N events.")
@click.option("--utc", is_flag=True, help="Times in UTC, not in this host's zone.")
@click.option("--csv", "as_csv", is_flag=True, help="A table for programs; times are UTC.")
@json_option
def command(  # noqa: PLR0913 - one for each option
    arguments: tuple[str, ...],
    steps: tuple[str, ...],
    types: tuple[str, ...],
    since: Micros | None,
    until: Micros | None,
    limit: int | None,
    *,
    utc: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what happened in STUDY, newest last; with STEP patterns only what happened to these steps."""
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1:
        raise click.UsageError("Name one study.")
    with OpenStudy(roots[0]) as study:
        entries = history(study.log, Query((*patterns, *steps), types, since, until, limit))
    if as_json:
        write_json(map(entry_data, entries))
    elif as_csv:
        write_csv(_CSV_HEADER, map(_csv_row, entries))
    else:
        write_lines(columns(_HEADER, [_row(entry, utc=utc) for entry in entries]))


def _row(entry: Entry, *, utc: bool) -> list[str]:
    recorded = entry.recorded
    when = show_time(recorded.recorded_at, utc=utc)
    return [str(recorded.seq), when, entry.step, entry.type, entry.actor, entry.sentence]


def _csv_row(entry: Entry) -> list[object]:
    recorded = entry.recorded
    data = msgspec.json.encode(recorded.event).decode()
    return [recorded.seq, iso(recorded.recorded_at), entry.step, entry.type, entry.actor, entry.sentence, data]
