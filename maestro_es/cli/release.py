"""``maestro-es release``: allows held steps to be submitted."""

from __future__ import annotations

import click

from maestro_es.cli.common import example, reason_option
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.request_options import ask_of_steps


@example("maestro-es release ./pi '*'")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, required=True, metavar="[STUDY] STEP...")
@reason_option
def command(arguments: tuple[str, ...], reason: str) -> None:
    """Release steps of STUDY that 'maestro-es hold' has held, so that ticks submit them again."""
    ask_of_steps(arguments, lambda graph, patterns: graph.release(*patterns, reason=reason))
