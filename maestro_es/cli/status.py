"""``maestro-es status``: prints the status of studies and their steps. `maestro_es.audit.status` computes it."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from maestro_es.audit.status import Summary, counts, reason, step_data, summary_data
from maestro_es.audit.times import When, show_ago, show_time
from maestro_es.cli.common import POSITIVE, Assignment, Fields, at_option, each, example, open_graph, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import (
    json_option,
    json_parts,
    on_terminal,
    page_width,
    separated,
    write_data,
    write_drawn,
    write_lines,
    write_pages,
    write_parts,
)
from maestro_es.core.model import NO_SCHEDULER, Micros, State, StepRecord, StudyStatus
from maestro_es.errors import EXIT_OK
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.step_table import COLUMNS, DEFAULT, check_columns, sorted_steps, step_lines
from maestro_es.report.table import clean, counted, labelled, visible, wrap
from maestro_es.spool import Spool
from maestro_es.study.status_csv import status_lines

if TYPE_CHECKING:
    from maestro_es.audit.overview import Overview
    from maestro_es.audit.why.failures import FailureGroup
    from maestro_es.store.status_rows import StatusRow

#: The width of a study at a glance if there is no terminal.
_PAGE = 80

#: The exit code of --json if ticks are overdue. A monitoring system calls it critical.
_OVERDUE = 2

_NO_STEPS = Spool[StepRecord]((), StepRecord)

_STATES = click.Choice([state.name for state in State], case_sensitive=False)


class StepChoice(NamedTuple):
    """Which steps a user wants to see, in which order, with which columns.

    The default is all steps, in Maestro's order.
    """

    patterns: Sequence[str] = []
    states: Sequence[State] = []
    params: Sequence[tuple[str, str]] = ()
    sort: str | None = None
    limit: int | None = None
    columns: Sequence[str] = ()


class Shown(Enum):
    """What is shown: a summary of a study, the study at a glance, the rows of Maestro's table, or chosen steps.

    DATA is for programs: chosen steps, and the failures of the study.
    """

    SUMMARY = "summary"
    GLANCE = "glance"
    ROWS = "rows"
    STEPS = "steps"
    DATA = "data"


class Form(NamedTuple):
    """How a study is printed: at a glance, in one of Maestro's layouts, or as a list with these columns."""

    layout: str | None
    columns: Sequence[str]
    colour: bool


class Standing(NamedTuple):
    """The status of one study: its summary, the selected steps, and how many more there are.

    `rows` are all steps for Maestro's layouts. `seen` and `failures` describe the whole study.
    """

    summary: Summary
    past: bool
    steps: Spool[StepRecord] = _NO_STEPS
    more: int = 0
    rows: Spool[StatusRow] | None = None
    seen: Overview | None = None
    failures: Sequence[FailureGroup] = ()


@example("maestro-es status ./pi", "maestro-es status ./pi --state failed --sort=-run --columns step,SEED,why")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY]... [STEP]...")
@click.option("--summary", "only_summary", is_flag=True, help="Show only the study as a whole, not its steps.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=_STATES,
    metavar="STATE",
    help="List steps in this state; may be repeated.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    type=Assignment(),
    metavar="NAME=VALUE",
    help="List steps with this parameter value or label; VALUE may be a glob.",
)
@click.option(
    "--columns",
    type=Fields(),
    metavar="COLUMN[,COLUMN]...",
    help=f"List steps with these columns: {', '.join(COLUMNS)}, or the name of a parameter."
    f"  [default: {','.join(DEFAULT)}]",
)
@click.option("--sort", metavar="COLUMN", help="List steps in the order of a column. --sort=-COLUMN: reverse order.")
@click.option("--limit", type=POSITIVE, metavar="N", help="List at most N steps.")
@click.option(
    "--layout", type=click.Choice(["flat", "narrow", "legacy"]), help="List steps in one of Maestro's layouts."
)
@click.option("--disable-pager", is_flag=True, help="Don't use a pager.")
@click.option("--disable-theme", is_flag=True, help="Don't use colours.")
@click.option("--csv", "as_csv", is_flag=True, help="Print what status.csv would contain now, for one study.")
@at_option
@json_option
def command(  # noqa: PLR0913, PLR0917 - Maestro's flags
    arguments: tuple[str, ...],
    layout: str | None,
    states: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    columns: list[str] | None,
    sort: str | None,
    limit: int | None,
    when: When | None,
    *,
    only_summary: bool,
    disable_pager: bool,
    disable_theme: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show each STUDY at a glance: how far along it is, the steps of each template by state, and what needs attention.

    The bar shows finished (#), failed (X), cancelled (c), running (R) and queued (q) steps, and those not submitted
    yet (.). The time left is estimated from the run times so far. With STEP patterns, or with an option that selects
    or sorts steps, the steps are listed instead.

    With --json, there is one object per study, with the keys "study", "steps" and "failures" (the failed steps of the
    study in groups, as in 'maestro-es why --json'). Durations are in seconds. The key "why" of a step says why it did
    not succeed or was not submitted yet. With --at, the output has neither failures nor information about ticks,
    because the log does not contain them. If ticks are overdue, the exit code is 2, as for a monitoring plugin.
    """
    roots, patterns = split_arguments(arguments)
    if as_csv and len(roots) > 1:
        raise click.UsageError("--csv takes only one STUDY.")
    selection = StepChoice(patterns, [State[name] for name in states], params, sort, limit, columns or ())
    shown = _what_is_shown(as_json=as_json, selects=selection != StepChoice(), rows=as_csv or bool(layout))
    shown = Shown.SUMMARY if only_summary else shown
    studies: list[Standing] = []
    failed = each(roots, lambda _, root: studies.append(_read(root, selection, when, shown)))
    if as_json:
        write_parts((part for standing in studies for part in _as_json(standing)), write_data)
    elif as_csv:
        for standing in studies:
            lines = status_lines(standing.rows or standing.steps, standing.summary.at)
            write_parts(separated(lines, "\n"), write_data)
    elif only_summary:
        write_lines(line for standing in studies for line in _summary_lines(standing))
    else:
        colour = on_terminal() and not disable_theme and "NO_COLOR" not in os.environ
        form = Form(layout, columns or DEFAULT, colour)
        pages = (itertools.chain([""] * bool(index), _drawn(one, form)) for index, one in enumerate(studies))
        lines = itertools.chain.from_iterable(pages)
        write_lines(lines, write_drawn) if disable_pager else write_pages(lines)
    sys.exit(failed or (as_json and any(standing.summary.overdue for standing in studies) and _OVERDUE) or EXIT_OK)


def _what_is_shown(*, as_json: bool, selects: bool, rows: bool) -> Shown:
    if as_json:
        return Shown.DATA
    return Shown.STEPS if selects else Shown.ROWS if rows else Shown.GLANCE


def _read(root: Path, choice: StepChoice, when: When | None, shown: Shown) -> Standing:
    """Return the status of a study. The study is closed again."""
    with open_graph(AuditableGraph, root) as graph:
        past = graph.as_of(when) if when else None
        summary, state = graph.summary(past), past.graph if past else graph.state
        match shown:
            case Shown.SUMMARY:
                return Standing(summary, past is not None)
            case Shown.GLANCE:
                failures = () if past else graph.failures()
                return Standing(summary, past is not None, seen=graph.overview(past), failures=failures)
            case Shown.ROWS if not past:
                return Standing(summary, past=False, rows=graph.status_table())
        check_columns(filter(None, (*choice.columns, (choice.sort or "").removeprefix("-"))), state.steps())
        steps = graph.select(choice.patterns, choice.states, choice.params, past)
        ordered = sorted_steps(steps, choice.sort, summary.at) if choice.sort else steps
        chosen = steps.like(itertools.islice(ordered, choice.limit)) if choice.sort or choice.limit else steps
        failures = graph.failures() if shown is Shown.DATA and not past else ()
        return Standing(summary, past is not None, chosen, len(steps) - len(chosen), failures=failures)


def _as_json(standing: Standing) -> Iterator[str]:
    failures = None if standing.past else [msgspec.to_builtins(group) for group in standing.failures]
    study = {"study": summary_data(standing.summary), "failures": failures}
    return json_parts(study, "steps", (step_data(step, standing.summary.at) for step in standing.steps))


def _drawn(standing: Standing, form: Form) -> Iterator[str]:
    """Yield the lines of a study for users."""
    page = page_width() or shutil.get_terminal_size((0, 0)).columns or None
    if form.layout:
        yield from _in_layout_of_maestro(standing, form.layout, form)
    elif standing.seen is not None:
        yield from _at_a_glance(standing, standing.seen, page or _PAGE, colour=form.colour)
    elif standing.steps:
        yield from step_lines(standing.steps, form.columns, standing.summary.at, page)
        if standing.more:
            yield f"and {counted(standing.more, 'more step')}"
    else:
        yield "No steps match."


def _at_a_glance(standing: Standing, seen: Overview, page: int, *, colour: bool) -> Iterator[str]:
    from maestro_es.audit.sentences import listed  # noqa: PLC0415 - only needed here
    from maestro_es.cli.failures import failure_lines  # noqa: PLC0415 - likewise
    from maestro_es.report.glance import overview_lines  # noqa: PLC0415 - likewise

    summary = standing.summary
    notes = [word for word, true in (("paused", summary.paused), ("cancelling", summary.cancelling)) if true]
    if standing.past:
        notes.append(f"as of {show_time(summary.at)}")
    elif summary.status == StudyStatus.RUNNING.name:
        notes.append(f"last tick {_ago(summary.last_tick, summary.at)}" if summary.last_tick else "no tick yet")
    yield clean(f"{summary.name or Path(summary.path).name}: {', '.join([summary.status, *notes])}")
    yield clean(summary.path)
    yield from overview_lines(seen, page, colour=colour)
    for why, names in seen.attention.items():
        yield ""
        yield from wrap(clean(f"{counted(len(names), 'step')}: {why}"), page)
        yield from (f"  {line}" for line in wrap(clean(listed(names)), page - 2))
    if standing.failures:
        yield ""
        yield from failure_lines(standing.failures, Path(summary.path), page)
    warnings = [*_warnings(summary)]
    if warnings:
        yield ""
        yield from (part for line in warnings for part in wrap(visible(line), page))


def _in_layout_of_maestro(standing: Standing, layout: str, form: Form) -> Iterator[str]:
    """Yield the summary, and the steps in one of Maestro's layouts."""
    from maestro_es.report.layouts import LAYOUTS, UNLIMITED, Page, StatusView  # noqa: PLC0415 - seldom needed

    summary, why = standing.summary, reason if standing.rows is None else attrgetter("why")
    steps = standing.steps if standing.rows is None else standing.rows
    yield from map(visible, _summary_lines(standing))
    if not steps:
        yield from ["No steps match."] if summary.steps else []
        return
    yield ""
    page = Page(page_width() or UNLIMITED, form.colour, sys.stdout.encoding or "utf-8")
    yield from LAYOUTS[layout](StatusView(summary.path, steps, summary.at, why), page)


def _summary_lines(standing: Standing) -> Iterator[str]:
    summary = standing.summary
    throttle = f"at most {summary.throttle}" if summary.throttle else "no throttle"
    held = f"{summary.held} steps held" if summary.held else ""
    notes = [word for word, true in (("paused", summary.paused), ("cancelling", summary.cancelling)) if true]
    yield from labelled(
        (
            ("Study", summary.name or Path(summary.path).name),
            ("Path", summary.path),
            ("Id", summary.id),
            ("As of", f"{show_time(summary.at)}, event {summary.seq}" if standing.past else ""),
            ("Status", ", ".join(filter(None, [summary.status, *notes, held]))),
            ("Steps", f"{summary.steps}: {counts(summary.states)}" if summary.steps else "none"),
            ("In flight", f"{summary.in_flight} ({throttle})"),
            ("Last tick", "" if standing.past else _ago(summary.last_tick, summary.at)),
        ),
        page_width(),
    )
    yield from _warnings(summary)


def _ago(at: Micros | None, now: Micros) -> str:
    return "never" if at is None else f"{show_time(at)}, {show_ago(at, now)}"


def _warnings(summary: Summary) -> Iterator[str]:
    if summary.held_up:
        yield f"Nothing continues until held steps are released: 'maestro-es release {summary.path} STEP...'"
    if summary.doubted:
        yield (
            f"WARNING: the output of {summary.doubted} finished steps may be incomplete, because their host went down"
            f" just after they ended: 'maestro-es retry {summary.path} --doubted' reruns them and their dependents"
        )
    if summary.overdue:
        yield f"WARNING: no tick has run for this study lately: is cron set up? Try 'maestro-es tick {summary.path}'"
    if summary.full:
        yield f"The scheduler's queue is full, and ticks try again: {summary.full}"
    for name, message in summary.unreachable.items():
        answer = f"{name} does not answer, so the state of its jobs is unknown: {message}"
        yield f"WARNING: {message if name in NO_SCHEDULER else answer}"
