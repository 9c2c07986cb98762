"""Tells how much time the batch job around this process has left.

The commands of each scheduler are in `maestro_es.adapters.schedulers`. A user may change the walltime while the job
runs. So the scheduler is asked about once a minute. If it does not answer, the last answer counts.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence

from maestro_es.adapters.command import run
from maestro_es.adapters.registry import find_facts
from maestro_es.adapters.schedulers import id_of, job_around, outside_of
from maestro_es.errors import Unreachable

#: The time limit of a scheduler's command, the interval between two queries, and the shorter interval until the first
#: query is answered, in seconds. Just after a job has started, its scheduler may not know yet that it has.
_PATIENCE, _INTERVAL, _FIRST_INTERVAL = 30.0, 60.0, 5.0


class JobClock:
    """Says when the job around this process is about to end: `margin` seconds before its walltime.

    `ask` returns how many seconds the job has left (None: no limit is known). Unreachable if there is no
    answer.
    """

    def __init__(
        self, margin: float, ask: Callable[[], float | None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._margin, self._ask, self._now = margin, ask, now
        self._next, self._end = -float("inf"), float("inf")
        self._interval = _FIRST_INTERVAL

    def is_over(self) -> bool:
        """Return whether the time is over. The scheduler is asked at most once a minute."""
        self._look()
        return self._now() >= self._end - self._margin

    def left(self) -> float | None:
        """Return the seconds until `is_over` is true (None: no known limit). Unreachable before the first answer."""
        self._look()
        if self._interval == _FIRST_INTERVAL:
            raise Unreachable("the scheduler has not said yet how much time the job has left")
        return None if self._end == float("inf") else self._end - self._margin - self._now()

    def _look(self) -> None:
        now = self._now()
        if now >= self._next:
            with contextlib.suppress(Unreachable):
                left = self._ask()
                self._end = float("inf") if left is None else now + left
                self._interval = _INTERVAL
            self._next = now + self._interval


def clock(margin: float) -> JobClock:
    """Return the clock of the job around us. Without a job, or if its scheduler can't tell, the time is never over."""
    return JobClock(margin, _seconds_left)


def _seconds_left() -> float | None:
    """Return how many seconds the job around this process has left. Unreachable if there is no answer."""
    around = job_around()
    facts = find_facts(around.partition(":")[0]) if around else None
    if not facts or not facts.jobs.time_left:
        return None
    return facts.seconds_left(answer(filled(facts.jobs.time_left, JOB=id_of(around))), time.time())


def filled(command: Sequence[str], **values: str) -> list[str]:
    """Return the command with its placeholders, which are words in capitals, replaced by these values."""
    names = re.compile("|".join(values))
    return [names.sub(lambda match: values[match[0]], word) for word in command]


def answer(argv: Sequence[str]) -> str:
    """Return the output of a scheduler's command. Unreachable if it fails or can't be started."""
    try:
        done = run(argv, timeout=_PATIENCE, env=outside_of(job_around()))
    except OSError as error:
        raise Unreachable(f"{argv[0]}: {error.strerror or error}") from error
    if done.code:
        raise Unreachable(f"{argv[0]}: {' '.join(done.err.split()) or f'exit code {done.code}'}")
    return done.out
