"""``maestro-es watch``: a live view of studies. `maestro_es.report.watch_page` lays out its pages.

It opens each study for a moment only, and holds no lock between two refreshes. An unchanged log is not read again.
"""

from __future__ import annotations

import contextlib
import fnmatch
import heapq
import os
import time
from pathlib import Path
from typing import NamedTuple

import click

from maestro_es.audit.history import Entry, Query
from maestro_es.audit.overview import Overview
from maestro_es.audit.status import Summary, reason
from maestro_es.audit.step_output import STREAMS, last_lines, output_files
from maestro_es.audit.times import clock, show_ago, show_time, time_of
from maestro_es.cli import screen
from maestro_es.cli.common import SecondsRange, example, open_graph, study_path
from maestro_es.cli.completed_words import studies as complete_studies
from maestro_es.cli.output import say
from maestro_es.core.events import InvocationStarted
from maestro_es.core.model import BAD_ENDS, State, StepRecord, StudyStatus
from maestro_es.core.walltime import walltime_seconds
from maestro_es.errors import MaestroError
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.watch_page import MainPage, StepEntry, main_lines, text_lines

#: How many events and how many steps are read for the main page.
_EVENTS, _STEPS = 50, 500

_SECOND = 1_000_000
_MAIN_KEYS = "q quit  j/k choose  w why  o output  / filter  Tab next study"
_TEXT_KEYS = "q back  w why  o output"


class Watched(NamedTuple):
    """A study as of the last time its log was read."""

    summary: Summary
    overview: Overview
    running: list[StepRecord]
    failed: list[StepRecord]
    events: list[Entry]
    walltimes: dict[str, int]


@example("maestro-es watch ./pi")
@click.command()
@click.argument(
    "studies", nargs=-1, type=click.Path(readable=False, path_type=Path), shell_complete=complete_studies,
    metavar="[STUDY]...",
)  # fmt: skip
@click.option(
    "-n",
    "--interval",
    type=SecondsRange(0.1, 3600),
    default=1.0,
    metavar="SECONDS",
    help="The time between two updates of the view.",
)
@click.option(
    "--plain", is_flag=True, help="Print a line for each event instead. This is the default without a terminal."
)
def command(studies: tuple[Path, ...], interval: float, *, plain: bool) -> None:
    """Show each STUDY as it runs: how far along it is, the running steps, the failures and the last events.

    Keys: j and k select a step; w says why it is in its present state; o shows the end of its output; / shows only
    steps that match a pattern; Tab switches to the next study; q quits. The view changes nothing, and studies
    continue without it.
    """
    roots = [*map(study_path, studies or (None,))]
    if plain or not screen.can_show():
        _print_events(roots, interval)
        return
    with screen.whole_screen(), contextlib.suppress(KeyboardInterrupt):
        _View(roots).run(interval)


def _print_events(roots: list[Path], interval: float) -> None:
    """Print the events of one study as they are recorded, until the study has ended."""
    if len(roots) > 1:
        raise click.UsageError("Without a terminal, name only one STUDY.")
    with open_graph(AuditableGraph, roots[0]) as graph, contextlib.suppress(KeyboardInterrupt):
        for entry in graph.follow(Query(limit=10), interval):
            if entry is not None:
                say(_event_line(entry))
            elif graph.summary().status != StudyStatus.RUNNING.name:
                return


def _event_line(entry: Entry) -> str:
    step = f"{entry.step}: " if entry.step else ""
    return f"{show_time(time_of(entry.recorded))[11:]} {step}{entry.sentence}"


class _View:
    """The state of the view: which study, page, step and filter are chosen."""

    def __init__(self, roots: list[Path]) -> None:
        self._roots = roots
        self._index = 0
        self._chosen = 0
        self._filter = ""
        self._seen: dict[Path, tuple[int, Watched]] = {}

    def run(self, interval: float) -> None:
        """Show the main page until the user quits."""
        while True:
            root = self._roots[self._index]
            try:
                watched = self._look(root)
            except MaestroError as error:
                show_problem(root, error)
                pressed = screen.key(interval)
            else:
                screen.show(lambda columns, rows: self._main(watched, columns, rows))  # noqa: B023 - called at once
                pressed = screen.key(interval)
                if pressed in {"w", "o", "enter"}:
                    self._show_step(root, watched, pressed, interval)
            if pressed == "q":
                return
            self._move(pressed)

    def _move(self, pressed: str) -> None:
        """Choose another step, study or filter."""
        match pressed:
            case "j" | "down":
                self._chosen += 1
            case "k" | "up":
                self._chosen = max(self._chosen - 1, 0)
            case "tab":
                self._index, self._chosen = (self._index + 1) % len(self._roots), 0
            case "/":
                self._filter, self._chosen = _ask("Show steps like: "), 0

    def _look(self, root: Path) -> Watched:
        """Read a study, unless its log has no new event."""
        with open_graph(AuditableGraph, root) as graph:
            summary = graph.summary()
            seq, before = self._seen.get(root, (-1, None))
            if before is not None and seq == summary.seq:
                return before._replace(summary=summary)
            state = graph.state
            running = [step for step in state.in_flight() if step.state is State.RUNNING]
            ended = (step for step in state.steps() if step.state in BAD_ENDS and step.blocker is None)
            watched = Watched(
                summary,
                graph.overview(),
                sorted(running, key=lambda step: step.started_at or 0)[:_STEPS],
                heapq.nlargest(_STEPS, ended, key=lambda step: step.ended_at or 0),
                list(graph.search(Query(limit=_EVENTS))),
                {step.template: _walltime(graph, step) for step in running},
            )
        self._seen[root] = summary.seq, watched
        return watched

    def _main(self, watched: Watched, columns: int, rows: int) -> list[str]:
        summary, now = watched.summary, time.time_ns() // 1000
        running = [_running(step, now, watched.walltimes) for step in watched.running if self._fits(step.name)]
        failed = [StepEntry(step.name, reason(step)) for step in watched.failed if self._fits(step.name)]
        self._chosen = min(self._chosen, max(len(running) + len(failed) - 1, 0))
        tick = f", last tick {show_ago(summary.last_tick, now)}" if summary.last_tick else ""
        others = f" ({self._index + 1} of {len(self._roots)} studies)" if len(self._roots) > 1 else ""
        filtered = f", steps like {self._filter}" if self._filter else ""
        title = f"{summary.name or Path(summary.path).name}{others}: {summary.status}{tick}{filtered}"
        entries = [entry for entry in watched.events if entry.type != InvocationStarted.__name__]
        events = [_event_line(entry) for entry in entries if not self._filter or self._fits(entry.step)]
        page = MainPage(title, watched.overview, running, failed, events, self._chosen)
        return main_lines(page, columns, rows, _MAIN_KEYS, colour="NO_COLOR" not in os.environ)

    def _fits(self, name: str) -> bool:
        return self._filter in name or fnmatch.fnmatchcase(name, self._filter)

    def _show_step(self, root: Path, watched: Watched, pressed: str, interval: float) -> None:
        """Show why the chosen step is in its state, or the end of its output, until the user goes back."""
        steps = [step for step in (*watched.running, *watched.failed) if self._fits(step.name)]
        if not steps:
            return
        name = steps[min(self._chosen, len(steps) - 1)].name
        while True:
            with open_graph(AuditableGraph, root) as graph:
                text = _output(graph, name) if pressed == "o" else _why(graph, name)
            screen.show(lambda columns, rows: text_lines(name, text, columns, rows, _TEXT_KEYS))  # noqa: B023 - likewise
            pressed = screen.key(interval) or pressed
            if pressed in {"q", "escape"}:
                return


def show_problem(root: Path, error: MaestroError) -> None:
    """Show why a study can't be read."""
    screen.show(lambda columns, rows: text_lines(str(root), [str(error)], columns, rows, "q quit  Tab next study"))


def _ask(question: str) -> str:
    """Let the user type a text. Escape cancels."""
    text = ""
    while True:
        screen.show(lambda columns, rows: text_lines("", [], columns, rows, question + text))  # noqa: B023 - likewise
        pressed = screen.key(60)
        match pressed:
            case "enter":
                return text
            case "escape":
                return ""
            case "backspace":
                text = text[:-1]
            case _ if len(pressed) == 1:
                text += pressed


def _running(step: StepRecord, now: int, walltimes: dict[str, int]) -> StepEntry:
    elapsed = (now - (step.started_at or now)) // _SECOND
    limit = walltimes.get(step.template, 0)
    if not limit:
        return StepEntry(step.name, clock(elapsed))
    return StepEntry(step.name, f"{clock(elapsed)} of {clock(limit)}", elapsed / limit)


def _walltime(graph: AuditableGraph, step: StepRecord) -> int:
    """Return the walltime of a step's template in seconds; 0 if there is none, or if it depends on a parameter."""
    try:
        return walltime_seconds(graph.state.template(step.template).run.get("walltime"))
    except ValueError:
        return 0


def _why(graph: AuditableGraph, name: str) -> list[str]:
    answer = graph.why(name)
    events = [_event_line(entry) for entry in answer.evidence]
    errors = [f"The last errors of {answer.written_by}:", *answer.errors] if answer.errors else []
    return [answer.why, "", *events, "", *errors]


def _output(graph: AuditableGraph, name: str) -> list[str]:
    lines: list[str] = []
    for output in output_files(graph.show(name), [*STREAMS]):
        with contextlib.suppress(OSError), output.path.open("rb") as file:
            text = last_lines(file, 200).decode(errors="replace")
            if text:
                lines += [f"==> {output.path} <==", *text.splitlines()]
    return lines or [f"{name} has no output"]
