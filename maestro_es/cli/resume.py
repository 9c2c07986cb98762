"""``maestro-es resume``: go on after a pause."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_study, reason_option, study_argument
from maestro_es.cli.output import say_done
from maestro_es.core import requests


@example("maestro-es resume ./pi")
@click.command()
@study_argument
@reason_option
def command(study: Path | None, reason: str) -> None:
    """Resume a paused STUDY."""
    with open_study(study) as opened:
        opened.dir.check_owner()
        opened.request(lambda graph: requests.resume(graph, reason))
        say_done(f"{opened.dir.root}: resumed; it continues with the next tick")
