"""``maestro-es map``: prints a map of the parameter space. `maestro_es.audit.parameter_map` computes it."""

from __future__ import annotations

import os
import shutil

import click

from maestro_es.audit.parameter_map import QUANTITIES, map_data, parameter_map
from maestro_es.audit.times import When
from maestro_es.cli.common import Assignment, at_option, example, open_graph, split_arguments
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.output import json_option, on_terminal, page_width, write_drawn, write_json, write_lines
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.report.map_page import map_lines

#: The width of a map if there is no terminal.
_PAGE = 80

#: A map has at most this number of parameters.
_MOST = 2


@example("maestro-es map ./pi SAMPLES SEED", "maestro-es map ./pi SAMPLES SEED --by run")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, metavar="[STUDY] [PARAMETER [PARAMETER]]")
@click.option("--by", type=click.Choice([*QUANTITIES]), default="state", help="What the cells show.")
@click.option(
    "--step",
    "patterns",
    multiple=True,
    metavar="STEP",
    help="Show only steps that match this name or glob; may be repeated.",
)
@click.option(
    "--param", "params", multiple=True, type=Assignment(), metavar="NAME=VALUE",
    help="Show only steps with this parameter value or label; VALUE may be a glob.",
)  # fmt: skip
@at_option
@json_option
def command(
    arguments: tuple[str, ...],
    by: str,
    patterns: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    when: When | None,
    *,
    as_json: bool,
) -> None:
    """Show the parameter space of STUDY: a cell for each value of one PARAMETER, or each pair of values of two.

    Without PARAMETER, the first two parameters with several values are shown. The letter in a cell is the worst state
    of its steps: failed (X), cancelled (c), running (R), queued (q), not submitted yet (.) or finished (#). With --by,
    a cell shows the longest run time, the exit code, the longest time in the queue or the number of attempts. If a
    step of the cell has failed or was cancelled, X or c comes before this number. If there are too many values,
    neighbouring values share a row or a column.
    """
    roots, parameters = split_arguments(arguments)
    if len(roots) > 1 or len(parameters) > _MOST:
        raise click.UsageError("Give one STUDY and at most two PARAMETERs.")
    with open_graph(AuditableGraph, roots[0]) as graph:
        past = graph.as_of(when) if when else None
        steps = graph.select(patterns, params=params, at=past)
        space = parameter_map(steps, parameters, by, past.at if past else graph.runtime.now())
    if as_json:
        write_json([map_data(space)])
        return
    page = page_width() or shutil.get_terminal_size((_PAGE, 24)).columns
    colour = on_terminal() and "NO_COLOR" not in os.environ
    write_lines(map_lines(space, page, colour=colour), write_drawn)
