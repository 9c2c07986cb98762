"""``maestro-es resume``: continues a paused study."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_graph, reason_option, study_argument
from maestro_es.cli.output import say_done
from maestro_es.execution_graph.requesting import RequestableGraph


@example("maestro-es resume ./pi")
@click.command()
@study_argument
@reason_option
def command(study: Path | None, reason: str) -> None:
    """Resume a paused STUDY."""
    with open_graph(RequestableGraph, study) as graph:
        graph.resume(reason)
        say_done(f"{graph.path}: resumed; it continues with the next tick")
