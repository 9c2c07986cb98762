"""Calling a scheduler to submit jobs, no longer than it answers.

One that is down lets each call wait for its time-out. So the first call of a tick is made alone, and after one without
an answer no other is made: one attempt is in doubt, the others are taken back.
"""

from __future__ import annotations

import threading

from maestro_es.adapters.base import Adapter, Job
from maestro_es.core.evidence import ClaimState
from maestro_es.core.outcomes import InDoubt, NotCalled, Outcome
from maestro_es.poller.claims import abandon


class Caller:
    """Submits jobs to one scheduler, in any number of threads. A local one answers at once, so it is always called."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._first = threading.Lock()
        self._answers = self._patient = adapter.at_once == 1
        self._silent = False

    def submit(self, job: Job) -> Outcome:
        """Submit a job, or take its attempt back."""
        with self._first:
            if not self._answers and not self._silent:
                outcome = self._call(job)
                self._answers = not self._silent
                return outcome
        return _take_back(job) if self._silent else self._call(job)

    def _call(self, job: Job) -> Outcome:
        outcome = self.adapter.submit(job)
        if isinstance(outcome, InDoubt) and not self._patient:
            self._silent = True
        return outcome


def _take_back(job: Job) -> Outcome:
    """Make the claim of an attempt for which nobody was called, so that nothing can ever start under its token."""
    try:
        if abandon(job.workspace, job.token).state is ClaimState.ABANDONED:
            return NotCalled()
    except OSError as error:
        return InDoubt(f"not submitted, and its claim can't be made: {error.strerror}")
    return InDoubt("not submitted, and another process holds its claim")
