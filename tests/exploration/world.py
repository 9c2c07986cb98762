"""The world around the log: claims, the inbox, a scheduler that errs, and runners; and every step that they can make.

A token's job may be started twice, when the scheduler requeues it. Each start is a runner (`adapters/runner.sh`)::

    sent -> queued -> starting -> claimed -> running -> well | badly
                              `-> refused (another holds the claim)

From `starting` on it can be killed. `lost` is a job that the scheduler does not know (any more) and that is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from maestro_es.core.model import JobState
from tests.exploration.log import Seen, token

#: What may go wrong once in a life. What a call of the scheduler comes to is not among it: it may always be in doubt.
FAULTS = frozenset({"lose", "requeue", "silence", "lie", "kill"})

#: What the scheduler says of a start, if it says the truth.
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
    """One token: who holds its claim, its two possible starts, and how its step has ended: 0, 1 or killed."""

    claim: str = "none"
    first: str = "none"
    second: str = "none"
    end: str = ""

    def become(self, place: str, state: str) -> Attempt:
        """Return the attempt with its first or second start in that state."""
        return self._replace(first=state) if place == "first" else self._replace(second=state)

    @property
    def latest(self) -> str:
        """The start that the scheduler speaks of."""
        return self.first if self.second == "none" else self.second

    @property
    def runs(self) -> bool:
        """Whether its step runs or is about to."""
        return self.first in _HOLDS or self.second in _HOLDS


class Poller(NamedTuple):
    """A process in the middle of a tick: what it does next, the log as it knows it, and what it has seen.

    `behind` says that somebody has appended since it read the log.
    """

    at: str = "refresh"
    log: int = -1
    behind: bool = False
    seen: Seen = Seen()
    outcome: str = ""
    submits: bool = False


class World(NamedTuple):
    """Everything. `misled` is set once the scheduler has said, or acted as if, a living job was gone."""

    log: int
    attempts: tuple[Attempt, ...] = ()
    inbox: frozenset[str] = frozenset()
    pollers: tuple[Poller, ...] = (Poller(), Poller())
    faults: frozenset[str] = FAULTS
    misled: bool = False

    def attempt(self, number: int) -> Attempt:
        """Return an attempt; one that the scheduler was never told of has no job."""
        return self.attempts[number - 1] if 1 <= number <= len(self.attempts) else Attempt()

    def with_attempt(self, number: int, attempt: Attempt) -> World:
        """Return the world with that attempt."""
        known = [self.attempt(one) for one in range(1, max(number, len(self.attempts)) + 1)]
        known[number - 1] = attempt
        return self._replace(attempts=tuple(known))

    def spend(self, fault: str) -> World:
        """Return the world in which that fault can't happen again."""
        return self._replace(faults=self.faults - {fault})


#: A step of the world: what happens, and the world after it.
Move = tuple[str, World]


def outside(world: World) -> Iterator[Move]:
    """Yield what schedulers and runners may do next."""
    for number, attempt in enumerate(world.attempts, 1):
        for place, start in (("first", attempt.first), ("second", attempt.second)):
            if start not in {"none", "lost"}:
                for what, after in _runner(world, number, place, start):
                    yield f"{place} start of attempt {number}: {what}", after
        for what, after in _scheduler(world, number, attempt):
            yield f"scheduler, attempt {number}: {what}", after


def _runner(world: World, number: int, place: str, start: str) -> Iterator[Move]:
    """Yield the next steps of a runner, as `runner.sh` makes them, and its death."""
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
    """Yield what the scheduler may do by itself with the job of an attempt."""
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
    """Yield what a call of the scheduler may come to: words, the outcome, and the world after it."""
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
    """Yield what the queue may say of an attempt."""
    latest = world.attempt(number).latest
    yield WORDS[latest].value, world
    if "silence" in world.faults:
        yield "unreachable", world.spend("silence")
    if "lie" in world.faults and latest in ("queued", *_ALIVE):
        yield JobState.GONE.value, world.spend("lie")._replace(misled=True)


def account_answers(world: World, number: int) -> Iterator[tuple[str, World]]:
    """Yield what the accounts may say of an attempt: they lag, list what was lost, and not every site has them."""
    yield JobState.GONE.value, world
    word = WORDS[world.attempt(number).latest]
    if word is not JobState.GONE:
        yield word.value, world
    elif world.attempt(number).latest == "lost":
        yield JobState.PENDING.value, world
    if "silence" in world.faults:
        yield "unreachable", world.spend("silence")
