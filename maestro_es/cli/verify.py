"""``maestro-es verify``: check the log and what was made of it."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, open_study, study_argument
from maestro_es.store.verification import verify


@example("maestro-es verify ./pi")
@click.command()
@study_argument
def command(study: Path | None) -> None:
    """Check the event log of STUDY: every digest, every payload, and a full replay compared with the state in use."""
    with open_study(study) as opened:
        found = verify(opened.log)
        click.echo(f"{opened.dir.root}: {found.events} events are as they were written; head {found.head}")
