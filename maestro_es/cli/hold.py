"""``maestro-es hold``: keep steps from being submitted."""

from __future__ import annotations

import click

from maestro_es.cli.common import example, reason_option
from maestro_es.cli.request_options import ask_of_steps
from maestro_es.core import requests


@example("maestro-es hold ./pi summarise --reason 'look at the samples first'")
@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="[STUDY] STEP...")
@reason_option
def command(arguments: tuple[str, ...], reason: str) -> None:
    """Don't submit steps of STUDY until 'maestro-es release'; what waits for them waits on.

    A job in flight goes on, and is not restarted or submitted again.
    """
    ask_of_steps(arguments, lambda graph, patterns, _: requests.hold(graph, patterns, reason))
