"""``maestro-es wait``: waits until studies have ended. It runs no tick."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from maestro_es.audit.status import Summary
from maestro_es.cli.common import SECONDS, example, open_graph, study_path
from maestro_es.cli.output import say
from maestro_es.core.model import StudyStatus
from maestro_es.errors import EXIT_OK, EXIT_TRY_AGAIN
from maestro_es.execution_graph.auditing import AuditableGraph

#: The pause in seconds before the studies are checked again.
_PAUSE = 1.0


@example("maestro-es wait ./pi --timeout 3600")
@click.command()
@click.argument("studies", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[STUDY]...")
@click.option("--timeout", type=SECONDS, metavar="SECONDS", help="Wait no longer than this.")
def command(studies: tuple[Path, ...], timeout: float | None) -> None:
    """Wait until each STUDY has ended. Cron, or another process, has to run the ticks.

    The exit code is 75 if the time is up. Otherwise it is the same as for 'run --wait': 0 if the study finished, 3 if
    a step was cancelled, and 2 if a step failed and none was cancelled. With several studies, the exit code is the
    lowest nonzero code of any study, or 0 if all studies finished.
    """
    roots = [*map(study_path, studies or (None,))]
    end = None if timeout is None else time.monotonic() + timeout
    running, codes, warned = roots, [EXIT_OK], False
    while True:
        summaries = {root: _summary(root) for root in running}
        running = [root for root, one in summaries.items() if one.status == StudyStatus.RUNNING.name]
        codes += [StudyStatus[one.status].value for root, one in summaries.items() if root not in running]
        if not running:
            sys.exit(min(filter(None, codes), default=EXIT_OK))
        overdue = [str(root) for root in running if summaries[root].overdue]
        if overdue and not warned:
            warned = True
            say(f"maestro-es: no tick has run lately: {', '.join(overdue)}; see 'maestro-es cron check'", err=True)
        if end is not None and time.monotonic() + _PAUSE > end:
            say(f"maestro-es: the time is up; still running: {', '.join(map(str, running))}", err=True)
            sys.exit(EXIT_TRY_AGAIN)
        time.sleep(_PAUSE)


def _summary(root: Path) -> Summary:
    with open_graph(AuditableGraph, root) as graph:
        return graph.summary()
