"""``maestro-es skip``: take steps as finished."""

from __future__ import annotations

import click

from maestro_es.cli.common import example, reason_option
from maestro_es.cli.request_options import ask_of_steps
from maestro_es.core import rerun


@example("maestro-es skip ./pi sample_N.1000.SEED.1 --reason 'done by hand'")
@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="[STUDY] STEP...")
@reason_option
def command(arguments: tuple[str, ...], reason: str) -> None:
    """Take steps of STUDY as finished that have failed, were cancelled or have not run yet.

    What waits for them may run, and what ended because of them waits again. Cancel a step in flight first.
    """
    ask_of_steps(
        arguments, lambda graph, patterns, study: rerun.skip(graph, patterns, study.log.identity.actor, reason)
    )
