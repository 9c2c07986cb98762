"""``maestro-es studies``: lists the registered studies of a user."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from maestro_es.audit.status import Summary, counts
from maestro_es.audit.times import When, show_time
from maestro_es.cli.common import POSITIVE, at_option, example
from maestro_es.cli.formats import Format, line_format_options, write_rows
from maestro_es.cli.output import page_width, say, write_lines
from maestro_es.core.model import FAILED_STATES, StudyStatus
from maestro_es.errors import RequestRefused
from maestro_es.execution_graph.studies import FIELDS, Listed, find_registered, list_studies, listed_data
from maestro_es.report.fitted import hanging
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime

_HEADER = ("Id", "Name", "Status", "Steps", "Last tick", "Path")

#: The number of characters of an id that are shown, as in tokens.
_ID_DIGITS = 8

#: The state of a study that can't be read.
_PROBLEM = "PROBLEM"

#: What a study is sorted by. Studies that can't be read come last.
_ORDERS: dict[str, Callable[[Summary], str | int]] = {
    "name": lambda summary: summary.name,
    "state": lambda summary: summary.status,
    "steps": lambda summary: summary.steps,
    "failed": lambda summary: sum(summary.states.get(state.name, 0) for state in FAILED_STATES),
    "tick": lambda summary: summary.last_tick or 0,
    "path": lambda summary: summary.path,
}


@example("maestro-es studies --forget ./pi")
@click.command()
@click.option(
    "--forget",
    multiple=True,
    metavar="ID|PATH",
    help="Remove this study from the list, but keep its directory. Find its ID with --json.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*(status.name for status in StudyStatus), _PROBLEM], case_sensitive=False),
    metavar="STATE",
    help="List studies in this state: running, finished, failure, cancelled, problem (unreadable); may be repeated.",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="List studies with this name, which may be a glob."
)
@click.option(
    "--sort", metavar="COLUMN",
    help=f"List studies in the order of {', '.join(_ORDERS)}. --sort=-COLUMN: reverse order.  [default: oldest first]",
)  # fmt: skip
@click.option("--limit", type=POSITIVE, metavar="N", help="List at most N studies.")
@at_option
@line_format_options
def command(
    forget: Sequence[str],
    states: Sequence[str],
    names: Sequence[str],
    sort: str | None,
    limit: int | None,
    when: When | None,
    *,
    form: Format,
) -> None:
    """List the studies that 'maestro-es tick --all' advances.

    With --json, each object has the keys of the object "study" in 'maestro-es status --json'. One more key, "problem",
    says why a study can't be read.
    """
    for word in forget:
        for study_id in find_registered(word):
            registry.forget(study_id)
            say(f"Removed {study_id} from the list", err=True)
    if forget:
        return
    all_studies = list(list_studies(Runtime(), when))
    studies = _sorted([study for study in all_studies if _is_chosen(study, states, names)], sort)[:limit]
    if form is not Format.TABLE:
        write_rows(form, FIELDS, (list(listed_data(study).values()) for study in studies))
    elif studies:
        write_lines(hanging(_HEADER, list(map(_row, studies)), page_width()))
    elif all_studies:
        say("No studies match.", err=True)
    else:
        say("No studies; 'maestro-es run' creates one.", err=True)


def _is_chosen(listed: Listed, states: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a study is in one of the states and has one of the names.

    An empty filter lets all studies through.
    """
    summary = listed.summary
    state = summary.status if summary else _PROBLEM
    own = (summary.name if summary else "", Path(listed.path).name)
    return (not states or state in states) and (
        not names or any(fnmatch.fnmatchcase(name, pattern) for name in own for pattern in names)
    )


def _sorted(studies: Sequence[Listed], order: str | None) -> Sequence[Listed]:
    """Return studies in the order of a column; with a minus before its name, in the reverse order."""
    if order is None:
        return studies
    key = _ORDERS.get(order.removeprefix("-"))
    if key is None:
        raise RequestRefused(f"{order!r} is not a column; studies are sorted by {', '.join(_ORDERS)}")
    known = [(key(study.summary), study) for study in studies if study.summary]
    known.sort(key=lambda pair: pair[0], reverse=order.startswith("-"))
    return [*(study for _, study in known), *(study for study in studies if not study.summary)]


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
