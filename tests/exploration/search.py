"""A breadth-first search through all possible worlds, with a check of each of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from maestro_es.core.model import Settings
from tests.exploration.log import Log, Violation, in_flight
from tests.exploration.poller import Pollers
from tests.exploration.world import Move, Poller, World, outside


class Exploration:
    """All worlds that can be reached from a ready step, with these numbers of pollers and attempts, and these faults.

    When one more attempt is requested, the pollers stop. The scheduler and the runners continue.
    """

    def __init__(self, pollers: int, attempts: int, faults: Iterable[str], *, descendants: bool = False) -> None:
        self._attempts = attempts
        self._log = Log(Settings(submission_attempts=2, hardware_limit=2, abandon_limit=2), descendants=descendants)
        self._pollers = Pollers(self._log)
        self._worlds: dict[World, int] = {}
        self._order: list[World] = []
        self._from = array("l")
        self._by: list[str] = []
        self._edges = array("l")  # pairs of indices: from, to
        self.ends: list[int] = []
        self._reach(World(self._log.first, pollers=(Poller(),) * pollers, faults=frozenset(faults)), -1, "")
        self._explore()

    @property
    def worlds(self) -> int:
        """How many worlds were reached."""
        return len(self._order)

    @property
    def reached(self) -> Sequence[World]:
        """The worlds, in the order in which they were reached."""
        return self._order

    @property
    def log(self) -> Log:
        """All states of the log."""
        return self._log

    def _explore(self) -> None:
        index = 0
        while index < len(self._order):
            world = self._order[index]
            bound = self._log.step(world.log).attempt > self._attempts
            if bound or self._log.is_over(world.log):
                self.ends.append(index)
            self._leave(index, world, outside(world) if bound else self._moves(world))
            index += 1

    def _leave(self, index: int, world: World, moves: Iterator[Move]) -> None:
        try:
            for what, after in moves:
                self._check(world, after)
                self._edges.extend((index, self._reach(after, index, what)))
        except Violation as violation:
            raise Violation(f"{violation}:\n" + "\n".join(self.trace(index))) from violation

    def _moves(self, world: World) -> Iterator[Move]:
        yield from self._pollers.moves(world)
        yield from outside(world)

    def _reach(self, world: World, index: int, what: str) -> int:
        number = self._worlds.setdefault(world, len(self._order))
        if number == len(self._order):
            self._order.append(world)
            self._from.append(index)
            self._by.append(what)
        return number

    def _check(self, before: World, after: World) -> None:
        """Check one move."""
        if after.attempts == before.attempts:
            return
        running = [attempt.runs for attempt in after.attempts]
        if sum(running) > 1 and not after.misled:
            raise Violation("two attempts run at once")
        record = self._log.step(after.log)
        current = record.attempt if in_flight(record) else 0
        for number, attempt in enumerate(after.attempts, 1):
            if attempt.first in _HOLDS and attempt.second in _HOLDS:
                raise Violation("a token has started twice")
            starts = attempt.claim in {"first", "second"} and before.attempt(number).claim == "none"
            if starts and number != current:
                raise Violation(f"attempt {number} starts although the log has given it up")

    def trace(self, index: int) -> list[str]:
        """Return a shortest path to a world."""
        steps = [str(self._order[index])]
        while index:
            steps.append(self._by[index])
            index = self._from[index]
        return steps[::-1]

    def stuck(self) -> list[int]:
        """Return the worlds from which no end can be reached."""
        before: list[list[int]] = [[] for _ in self._order]
        for edge in range(0, len(self._edges), 2):
            before[self._edges[edge + 1]].append(self._edges[edge])
        alive = bytearray(len(self._order))
        border = list(self.ends)
        while border:
            number = border.pop()
            if not alive[number]:
                alive[number] = 1
                border += before[number]
        return [number for number, lives in enumerate(alive) if not lives]


_HOLDS = ("claimed", "running")
