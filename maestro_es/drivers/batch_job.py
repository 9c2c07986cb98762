"""The batch job around a driver: how much time it has left, and a follow-up job that continues after it.

The commands and variables of each scheduler are in `maestro_es.adapters.schedulers`. The walltime of a job may be
changed while the job runs. So the scheduler is queried once a minute. If it does not answer, the last answer counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from maestro_es.adapters.command import run
from maestro_es.adapters.registry import find_facts
from maestro_es.adapters.schedulers import WITH_ADAPTER, job_around, jobs_like, outside_of
from maestro_es.core.scheduler_facts import JobEnvironment
from maestro_es.errors import RequestRefused, Unreachable

#: The time limit of a scheduler's command, the interval between two queries, and the interval before the first answer,
#: in seconds. When a job has just started, the scheduler may not know this yet.
_PATIENCE, _INTERVAL, _FIRST_INTERVAL = 30.0, 60.0, 5.0


class JobClock:
    """Says when the job around this process is about to end, that is, `margin` seconds before its walltime is over.

    `ask` returns for how many seconds the job may still run (None: no limit is known). It raises Unreachable if there
    is no answer.
    """

    def __init__(
        self, margin: float, ask: Callable[[], float | None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._margin, self._ask, self._now = margin, ask, now
        self._next, self._end = -float("inf"), float("inf")
        self._interval = _FIRST_INTERVAL

    def is_over(self) -> bool:
        """Return whether the time is over. The scheduler is queried at most once a minute."""
        now = self._now()
        if now >= self._next:
            with contextlib.suppress(Unreachable):
                left = self._ask()
                self._end = float("inf") if left is None else now + left
                self._interval = _INTERVAL
            self._next = now + self._interval
        return self._now() >= self._end - self._margin


def clock(margin: float) -> JobClock:
    """Return the clock of the job around us. Without a job, or if its scheduler can't tell, the time is never over."""
    return JobClock(margin, _seconds_left)


def _seconds_left() -> float | None:
    """Return for how many seconds the job around this process may still run. Unreachable if there is no answer."""
    kind, _, job_id = job_around().partition(":")
    facts = find_facts(kind) if kind else None
    if not facts or not facts.jobs.time_left:
        return None
    return facts.seconds_left(_answer(_filled(facts.jobs.time_left, JOB=job_id)), time.time())


def check_script(script: Path) -> None:
    """Check that this process can submit a script again. RequestRefused if it can't."""
    able = [name for name, jobs in WITH_ADAPTER.items() if jobs.resubmit]
    around = job_around()
    if not _resubmitting():
        where = f"this is the job {around}" if around else "this process is not in a job"
        raise RequestRefused(f"--resubmit works only in a batch job of {' or '.join(able)}, but {where}")
    if not script.is_file():
        raise RequestRefused(f"{script}: there is no such script to submit again")


def resubmit(script: Path) -> str:
    """Submit a script that will run after the job around this process, and return the id of the new job.

    The new job gets the name of the present job, if the scheduler tells us this name, because a singleton of Slurm
    waits for all jobs with its name. Unreachable if the scheduler does not answer or refuses the script.
    """
    jobs = _resubmitting() or JobEnvironment()
    name = os.environ.get(jobs.name_variable, "") if jobs.name_variable else ""
    argv = _filled(jobs.resubmit, NAME=name or script.name, JOB=job_around().partition(":")[2])
    job_id = _answer([*argv, str(script)]).strip().partition(";")[0]
    if not job_id:
        raise Unreachable("the scheduler did not print the id of the new job")
    return job_id


def withdraw(job_id: str) -> None:
    """Cancel the job that `resubmit` has submitted. Unreachable if that fails."""
    jobs = _resubmitting()
    _answer(_filled(jobs.withdraw if jobs else (), JOB=job_id))


def _resubmitting() -> JobEnvironment | None:
    """Return the facts about the job around this process, if its scheduler can submit a script again."""
    jobs = jobs_like(job_around())
    return jobs if jobs and jobs.resubmit else None


def _filled(command: Sequence[str], **values: str) -> list[str]:
    """Replace the words in capitals in a command with values."""
    names = re.compile("|".join(values))
    return [names.sub(lambda match: values[match[0]], word) for word in command]


def _answer(argv: Sequence[str]) -> str:
    """Return the output of a scheduler's command. Unreachable if it fails or can't be started."""
    try:
        done = run(argv, timeout=_PATIENCE, env=outside_of(job_around()))
    except OSError as error:
        raise Unreachable(f"{argv[0]}: {error.strerror or error}") from error
    if done.code:
        raise Unreachable(f"{argv[0]}: {' '.join(done.err.split()) or f'exit code {done.code}'}")
    return done.out
