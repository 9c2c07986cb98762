"""``maestro-es tick``: runs one tick of each study. `maestro_es.cli.run_tick` does the work without ``--dry``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maestro_es.cli.common import SECONDS, example, located, study_path
from maestro_es.cli.run_tick import run_tick
from maestro_es.core.arguments import UPDATABLE
from maestro_es.study import registry
from maestro_es.study.invocation import SUBMIT_SECONDS


@example("maestro-es tick ./pi")
@click.command()
@click.argument("studies", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[STUDY]...")
@click.option("--all", "every", is_flag=True, help="Advance all studies that 'maestro-es studies' lists.")
@click.option("--queue", is_flag=True, help="If a tick is running, wait for it. Only one process waits; others exit.")
@click.option(
    "--max-seconds",
    type=SECONDS,
    default=SUBMIT_SECONDS,
    show_default=True,
    metavar="N",
    help="Spend about this many seconds submitting steps, and leave the rest to the next tick.",
)
@click.option("--dry", is_flag=True, help="Print what the tick would do, but change nothing.")
@click.option(
    "--what-if",
    "settings",
    multiple=True,
    metavar="SETTING=VALUE",
    help=f"With --dry: assume another value of a setting ({', '.join(UPDATABLE)}), or paused=no.",
)
@click.option("--json", "as_json", is_flag=True, help="With --dry: one JSON object per study.")
def command(
    studies: tuple[Path, ...],
    settings: tuple[str, ...],
    max_seconds: float,
    *,
    every: bool,
    queue: bool,
    dry: bool,
    as_json: bool,
) -> None:
    """Advance each STUDY by one pass: check its jobs, submit steps that are ready, record what happened, and exit.

    A tick prints nothing unless something needs your attention. 'maestro-es cron install' makes cron run a tick for
    all your studies every minute.

    Only one tick of a study runs at a time. If very many steps are ready, a tick submits only some of them, so that it
    does not block others for long (--max-seconds). The next tick continues. Steps with the same options can be
    submitted together: see 'run --array'.

    The exit code is 0 if the tick succeeded, or if another tick of the study is running. It is 75 if a scheduler or a
    file system did not answer; the next tick then tries again. It is 1 if something is wrong with a study.

    With --dry, the command prints the events, claims and commands of the next tick. It queries the schedulers, but
    changes and locks nothing. It does not know the outcome of commands that it does not run. The random characters at
    the end of a token are shown as "dry".
    """
    if every and (studies or queue):
        raise click.UsageError("--all can't be combined with STUDY or --queue.")
    if queue and len(studies) > 1:
        raise click.UsageError("--queue takes only one STUDY.")
    roots = [*map(located, studies)]
    if dry:
        if queue:
            raise click.UsageError("--dry can't be combined with --queue.")
        from maestro_es.cli.tick_preview import read_settings, show  # noqa: PLC0415 - not needed for a tick

        roots = list(registry.registered().values()) if every else roots or [study_path(None)]
        sys.exit(show(roots, read_settings(settings), as_json=as_json))
    if settings or as_json:
        raise click.UsageError("--what-if and --json need --dry.")
    sys.exit(run_tick(roots, every=every, queue=queue, submit_seconds=max_seconds))
