"""Calls a scheduler to submit jobs, several at a time. It stops if the scheduler does not answer or has no room.

If a scheduler is down, each call would wait for its time-out. If its queue is full, it would refuse each job. So the
first call of a tick is made alone. If a call gets no answer, or the scheduler has no room, the remaining submissions
are withdrawn. They are also withdrawn once the tick has submitted for long enough. One call submits one job, several
jobs, or a job array.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from maestro_es.adapters.base import Adapter, Array, Job, SubmitsArrays, Submitting, SubmittingArray
from maestro_es.adapters.command import Command, wait
from maestro_es.core.model import Micros
from maestro_es.core.observations import ClaimState
from maestro_es.core.submission import NO_SCRIPT, InDoubt, NotAttempted, Outcome, QueueFull, SubmittedScript
from maestro_es.errors import Unreachable
from maestro_es.poller.performers import Performer


class PreparedAttempt(NamedTuple):
    """An attempt to submit: its step, token and time, and its job.

    If the job can't be made, `job` is an outcome.
    """

    step: int
    token: str
    at: Micros
    job: Job | Outcome
    script: SubmittedScript = NO_SCRIPT


class PreparedCall(NamedTuple):
    """The attempts to submit with one call, by index. A job array also has a name and a title."""

    attempts: Mapping[int, PreparedAttempt]
    array: str = ""
    title: str = ""


#: Attempts and their outcomes, in the order of their steps.
Outcomes = Sequence[tuple[PreparedAttempt, Outcome]]


class _UnderWay(NamedTuple):
    """A call that has not ended: its attempts with their jobs, and a function that returns the outcomes."""

    call: PreparedCall
    jobs: Mapping[int, Job]
    outcomes: Callable[[], Mapping[int, Outcome]]


class Submitter:
    """Submits jobs to one scheduler. The local adapter answers at once, so it is always called.

    `last_error` is set if the scheduler did not answer, now or earlier. Then the scheduler is not called. After the
    first call, the scheduler is called only until `is_late` returns True.
    """

    def __init__(
        self,
        adapter: Adapter,
        performer: Performer,
        last_error: Unreachable | None = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self.last_error = last_error
        self._performer = performer
        self._adapter = adapter
        self._is_late = is_late
        self._one_at_a_time = adapter.max_concurrent_submissions == 1
        self._room = 1
        self._has_called = False
        self._done = last_error is not None
        self._under_way: dict[Command, _UnderWay] = {}
        #: Calls for jobs that one command could not submit together.
        self._left: deque[PreparedCall] = deque()

    def submit(self, calls: Iterable[PreparedCall]) -> Generator[Outcomes]:
        """Submit attempts, or withdraw them; yields the outcomes of each call as soon as they are known.

        The next call is prepared while others are under way, so that its scripts are written meanwhile.
        """
        try:
            for call in calls:
                yield from self._make(call)
            while self._under_way or self._left:
                yield from self._make(self._left.popleft()) if self._left else self._ended()
        finally:  # the caller has stopped; calls under way are still completed
            for under_way in self._under_way.values():
                under_way.outcomes()

    def _make(self, call: PreparedCall) -> Iterator[Outcomes]:
        """Begin a call as soon as there is room for it."""
        while len(self._under_way) >= self._room:
            yield from self._ended()
        outcomes = self._begin(call)
        if outcomes:
            yield outcomes

    def _begin(self, call: PreparedCall) -> Outcomes:
        """Begin a call; returns the outcomes that are known at once."""
        jobs = {index: one.job for index, one in call.attempts.items() if isinstance(one.job, Job)}
        known = [(one, one.job) for one in call.attempts.values() if not isinstance(one.job, Job)]
        if not jobs:
            return known
        self._done = self._done or (self._has_called and self._is_late())
        if self._done:
            return [*known, *((call.attempts[index], self._withdraw(job)) for index, job in jobs.items())]
        self._has_called = True
        begin = self._array if call.array else self._together if len(jobs) > 1 else self._job
        begun = begin(call, jobs)
        if isinstance(begun, (Submitting, SubmittingArray)):
            outcomes = begun.outcomes if isinstance(begun, SubmittingArray) else _of_one(begun, next(iter(jobs)))
            self._under_way[begun.command] = _UnderWay(call, jobs, outcomes)
            return known
        return [*known, *self._conclude(call, jobs, begun)]

    def _job(self, call: PreparedCall, jobs: Mapping[int, Job]) -> Submitting | Mapping[int, Outcome]:
        [(index, job)] = jobs.items()
        begun = self._performer.submit(self._adapter, job, call.attempts[index].step)
        return begun if isinstance(begun, Submitting) else {index: begun}

    def _array(self, call: PreparedCall, jobs: Mapping[int, Job]) -> SubmittingArray | Mapping[int, Outcome]:
        if not isinstance(self._adapter, SubmitsArrays):
            raise TypeError(f"{self._adapter.name} has no job arrays")
        steps = [call.attempts[index].step for index in jobs]
        return self._performer.submit_array(self._adapter, Array(call.array, call.title, jobs), steps)

    def _together(self, call: PreparedCall, jobs: Mapping[int, Job]) -> SubmittingArray | Mapping[int, Outcome]:
        return self._performer.submit_together(self._adapter, jobs, [call.attempts[index].step for index in jobs])

    def _ended(self) -> Iterator[Outcomes]:
        for command in wait(self._under_way):
            under_way = self._under_way.pop(command)
            yield self._conclude(under_way.call, under_way.jobs, under_way.outcomes())

    def _conclude(self, call: PreparedCall, jobs: Mapping[int, Job], outcomes: Mapping[int, Outcome]) -> Outcomes:
        self._room = self._adapter.max_concurrent_submissions
        self._left += (PreparedCall({index: call.attempts[index]}) for index in jobs if index not in outcomes)
        left = {index: self._withdraw(jobs[index]) for index, one in outcomes.items() if isinstance(one, NotAttempted)}
        outcomes = {**outcomes, **left}
        if any(isinstance(outcome, QueueFull) for outcome in outcomes.values()):
            self._done = True
            outcomes = self._refused(jobs, outcomes, len(jobs) if call.array else 1)
        for outcome in outcomes.values():
            if isinstance(outcome, InDoubt) and not self._one_at_a_time:
                self._done = True
                self.last_error = Unreachable(outcome.message) if outcome.scheduler_down else self.last_error
        return [(call.attempts[index], outcome) for index, outcome in outcomes.items()]

    def _refused(self, jobs: Mapping[int, Job], outcomes: Mapping[int, Outcome], together: int) -> dict[int, Outcome]:
        """Withdraw attempts for which there was no room. They may exist, if the command has tried again by itself.

        Only one of them keeps the message of the scheduler.
        """
        concluded: dict[int, Outcome] = {}
        for index, outcome in outcomes.items():
            concluded[index] = self._withdraw(jobs[index]) if isinstance(outcome, QueueFull) else outcome
        first = next((index for index, outcome in concluded.items() if isinstance(outcome, NotAttempted)), None)
        refusal = None if first is None else outcomes[first]
        if first is not None and isinstance(refusal, QueueFull):
            concluded[first] = structs.replace(refusal, together=together)
        return concluded

    def _withdraw(self, job: Job) -> Outcome:
        """Take the claim of an attempt that was not submitted, so that it can never start."""
        try:
            if self._performer.fence(job.workspace, job.token).state is ClaimState.ABANDONED:
                return NotAttempted()
        except OSError as error:
            return InDoubt(f"not submitted, and its claim can't be made: {error.strerror}")
        return InDoubt("not submitted, and another process holds its claim")


def _of_one(begun: Submitting, index: int) -> Callable[[], dict[int, Outcome]]:
    return lambda: {index: begun.outcome()}
