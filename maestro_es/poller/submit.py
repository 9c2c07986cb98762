"""Submit: for each submission on record write the script, call the scheduler, append the outcome.

The process may die between any two of these. A request without an outcome is in doubt, and a later tick settles it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from maestro_es.adapters.base import Adapter, Job
from maestro_es.core.decide import Draft
from maestro_es.core.model import Micros
from maestro_es.core.outcomes import InDoubt, Outcome, Unwritable, outcome_events
from maestro_es.errors import StudyError
from maestro_es.poller.open_study import OpenStudy, Submitted
from maestro_es.poller.workspace import prepare

#: How many outcomes are appended together: what a crash can put in doubt.
_GROUP = 16

#: Errors of a file system that may be gone at the next tick: the step is not to blame.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def submit(study: OpenStudy, steps: Sequence[int]) -> None:
    """Submit these steps and append the outcomes in small groups."""
    for start in range(0, len(steps), _GROUP):
        study.pending += _submit(study, steps[start : start + _GROUP])
        record_outcomes(study)


def submit_and_defer(study: OpenStudy, steps: Sequence[int]) -> None:
    """Submit these steps and leave the outcomes `pending`, for the next pass of this process to append with its own.

    If the process dies before that, the attempts are in doubt, and a later tick finds them by their claims.
    """
    study.pending += _submit(study, steps)


def record_outcomes(study: OpenStudy) -> None:
    """Append the pending outcomes; if somebody else appended meanwhile, look at the new state and try again."""
    if study.pending:
        study.request(lambda _graph: take_outcomes(study))
        study.pending.clear()


def take_outcomes(study: OpenStudy) -> list[Draft]:
    """Return the events of the pending outcomes, as the state is now."""
    return [
        (sub.step, event)
        for sub in study.pending
        for event in outcome_events(study.graph, sub.step, sub.token, sub.outcome, sub.at, sub.script_digest)
    ]


def _submit(study: OpenStudy, steps: Sequence[int]) -> list[Submitted]:
    """Write the scripts of these steps, then call the schedulers, as many at once as they take."""
    prepared = [_prepare(study, number) for number in steps]
    done = [attempt for attempt in prepared if isinstance(attempt, Submitted)]
    for adapter in {id(adapter): adapter for adapter in (study.adapters.local, study.adapters.scheduler)}.values():
        mine = [attempt for attempt in prepared if isinstance(attempt, _Prepared) and attempt.adapter is adapter]
        for attempt, outcome in zip(mine, _outcomes(adapter, [attempt.job for attempt in mine]), strict=True):
            study.context.after("submit")
            done.append(Submitted(attempt.step, attempt.job.token, outcome, attempt.at, attempt.digest))
    return done


def _outcomes(adapter: Adapter, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Submit jobs; yields what came of each, in order, as soon as it is known."""
    if adapter.at_once == 1 or len(jobs) < 2:  # noqa: PLR2004 - one job needs no threads
        yield from map(adapter.submit, jobs)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not for ticks that submit nothing

    with ThreadPoolExecutor(adapter.at_once) as pool:
        yield from pool.map(adapter.submit, jobs)


class _Prepared(NamedTuple):
    """An attempt whose script is written: the job, the script's digest, and when that was."""

    step: int
    adapter: Adapter
    job: Job
    digest: str
    at: Micros


def _prepare(study: OpenStudy, number: int) -> _Prepared | Submitted:
    step = study.graph.step(number)
    adapter = study.adapters.of(step)
    at = study.context.now()
    try:
        job, digest = prepare(study.graph, step, study.dir, adapter, study.adapters.scheduler)
    except (OSError, ValueError, StudyError) as error:
        passing = isinstance(error, OSError) and error.errno in _PASSING
        outcome: Outcome = (InDoubt if passing else Unwritable)(f"its script can't be written: {error}")
        return Submitted(number, step.token, outcome, at)
    study.context.after("script")
    return _Prepared(number, adapter, job, digest, at)
