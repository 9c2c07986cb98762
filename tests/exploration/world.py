"""The world around the log: claims, the inbox, a scheduler with errors, and runners, with all their possible moves.

A token's job may be started twice, when the scheduler requeues it. Each start is a runner (`adapters/runner.sh`)::

    sent -> queued -> starting -> claimed -> running -> well | badly
                              `-> refused (another holds the claim)

From `starting` on, a runner can be killed. A `lost` job has ended, and the scheduler does not know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from maestro_es.core.model import JobState
from tests.exploration.log import Seen, token

#: The faults that may happen once in a world. The outcome of calling the scheduler may always be in doubt.
FAULTS = frozenset({"lose", "requeue", "silence", "lie", "kill"})

#: The correct answer of the scheduler about each state of a start.
WORDS = {
    "none": JobState.GONE,
    "sent": JobState.GONE,
    "queued": JobState.PENDING,
    "starting": JobState.RUNNING,
    "claimed": JobState.RUNNING,
    "running": JobState.RUNNING,
    "well": JobState.FINISHED,
    "badly": JobState.FAILED,
    "refused": JobState.FAILED,
    "killed": JobState.FAILED,
    "node failed": JobState.NODE_FAILED,
    "lost": JobState.GONE,
}
_ALIVE = ("starting", "claimed", "running")
_OVER = ("well", "badly", "refused", "killed", "node failed")
_HOLDS = ("claimed", "running")


class Attempt(NamedTuple):
    """One token: the owner of its claim, its two possible starts, and the end of its step (0, 1 or killed)."""

    claim: str = "none"
    first: str = "none"
    second: str = "none"
    end: str = ""

    def become(self, place: str, state: str) -> Attempt:
        """Return the attempt with its first or second start in another state."""
        return self._replace(first=state) if place == "first" else self._replace(second=state)

    @property
    def latest(self) -> str:
        """The start that the scheduler reports."""
        return self.first if self.second == "none" else self.second

    @property
    def runs(self) -> bool:
        """Whether its step runs or is about to run."""
        return self.first in _HOLDS or self.second in _HOLDS


class Poller(NamedTuple):
    """A process in the middle of a tick: its next move, the state of the log that it has read, and its observations.

    If `behind`, another process has appended since it read the log.
    """

    at: str = "refresh"
    log: int = -1
    behind: bool = False
    seen: Seen = Seen()
    outcome: str = ""
    submits: bool = False


class World(NamedTuple):
    """The complete state. `misled` is set after the scheduler has reported a living job as gone, or treated it so."""

    log: int
    attempts: tuple[Attempt, ...] = ()
    inbox: frozenset[str] = frozenset()
    pollers: tuple[Poller, ...] = (Poller(), Poller())
    faults: frozenset[str] = FAULTS
    misled: bool = False

    def attempt(self, number: int) -> Attempt:
        """Return an attempt. If it was never submitted, it has no job."""
        return self.attempts[number - 1] if 1 <= number <= len(self.attempts) else Attempt()

    def with_attempt(self, number: int, attempt: Attempt) -> World:
        """Return the world with this attempt replaced."""
        known = [self.attempt(one) for one in range(1, max(number, len(self.attempts)) + 1)]
        known[number - 1] = attempt
        return self._replace(attempts=tuple(known))

    def spend(self, fault: str) -> World:
        """Return the world in which this fault can't happen again."""
        return self._replace(faults=self.faults - {fault})


#: A move: its description, and the world after it.
Move = tuple[str, World]


def outside(world: World) -> Iterator[Move]:
    """Yield the next possible moves of the scheduler and the runners."""
    for number, attempt in enumerate(world.attempts, 1):
        for place, start in (("first", attempt.first), ("second", attempt.second)):
            if start not in {"none", "lost"}:
                for what, after in _runner(world, number, place, start):
                    yield f"{place} start of attempt {number}: {what}", after
        for what, after in _scheduler(world, number, attempt):
            yield f"scheduler, attempt {number}: {what}", after


def _runner(world: World, number: int, place: str, start: str) -> Iterator[Move]:
    """Yield the next moves of a runner, as in `runner.sh`, and its death."""
    yield from _runs(world, number, place, start)
    if start in _ALIVE and "kill" in world.faults:
        attempt = world.attempt(number)
        killed = attempt._replace(end="killed") if start in _HOLDS else attempt
        yield "is killed", world.with_attempt(number, killed.become(place, "killed")).spend("kill")
        yield "its node fails", world.with_attempt(number, attempt.become(place, "node failed")).spend("kill")


def _runs(world: World, number: int, place: str, start: str) -> Iterator[Move]:
    attempt = world.attempt(number)

    def become(state: str, known: Attempt = attempt) -> World:
        return world.with_attempt(number, known.become(place, state))

    def report(state: str, word: str, known: Attempt = attempt) -> World:
        return become(state, known)._replace(inbox=world.inbox | {f"{token(number)}.{word}"})

    match start:
        case "queued":
            yield "begins", become("starting")
        case "starting" if attempt.claim == "none":
            yield "makes the claim", become("claimed", attempt._replace(claim=place))
        case "starting":
            yield "is refused", report("refused", "refused.7")
        case "claimed":
            yield "runs the step", report("running", "started")
        case "running":
            yield "exits 0", report("well", "exit.0", attempt._replace(end="0"))
            yield "exits 1", report("badly", "exit.1", attempt._replace(end="1"))
        case _:
            pass


def _scheduler(world: World, number: int, attempt: Attempt) -> Iterator[Move]:
    """Yield the moves of the scheduler with the job of an attempt."""
    place = "first" if attempt.second == "none" else "second"

    def latest(state: str) -> World:
        return world.with_attempt(number, attempt.become(place, state))

    if attempt.latest == "sent":
        yield "the job arrives late", latest("queued")
    if attempt.latest == "queued" and "lose" in world.faults:
        yield "loses the job", latest("lost").spend("lose")
    if attempt.latest in _OVER:
        yield "forgets the job", latest("lost")
    if attempt.second == "none" and attempt.first in _ALIVE + _OVER and "requeue" in world.faults:
        again = world.with_attempt(number, attempt._replace(second="queued")).spend("requeue")
        yield "starts the job again", again._replace(misled=world.misled or attempt.first in _ALIVE)


def submitted(world: World, number: int) -> Iterator[tuple[str, str, World]]:
    """Yield the possible results of calling the scheduler: a description, the outcome, and the world after it."""
    attempt = world.attempt(number)
    queued = world.with_attempt(number, attempt._replace(first="queued"))
    yield "accepts", "accepted", queued
    yield "accepts and does not answer", "in doubt", queued
    yield (
        "accepts, will deliver late, and does not answer",
        "in doubt",
        world.with_attempt(number, attempt._replace(first="sent")),
    )
    yield "does not hear", "in doubt", world.with_attempt(number, attempt)
    yield "refuses", "refused", world.with_attempt(number, attempt)


def queue_answers(world: World, number: int) -> Iterator[tuple[str, World]]:
    """Yield the possible answers of the queue about an attempt."""
    latest = world.attempt(number).latest
    yield WORDS[latest].value, world
    if "silence" in world.faults:
        yield "unreachable", world.spend("silence")
    if "lie" in world.faults and latest in ("queued", *_ALIVE):
        yield JobState.GONE.value, world.spend("lie")._replace(misled=True)


def account_answers(world: World, number: int) -> Iterator[tuple[str, World]]:
    """Yield the possible answers of the accounting. It may lag, may list lost jobs, and may be missing."""
    yield JobState.GONE.value, world
    word = WORDS[world.attempt(number).latest]
    if word is not JobState.GONE:
        yield word.value, world
    elif world.attempt(number).latest == "lost":
        yield JobState.PENDING.value, world
    if "silence" in world.faults:
        yield "unreachable", world.spend("silence")
