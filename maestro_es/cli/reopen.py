"""``maestro-es reopen``: continues a cancelled study."""

from __future__ import annotations

from pathlib import Path

import click

from maestro_es.cli.common import example, from_scratch_option, reason_option, study_path
from maestro_es.cli.request_options import ask_of_steps


@example("maestro-es reopen ./pi --reason 'cancelled by mistake'")
@click.command()
@click.argument("study", required=False, type=click.Path())
@from_scratch_option
@reason_option
def command(study: str | None, reason: str, *, from_scratch: bool) -> None:
    """Resume a cancelled STUDY, and run every step that was cancelled.

    If a step had started and has a restart script, it resumes from its checkpoint with that script. With
    --from-scratch it runs its cmd instead. Steps that finished or failed do not run again. To run failed steps again,
    use 'maestro-es retry --failed'.
    """
    arguments = (str(study_path(Path(study)).absolute()),) if study else ()
    ask_of_steps(arguments, lambda graph, _: graph.reopen(reason, from_scratch=from_scratch))
