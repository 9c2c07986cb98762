"""``maestro-es pause``: stop submitting."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_study, reason_option, study_argument
from maestro_es.cli.output import say
from maestro_es.core import requests


@example("maestro-es pause ./pi --reason 'maintenance at noon'")
@click.command()
@study_argument
@reason_option
def command(study: Path | None, reason: str) -> None:
    """Submit nothing new in STUDY until 'maestro-es resume'; jobs in flight go on."""
    with open_study(study) as opened:
        opened.dir.check_owner()
        opened.request(lambda graph: requests.pause(graph, reason))
        say(f"{opened.dir.root}: paused; 'maestro-es resume' lets it go on")
