"""Calling a scheduler to submit jobs, no longer than it answers, and takes any.

One that is down lets each call wait for its time-out, and one that is full refuses each. So the first call of a tick
is made alone, and after one that got no answer, or no room, no other is made: the others are taken back.
"""

from __future__ import annotations

import threading

from maestro_es.adapters.base import Adapter, Job
from maestro_es.core.evidence import ClaimState
from maestro_es.core.outcomes import Full, InDoubt, NotCalled, Outcome
from maestro_es.errors import Unreachable
from maestro_es.poller.claims import abandon


class Caller:
    """Submits jobs to one scheduler, in any number of threads. A local one answers at once, so it is always called.

    `silence` is what was said instead of an answer, by it or before; it is not called then.
    """

    def __init__(self, adapter: Adapter, silence: Unreachable | None = None) -> None:
        self.adapter = adapter
        self.silence = silence
        self._first = threading.Lock()
        self._answers = self._patient = adapter.at_once == 1
        self._done = silence is not None

    def submit(self, job: Job) -> Outcome:
        """Submit a job, or take its attempt back."""
        with self._first:
            if not self._answers and not self._done:
                outcome = self._call(job)
                self._answers = not self._done
                return outcome
        return _take_back(job) if self._done else self._call(job)

    def _call(self, job: Job) -> Outcome:
        outcome = self.adapter.submit(job)
        if isinstance(outcome, InDoubt) and not self._patient:
            self._done = True
            self.silence = Unreachable(outcome.message) if outcome.silent else self.silence
        if isinstance(outcome, Full):
            self._done = True
            taken_back = _take_back(job)  # a command that was to try again may have done so
            return outcome if isinstance(taken_back, NotCalled) else taken_back
        return outcome


def _take_back(job: Job) -> Outcome:
    """Make the claim of an attempt that the scheduler does not have, so that nothing can start under its token."""
    try:
        if abandon(job.workspace, job.token).state is ClaimState.ABANDONED:
            return NotCalled()
    except OSError as error:
        return InDoubt(f"not submitted, and its claim can't be made: {error.strerror}")
    return InDoubt("not submitted, and another process holds its claim")
