"""``maestro-es hold``: keeps steps from being submitted."""

from __future__ import annotations

import click

from maestro_es.cli.common import example, reason_option
from maestro_es.cli.completed_words import studies_and_steps
from maestro_es.cli.request_options import ask_of_steps


@example("maestro-es hold ./pi summarise --reason 'look at the samples first'")
@click.command()
@click.argument("arguments", nargs=-1, shell_complete=studies_and_steps, required=True, metavar="[STUDY] STEP...")
@reason_option
def command(arguments: tuple[str, ...], reason: str) -> None:
    """Keep steps of STUDY from being submitted until 'maestro-es release'.

    Steps that depend on them wait too. If a held step has a job, the job keeps running, but it will not be restarted
    or resubmitted.
    """
    ask_of_steps(arguments, lambda graph, patterns: graph.hold(*patterns, reason=reason))
