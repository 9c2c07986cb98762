"""``maestro-es rebuild``: make the state anew from the log."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_study, study_argument
from maestro_es.poller.tick import show_status


@example("maestro-es rebuild ./pi")
@click.command()
@study_argument
def command(study: Path | None) -> None:
    """Throw away everything that was derived from the event log of STUDY, and derive it again."""
    with open_study(study) as opened:
        opened.dir.check_owner()
        opened.log.rebuild()
        show_status(opened)
        click.echo(f"{opened.dir.root}: rebuilt from {opened.log.head.seq} events")
