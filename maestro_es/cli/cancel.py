"""``maestro-es cancel``: end a study, or some of its steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from maestro_es.cli.common import each, example, reason_option, split_arguments
from maestro_es.cli.output import confirm, say_done
from maestro_es.core import requests
from maestro_es.core.model import Phase, State, StepRecord, StudyStatus
from maestro_es.errors import LogUnavailable, NothingStarts, Unreachable, describe_error
from maestro_es.poller.prefetch import QueueSnapshot
from maestro_es.poller.tick import tick
from maestro_es.report.table import counted
from maestro_es.study.locks import hold_tick_lock
from maestro_es.study.session import Session

#: How long we wait for jobs to end before we leave the rest to other ticks, in seconds.
_PATIENCE = 5.0


@example("maestro-es cancel -y ./pi 'sample_*' --reason 'wrong seed'")
@click.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY]... [STEP]...")
@click.option("-y", "--autoyes", is_flag=True, help="Don't ask for confirmation.")
@reason_option
def command(arguments: tuple[str, ...], *, autoyes: bool, reason: str) -> None:
    """Cancel each STUDY, or only the steps that match a STEP pattern.

    The command cancels the jobs of these steps. It also cancels all steps that depend on a cancelled step.

    The exit code is 75 if a scheduler did not answer, so that jobs may still be running. The cancel is recorded even
    then, and later ticks end the jobs.
    """
    roots, patterns = split_arguments(arguments)
    what = f"{', '.join(patterns)} of " if patterns else ""
    question = f"Cancel {what}{', '.join(map(str, roots))}?"
    if not autoyes and not confirm(question):
        return
    sys.exit(each(roots, lambda _, root: _cancel(root, patterns, reason)))


def _cancel(root: Path, patterns: Sequence[str], reason: str) -> None:
    with Session(root) as study:
        study.dir.check_owner()
        study.request(lambda graph: requests.cancel(graph, patterns, reason))
        try:
            _tick_until_ended(study)
        except (Unreachable, LogUnavailable, OSError) as error:
            said = str(error) if isinstance(error, Unreachable) else describe_error(error, study.dir.root)[1]
            raise Unreachable(f"{_left(study)}; the next tick ends them: {said}") from error
        elsewhere = _elsewhere(study)
        if elsewhere:
            hosts = ", ".join(sorted(elsewhere))
            raise Unreachable(f"{_left(study)}; those on {hosts} are ended by the next tick on that host")
        say_done(_summary(study))


def _tick_until_ended(study: Session) -> None:
    """Tick until nothing that is to end runs any more, for a while.

    Unreachable says who did not answer. A scheduler is not asked again then; the steps of this host are ended all the
    same. A job's id alone is no reason to end it: it may be that of another job by now.
    """
    end = time.monotonic() + _PATIENCE
    last_error: Unreachable | None = None
    while True:
        with hold_tick_lock(study.dir, _PATIENCE) as ours:
            if not ours:
                raise Unreachable("another process has been ticking it for some time")
            try:
                tick(
                    study, snapshot=QueueSnapshot(0, {}, study.last_error) if last_error and study.last_error else None
                )
            except NothingStarts:
                pass
            except Unreachable as error:
                last_error = last_error or error
        elsewhere = _elsewhere(study)
        waiting = [step for step in _ending(study) if step.scheduled or step.job_host not in elsewhere]
        late = time.monotonic() > end
        if study.status is not StudyStatus.RUNNING or not waiting:
            return
        if last_error and (late or not study.last_error or all(step.scheduled for step in waiting)):
            raise last_error
        if late:
            return
        time.sleep(0.1)


def _ending(study: Session) -> list[StepRecord]:
    """Return the steps in flight that are to end."""
    return [step for step in study.graph.in_flight() if step.cancelling or study.graph.study.cancelling]


def _elsewhere(study: Session) -> set[str]:
    """Return the other hosts on which local steps run that are to end."""
    local = (step for step in _ending(study) if not step.scheduled and step.phase is Phase.SUBMITTED)
    return {step.job_host for step in local} - {study.runtime.host.name, ""}


def _left(study: Session) -> str:
    """Return what is on record, and what has not been done."""
    return f"{study.dir.root}: the cancel is recorded; jobs that may still run: {len(_ending(study))}"


def _summary(study: Session) -> str:
    ended = study.graph.study.states.get(State.CANCELLED.name, 0)
    waiting = _ending(study)
    rest = (
        f"; cancellation requested for {counted(len(waiting), 'running job')}; the next ticks check" if waiting else ""
    )
    doubtful = sum(step.phase is Phase.REQUESTED for step in waiting)
    doubt = f"; it is not yet known whether {doubtful} of them were submitted" if doubtful else ""
    return f"{study.dir.root}: {counted(ended, 'step')} cancelled{rest}{doubt}"
