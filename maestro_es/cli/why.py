"""``maestro-es why``: why a step is as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from maestro_es.audit.as_of import Past, as_of
from maestro_es.audit.consistent_view import consistent_view
from maestro_es.audit.history import Entry, entries, entry_data
from maestro_es.audit.step_details import find_steps
from maestro_es.audit.times import When, show_time, show_utc, time_of
from maestro_es.audit.view import Answer, View
from maestro_es.audit.why import why
from maestro_es.audit.why_study import why_study
from maestro_es.cli.common import at_option, example, split_arguments
from maestro_es.cli.output import json_option, write_json, write_lines
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros
from maestro_es.report.table import clean, columns
from maestro_es.study.session import Session

_HEADER = ("Seq", "Time", "Step", "By", "What")


@example("maestro-es why ./pi summarise --at 2h")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [STEP]...")
@at_option
@json_option
def command(arguments: tuple[str, ...], when: When | None, *, as_json: bool) -> None:
    """Say in one sentence why each STEP of STUDY is waiting, is running, has failed or was run again.

    Below the sentence are the events that prove it. Without STEP, the sentence says why the study is not done.
    """
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1:
        raise click.UsageError("Name one study.")
    with Session(roots[0]) as study:
        past = as_of(study.log, when, study.runtime.now()) if when else None
        graph: Graph = past.graph if past else study.graph
        numbers = [step.number for step in find_steps(graph, patterns)]
        asked = Asked(study, past, show_utc if as_json else show_time)
        told = [asked.about(number) for number in numbers] if patterns else [asked.about_study()]
    if as_json:
        write_json(map(_data, told))
    else:
        write_lines(line for index, one in enumerate(told) for line in _block(one, first=index == 0))


class Told(NamedTuple):
    """The answer about a step, or about the study if `step` is empty."""

    step: str
    state: str
    why: str
    evidence: Sequence[Entry]


class Asked:
    """Asks why of an open study, or of its past; `show` writes the times in the answers."""

    def __init__(self, study: Session, past: Past | None, show: Callable[[Micros], str]) -> None:
        self._study = study
        self._past = past
        self._show = show

    def about(self, number: int) -> Told:
        """Return why a step is as it is."""

        def ask(view: View) -> Told:
            record = view.graph.step(number)
            return self._told(record.name, record.state.name, why(view, record))

        return consistent_view(self._study, self._past, self._show, ask)

    def about_study(self) -> Told:
        """Return why the study is as it is."""
        return consistent_view(
            self._study,
            self._past,
            self._show,
            lambda view: self._told("", view.graph.study.status.name, why_study(view)),
        )

    def _told(self, step: str, state: str, answer: Answer) -> Told:
        return Told(step, state, answer.message, entries(self._study.log, answer.evidence))


def _data(told: Told) -> dict[str, Any]:
    evidence = [entry_data(entry) for entry in told.evidence]
    return {"step": told.step or None, "state": told.state, "why": told.why, "evidence": evidence}


def _block(told: Told, *, first: bool) -> Iterator[str]:
    if not first:
        yield ""
    yield clean(told.why)
    for line in columns(_HEADER, [_row(entry) for entry in told.evidence]):
        yield f"  {line}"


def _row(entry: Entry) -> list[str]:
    recorded = entry.recorded
    said = ", ".join(f"{item.source}: {item.detail}" for item in getattr(recorded.event, "evidence", ()))
    what = f"{entry.sentence} ({said})" if said and said not in entry.sentence else entry.sentence
    return [str(recorded.seq), show_time(time_of(recorded)), entry.step, entry.by, what]
