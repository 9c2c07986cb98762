"""``maestro-es skip``: marks steps as finished without running them."""

from __future__ import annotations

import click

from maestro_es.cli.common import example, reason_option
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.request_options import ask_of_steps


@example("maestro-es skip ./pi sample_N.1000.SEED.1 --reason 'done by hand'")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, required=True, metavar="[STUDY] STEP...")
@reason_option
def command(arguments: tuple[str, ...], reason: str) -> None:
    """Mark steps of STUDY as finished without running them.

    The steps may have failed, have been cancelled, or not have run yet. Steps that depend on them can then run, even
    if they had already failed because of these steps. Before you skip a step in flight, cancel it.
    """
    ask_of_steps(arguments, lambda graph, patterns: graph.skip(*patterns, reason=reason))
