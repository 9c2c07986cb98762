"""Calls a scheduler to submit jobs: several at a time, and no more after a call without an answer or without room.

If a scheduler is down, each call would wait for its time-out. If its queue is full, it would refuse each job. So the
first call of a tick is made alone. After a call that got no answer or no room, the other submissions are withdrawn.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from maestro_es.adapters.base import Adapter, Job, Submitting
from maestro_es.adapters.command import Command, wait
from maestro_es.core.model import Micros
from maestro_es.core.observations import ClaimState
from maestro_es.core.submission import NO_SCRIPT, InDoubt, NotAttempted, Outcome, QueueFull, SubmittedScript
from maestro_es.errors import Unreachable
from maestro_es.poller.performers import Performer


class PreparedAttempt(NamedTuple):
    """An attempt to submit: its step, token and time, and its job. If the job can't be made, its outcome instead."""

    step: int
    token: str
    at: Micros
    job: Job | Outcome
    script: SubmittedScript = NO_SCRIPT


class Submitter:
    """Submits jobs to one scheduler. The local adapter answers at once, so it is always called.

    `last_error` is set if the scheduler did not answer, now or before. Then it is not called.
    """

    def __init__(self, adapter: Adapter, performer: Performer, last_error: Unreachable | None = None) -> None:
        self.last_error = last_error
        self._performer = performer
        self._adapter = adapter
        self._one_at_a_time = adapter.max_concurrent_submissions == 1
        self._room = 1
        self._done = last_error is not None
        self._under_way: dict[Command, tuple[PreparedAttempt, Job, Submitting]] = {}

    def submit(self, attempts: Iterable[PreparedAttempt]) -> Generator[tuple[PreparedAttempt, Outcome]]:
        """Submit attempts, or withdraw them; yields the outcome of each as soon as it is known.

        The next attempt is taken while others are under way, so that its script is written meanwhile.
        """
        try:
            for attempt in attempts:
                while len(self._under_way) >= self._room:
                    yield from self._ended()
                outcome = self._begin(attempt)
                if outcome:
                    yield attempt, outcome
            while self._under_way:
                yield from self._ended()
        finally:  # the caller has stopped; calls under way are still completed
            for _, _, submitting in self._under_way.values():
                submitting.outcome()

    def _begin(self, attempt: PreparedAttempt) -> Outcome | None:
        """Begin to submit an attempt; returns the outcome if it is known at once."""
        job = attempt.job
        if not isinstance(job, Job):
            return job
        if self._done:
            return self._withdraw(job)
        begun = self._performer.submit(self._adapter, job, attempt.step)
        if isinstance(begun, Submitting):
            self._under_way[begun.command] = attempt, job, begun
            return None
        return self._conclude(job, begun)

    def _ended(self) -> Iterator[tuple[PreparedAttempt, Outcome]]:
        for command in wait(self._under_way):
            attempt, job, submitting = self._under_way.pop(command)
            yield attempt, self._conclude(job, submitting.outcome())

    def _conclude(self, job: Job, outcome: Outcome) -> Outcome:
        self._room = self._adapter.max_concurrent_submissions
        if isinstance(outcome, InDoubt) and not self._one_at_a_time:
            self._done = True
            self.last_error = Unreachable(outcome.message) if outcome.scheduler_down else self.last_error
        if isinstance(outcome, QueueFull):
            self._done = True
            withdrawn = self._withdraw(job)  # a command that tries again may have submitted the job
            return outcome if isinstance(withdrawn, NotAttempted) else withdrawn
        return outcome

    def _withdraw(self, job: Job) -> Outcome:
        """Take the claim of an attempt that the scheduler does not have, so that it can never start."""
        try:
            if self._performer.fence(job.workspace, job.token).state is ClaimState.ABANDONED:
                return NotAttempted()
        except OSError as error:
            return InDoubt(f"not submitted, and its claim can't be made: {error.strerror}")
        return InDoubt("not submitted, and another process holds its claim")
