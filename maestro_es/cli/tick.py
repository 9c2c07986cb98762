"""``maestro-es tick``: advance studies by one pass."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maestro_es.cli.common import example, study_path
from maestro_es.drivers.cron_tick import tick_all, tick_next, tick_studies
from maestro_es.poller.open_study import Context


@example("* * * * * maestro-es tick --all    (in a crontab)")
@click.command()
@click.argument("studies", nargs=-1, type=click.Path(path_type=Path), metavar="[STUDY]...")
@click.option("--all", "every", is_flag=True, help="All studies that 'maestro-es studies' lists.")
@click.option("--queue", is_flag=True, help="Wait for a tick that is under way; at most one process does.")
def command(studies: tuple[Path, ...], *, every: bool, queue: bool) -> None:
    """Advance each STUDY by one pass: look at its jobs, submit what is ready, record what happened, and leave.

    Silent unless a person must know something. The exit code is 0, also if somebody else is ticking the study; 75 if
    a scheduler or file system did not answer, so that nothing was concluded; 1 if something is wrong with a study.
    """
    context = Context()
    if every:
        outcome = tick_all(context)
    elif queue:
        outcome = tick_next(study_path(studies[0] if studies else None), context)
    else:
        outcome = tick_studies(studies or [study_path(None)], context)
    for line in outcome.lines:
        click.echo(f"maestro-es: {line}", err=True)
    sys.exit(outcome.code)
