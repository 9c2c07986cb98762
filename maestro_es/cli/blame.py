"""``maestro-es blame``: lists the decisions of users about a step. `maestro_es.audit.blame` collects them."""

from __future__ import annotations

import click

from maestro_es.audit.blame import Decision, decision_data
from maestro_es.audit.times import show_time
from maestro_es.cli.common import example, open_graph, split_one_step
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import json_option, page_width, write_json, write_lines
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.fitted import hanging

_HEADER = ("Seq", "Time", "Who", "Command", "What")


@example("maestro-es blame ./pi summarise")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, required=True, metavar="[STUDY] STEP")
@json_option
def command(arguments: tuple[str, ...], *, as_json: bool) -> None:
    """List the user commands that affected one STEP of STUDY, newest last, each with the user and the reason.

    Commands for the whole study, such as 'pause', are listed too if they came before the step ended.
    """
    root, pattern = split_one_step(arguments)
    with open_graph(AuditableGraph, root) as graph:
        entries = graph.blame(pattern)
    if as_json:
        write_json(map(decision_data, entries))
    else:
        write_lines(hanging(_HEADER, [_row(decision) for decision in entries], page_width()))


def _row(decision: Decision) -> list[str]:
    entry = decision.entry
    started = entry.by.removeprefix(entry.actor)  # the driver, unless the user started it
    who = f"{entry.actor}@{decision.host}{started}" if decision.host else entry.by
    recorded = entry.recorded
    return [str(recorded.seq), show_time(recorded.recorded_at), who, decision.command, entry.sentence]
