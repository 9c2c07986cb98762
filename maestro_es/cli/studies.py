"""``maestro-es studies``: lists the registered studies of a user."""

from __future__ import annotations

from collections.abc import Sequence

import click

from maestro_es.audit.status import counts
from maestro_es.audit.times import When, show_time
from maestro_es.cli.common import at_option, example
from maestro_es.cli.formats import Format, line_format_options, write_rows
from maestro_es.cli.output import say, write_lines
from maestro_es.execution_graph.studies import FIELDS, Listed, find_registered, list_studies, listed_data
from maestro_es.report.table import columns
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime

_HEADER = ("Id", "Name", "Status", "Steps", "Last tick", "Path")

#: The number of characters of an id that are shown, as in tokens.
_ID_DIGITS = 8


@example("maestro-es studies --forget ./pi")
@click.command()
@click.option(
    "--forget",
    multiple=True,
    metavar="ID|PATH",
    help="Remove a study from the list, but keep its directory. --json shows its ID.",
)
@at_option
@line_format_options
def command(forget: Sequence[str], when: When | None, *, form: Format) -> None:
    """List the studies that 'maestro-es tick --all' advances, oldest first.

    With --json, each object has the keys of the object "study" in 'maestro-es status --json'. One more key, "problem",
    says why a study can't be read.
    """
    for word in forget:
        for study_id in find_registered(word):
            registry.forget(study_id)
            say(f"Removed {study_id} from the list", err=True)
    if forget:
        return
    studies = list(list_studies(Runtime(), when))
    if form is not Format.TABLE:
        write_rows(form, FIELDS, (list(listed_data(study).values()) for study in studies))
    elif studies:
        write_lines(columns(_HEADER, list(map(_row, studies))))
    else:
        say("No studies; 'maestro-es run' creates one.", err=True)


def _row(listed: Listed) -> list[str]:
    summary = listed.summary
    if summary is None:
        return [listed.id[:_ID_DIGITS], "--", "--", "--", "--", f"{listed.path} ({listed.problem})"]
    status = summary.status
    for word, true in (
        ("paused", summary.paused),
        ("cancelling", summary.cancelling),
        ("not ticked", summary.overdue),
    ):
        status += f", {word}" if true else ""
    when = show_time(summary.last_tick)
    return [listed.id[:_ID_DIGITS], summary.name or "--", status, counts(summary.states), when, listed.path]
