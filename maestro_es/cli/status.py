"""``maestro-es status``: prints the status of studies and their steps. `maestro_es.audit.status` computes it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from maestro_es.audit.status import (
    StatusTable,
    Summary,
    counts,
    reasons_of,
    select_steps,
    step_data,
    summary_data,
)
from maestro_es.audit.times import When, show_ago, show_time
from maestro_es.cli.common import at_option, each, example, open_graph, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import (
    json_option,
    on_terminal,
    page_width,
    write_data,
    write_drawn,
    write_json,
    write_lines,
    write_pages,
)
from maestro_es.core.model import NO_SCHEDULER, Micros, State
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.table import labelled, visible
from maestro_es.study.status_csv import ShownStep, status_text

_STATES = click.Choice([state.name for state in State], case_sensitive=False)


class Standing(NamedTuple):
    """The status of one study: its summary and the selected steps."""

    summary: Summary
    steps: Sequence[ShownStep]
    reasons: Mapping[int, str]
    past: bool


@example("maestro-es status ./pi --state failed --state timedout")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY]... [STEP]...")
@click.option(
    "--layout",
    type=click.Choice(["flat", "narrow", "legacy"]),
    help="One of Maestro's layouts.  [default: flat; narrow on a narrow terminal]",
)
@click.option("--summary", "only_summary", is_flag=True, help="Show only the study as a whole, not its steps.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=_STATES,
    metavar="STATE",
    help="Show only steps in this state; may be repeated.",
)
@click.option("--disable-pager", is_flag=True, help="Don't use a pager.")
@click.option("--disable-theme", is_flag=True, help="Don't use colours.")
@click.option("--csv", "as_csv", is_flag=True, help="The table of status.csv, as of now; for one study.")
@at_option
@json_option
def command(  # noqa: PLR0913 - Maestro's flags
    arguments: tuple[str, ...],
    layout: str | None,
    states: tuple[str, ...],
    when: When | None,
    *,
    only_summary: bool,
    disable_pager: bool,
    disable_theme: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show the state of each STUDY and its steps. With STEP patterns, show only the steps that match.

    With --json there is one object per study, with the keys "study" and "steps". Durations are in seconds. The key
    "why" of a step says why it did not end well. With --at the output has no information about ticks, because the log
    does not contain it.
    """
    roots, patterns = split_arguments(arguments)
    if as_csv and len(roots) > 1:
        raise click.UsageError("--csv takes only one STUDY.")
    selected = [] if only_summary else [State[name] for name in states] or list(State)
    studies: list[Standing] = []
    described: list[dict[str, object]] = []

    def read(_: int, root: Path) -> None:
        if as_json:
            described.append(_as_json(root, patterns, selected, when))
        else:
            studies.append(_read(root, patterns, selected, when))

    failed = each(roots, read)
    if as_json:
        write_json(described)
    elif as_csv:
        write_data("\n".join(status_text(standing.steps, standing.summary.at) for standing in studies))
    elif only_summary:
        write_lines(line for standing in studies for line in _summary_lines(standing))
    else:
        text = "\n".join(_drawn(standing, layout, colour=on_terminal() and not disable_theme) for standing in studies)
        (write_drawn if disable_pager else write_pages)(text)
    sys.exit(failed)


def _read(root: Path, patterns: Sequence[str], states: Collection[State], when: When | None) -> Standing:
    """Return the status of a study. The study is closed again."""
    with open_graph(AuditableGraph, root) as graph:
        if patterns or when:
            past = graph.as_of(when) if when else None
            steps = select_steps(past.graph if past else graph.state, patterns, states) if states else []
            return Standing(graph.summary(past), steps, reasons_of(steps), past is not None)
        table = graph.status_table() if states else StatusTable((), {})
        rows = [row for row in table.rows if row.state in states]
        reasons = {row.number: table.reasons[row.number] for row in rows if row.number in table.reasons}
        return Standing(graph.summary(), rows, reasons, past=False)


def _as_json(root: Path, patterns: Sequence[str], states: Collection[State], when: When | None) -> dict[str, object]:
    with open_graph(AuditableGraph, root) as graph:
        past = graph.as_of(when) if when else None
        steps = select_steps(past.graph if past else graph.state, patterns, states) if states else []
        summary = graph.summary(past)
        return {"study": summary_data(summary), "steps": [step_data(step, summary.at) for step in steps]}


def _drawn(standing: Standing, layout: str | None, *, colour: bool) -> str:
    """Return the summary and the steps as a text, in a `layout` (default: one that fits the terminal)."""
    from maestro_es.report.layouts import LAYOUTS, UNLIMITED, Page, StatusView, fitting  # noqa: PLC0415 - seldom needed

    summary, steps, reasons, _ = standing
    text = visible("".join(f"{line}\n" for line in _summary_lines(standing)))
    if not steps:
        return f"{text}No steps match.\n" if summary.steps else text
    view = StatusView(summary.path, steps, summary.at, reasons)
    page = Page(page_width() or UNLIMITED, colour, sys.stdout.encoding or "utf-8")
    return f"{text}\n{LAYOUTS[layout or fitting(view, page)](view, page)}"


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
            f" just after: 'maestro-es retry {summary.path} --doubted' reruns them and their dependents"
        )
    if summary.overdue:
        yield f"WARNING: no tick has run for this study lately: is cron set up? Try 'maestro-es tick {summary.path}'"
    if summary.full:
        yield f"The scheduler's queue is full, and ticks try again: {summary.full}"
    for name, message in summary.unreachable.items():
        answer = f"{name} does not answer, so the state of its jobs is unknown: {message}"
        yield f"WARNING: {message if name in NO_SCHEDULER else answer}"
