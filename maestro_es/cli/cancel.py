"""``maestro-es cancel``: end a study, or some of its steps."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from maestro_es.cli.common import each, example, reason_option, split_arguments
from maestro_es.core import requests
from maestro_es.core.model import Phase, State, StudyStatus
from maestro_es.errors import Unreachable
from maestro_es.poller.lock import hold
from maestro_es.poller.open_study import OpenStudy
from maestro_es.poller.tick import tick

#: How long we wait for jobs to end before we leave the rest to other ticks, in seconds.
_PATIENCE = 5.0


@example("maestro-es cancel -y ./pi 'sample_*' --reason 'wrong seed'")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY]... [STEP]...")
@click.option("-y", "--autoyes", is_flag=True, help="Don't ask.")
@reason_option
def command(arguments: tuple[str, ...], *, autoyes: bool, reason: str) -> None:
    """Cancel each STUDY, or only the steps that match a STEP pattern.

    Jobs are asked to end now; steps that wait for a cancelled one are cancelled too.
    """
    roots, patterns = split_arguments(arguments)
    what = f"{', '.join(patterns)} of " if patterns else ""
    question = f"Cancel {what}{', '.join(map(str, roots))}?"
    if not autoyes and not click.confirm(question):
        return
    sys.exit(each(roots, lambda _, root: _cancel(root, patterns, reason)))


def _cancel(root: Path, patterns: Sequence[str], reason: str) -> None:
    with OpenStudy(root) as study:
        study.dir.check_owner()
        study.request(lambda graph: requests.cancel(graph, patterns, reason))
        _tick_until_ended(study)
        click.echo(_summary(study))


def _tick_until_ended(study: OpenStudy) -> None:
    """Tick until nothing that is to end runs any more, for a while."""
    end = time.monotonic() + _PATIENCE
    while True:
        with hold(study.dir.tick_lock, _PATIENCE) as ours, contextlib.suppress(Unreachable):
            if ours:
                tick(study)
        if study.status is not StudyStatus.RUNNING or not _ending(study) or time.monotonic() > end:
            return
        time.sleep(0.1)


def _ending(study: OpenStudy) -> int:
    """Return how many jobs were asked to end and have not."""
    return sum(step.cancelling or study.graph.study.cancelling for step in study.graph.in_flight())


def _summary(study: OpenStudy) -> str:
    ended = study.graph.study.states.get(State.CANCELLED.name, 0)
    waiting = _ending(study)
    rest = f"; {waiting} jobs were asked to end and have not yet, the next ticks will see" if waiting else ""
    doubtful = sum(step.phase is Phase.REQUESTED for step in study.graph.in_flight()) if waiting else 0
    doubt = f"; of {doubtful} of them nobody knows yet whether they were submitted" if doubtful else ""
    return f"{study.dir.root}: {ended} steps cancelled{rest}{doubt}"
