"""``maestro-es why``: prints why a step or a study is in its state. `maestro_es.audit.why` makes the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from maestro_es.audit.history import Entry, entry_data
from maestro_es.audit.step_details import find_steps
from maestro_es.audit.times import When, show_time, time_of
from maestro_es.cli.common import at_option, example, open_graph, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.failures import failure_lines
from maestro_es.cli.output import json_option, page_width, write_json, write_lines
from maestro_es.execution_graph.auditing import AuditableGraph, Why
from maestro_es.report.fitted import hanging
from maestro_es.report.table import clean, wrapped

_HEADER = ("Seq", "Time", "Step", "By", "What")


@example("maestro-es why ./pi summarise --at 2h")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY] [STEP]...")
@at_option
@json_option
def command(arguments: tuple[str, ...], when: When | None, *, as_json: bool) -> None:
    """Say in one sentence why each STEP of STUDY is waiting, is running, has failed or was run again.

    Below the sentence are the events that prove it, and the last errors of a failed step. Without STEP, the sentence
    says why the study is not done. After that come the failures, in groups. A group has the steps that ended in the
    same way. If they are of one template, the parameter values that distinguish them follow. The last line of a group
    is the command that runs exactly these steps again.
    """
    roots, patterns = split_arguments(arguments)
    if len(roots) > 1:
        raise click.UsageError("Give only one study.")
    with open_graph(AuditableGraph, roots[0]) as graph:
        past = graph.as_of(when) if when else None
        steps = find_steps(past.graph if past else graph.state, patterns)
        names = [step.name for step in steps] if patterns else [None]
        answers = [graph.why(name, past, utc=as_json) for name in names]
    if as_json:
        write_json(map(_data, answers))
    else:
        write_lines(line for index, one in enumerate(answers) for line in _block(one, first=index == 0))
        page = page_width()
        write_lines(
            line for one in answers for line in ("", *failure_lines(one.failures, roots[0], page)) if one.failures
        )


def _data(answer: Why) -> dict[str, Any]:
    evidence = [entry_data(entry) for entry in answer.evidence]
    data = {"step": answer.step or None, "state": answer.state, "why": answer.why, "evidence": evidence}
    if not answer.step:
        return {**data, "failures": msgspec.to_builtins(answer.failures)}
    return {**data, "errors": list(answer.errors), "written_by": answer.written_by or None}


def _block(answer: Why, *, first: bool) -> Iterator[str]:
    if not first:
        yield ""
    page = page_width()
    yield from wrapped(answer.why, page)
    for text in hanging(_HEADER, [_row(entry) for entry in answer.evidence], page and page - 2):
        yield from (f"  {line}" for line in text.split("\n"))
    if answer.errors:
        yield from wrapped(
            f"The last errors of {answer.written_by} ('maestro-es logs' prints the whole output):", page
        )
    for line in answer.errors:
        yield clean(f"  | {line}")


def _row(entry: Entry) -> list[str]:
    recorded = entry.recorded
    evidence = ", ".join(f"{item.source}: {item.detail}" for item in getattr(recorded.event, "evidence", ()))
    what = f"{entry.sentence} ({evidence})" if evidence and evidence not in entry.sentence else entry.sentence
    return [str(recorded.seq), show_time(time_of(recorded)), entry.step, entry.by, what]
