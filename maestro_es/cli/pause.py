"""``maestro-es pause``: stops submitting steps."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_graph, reason_option, study_argument
from maestro_es.cli.output import say_done
from maestro_es.execution_graph.requesting import RequestableGraph


@example("maestro-es pause ./pi --reason 'maintenance at noon'")
@click.command()
@study_argument
@reason_option
def command(study: Path | None, reason: str) -> None:
    """Stop submitting new steps of STUDY until 'maestro-es resume'. Jobs in flight keep running."""
    with open_graph(RequestableGraph, study) as graph:
        graph.pause(reason)
        say_done(f"{graph.path}: paused; use 'maestro-es resume' to continue")
