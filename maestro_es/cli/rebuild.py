"""``maestro-es rebuild``: rebuilds the derived state from the event log."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_graph, reason_option, study_argument, study_path
from maestro_es.cli.output import say_done
from maestro_es.execution_graph.upkeep import MaintainableGraph


@example("maestro-es rebuild ./pi")
@click.command()
@study_argument
@click.option("--repair", is_flag=True, help="First repair events that can't be decoded.")
@reason_option
def command(study: Path | None, reason: str, *, repair: bool) -> None:
    """Delete everything that was derived from the event log of STUDY, and derive it again.

    Early versions could record events that can't be decoded. In a study with such events, 'tick', 'status' and
    'cancel' fail. The error message gives the number of the event and recommends --repair. --repair replaces the
    payload of such events with the payload that the present version would have written. All other events keep their
    payloads. A new event, EventsCorrected, holds the old payloads and the old digest of the log, so 'verify --head'
    still accepts digests from before the repair. --repair refuses a log that another program has changed.
    """
    if repair:
        root = study_path(study)
        corrected = MaintainableGraph.correct(root, reason)
        numbers = [item.seq for item in corrected.corrections] if corrected else []
        shown = f"corrected event {', '.join(map(str, numbers))}" if numbers else "every event can be read"
        say_done(f"{root}: {shown}")
    with open_graph(MaintainableGraph, study) as graph:
        say_done(f"{graph.path}: rebuilt from {graph.rebuild()} events")
