"""Everything that can happen to two steps that are submitted as one job array; none of it breaks the protocol.

`test_submission` explores one step in every detail. Here a poller looks at both steps at one moment. The rest is new:
one call for two attempts, which is accepted, refused or in doubt as a whole; no room for it, so that claims are made
one after the other while runners start; a poller that dies between any two of these; an array that is lost, of which
one element vanishes, or that starts a second time. `decide`, `judge`, `outcome_events` and the reducer are real.

The properties are those of `test_submission`. The numbers of worlds are a fingerprint of protocol and model, too.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

from maestro_es.core import events as e
from maestro_es.core.arrays import Arrays
from maestro_es.core.attempt_token import element_of
from maestro_es.core.decide import complete, decide, submissions
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import ArrayUse, Cause, Phase, Settings, StepRecord, StudyStatus
from maestro_es.core.observations import Observations
from maestro_es.core.reducer import apply
from maestro_es.core.step_keys import Need
from maestro_es.core.submission import InDoubt, NotAttempted, Outcome, QueueFull, outcome_events
from maestro_es.core.verdict import GIVES_UP, Conclusion
from maestro_es.errors import InvalidTransition
from tests.exploration.log import (
    OUTCOMES,
    SCHEDULER,
    Seen,
    Violation,
    attempt_of,
    conclude,
    in_flight,
    observed,
    token,
)
from tests.exploration.sight import sight
from tests.exploration.world import Attempt, Move, World, account_answers, outside, queue_answers

STEPS = (1, 2)
_HOLDS = ("claimed", "running")
_BLAMES = (Cause.EXIT_CODE, Cause.SCHEDULER)
_OUTCOMES: dict[str, Outcome] = {
    **OUTCOMES,
    "full": QueueFull("no room", together=2),
    "withdrawn": NotAttempted(),
    "held": InDoubt("another process holds its claim"),
}


class ArrayPoller(NamedTuple):
    """A process in the middle of a tick: what it does next, what it knows, and which claims it still has to make."""

    at: str = "look"
    log: int = -1
    behind: bool = False
    seen: tuple[Seen | None, ...] = (None, None)
    todo: tuple[int, ...] = ()
    outcomes: tuple[str, ...] = ("", "")


class Graphs:
    """The states of the log of two steps, by number."""

    def __init__(self) -> None:
        settings = Settings(array=ArrayUse.ALWAYS, submission_attempts=1, hardware_limit=1, abandon_limit=1)
        self.graphs: list[MemoryGraph] = []
        self._numbers: dict[bytes, int] = {}
        graph = MemoryGraph()
        added = [(n, e.StepAdded(name=f"s{n}", template="s", workspace=f"s{n}", scheduled=True)) for n in STEPS]
        _apply(graph, [
            (None, e.StudyCreated(study_id="feed", root="/study", adapter={"type": "slurm"}, settings=settings)),
            (None, e.StepTemplateAdded(name="s", description="", run={"cmd": "true"})),
            *added,
        ])  # fmt: skip
        self.first = self.number(graph)
        self.decide = cache(self._decide)

    def number(self, graph: MemoryGraph) -> int:
        told = [msgspec.structs.replace(graph.step(n), message="") for n in STEPS]
        key = msgspec.msgpack.encode((told, graph.study))
        if key not in self._numbers:
            self._numbers[key] = len(self.graphs)
            self.graphs.append(graph)
        return self._numbers[key]

    def steps(self, number: int) -> list[StepRecord]:
        return [self.graphs[number].step(n) for n in STEPS]

    def is_over(self, number: int) -> bool:
        return self.graphs[number].study.status is not StudyStatus.RUNNING

    def is_bound(self, number: int) -> bool:
        """Whether a second attempt is requested: from there on, `test_submission` has explored it."""
        return any(step.attempt > 1 for step in self.steps(number))

    def after(self, number: int, new_events: Iterable[NewEvent]) -> int:
        graph = copy.deepcopy(self.graphs[number])
        _apply(graph, new_events)
        return self.number(graph)

    def _decide(self, number: int, seen: tuple[Seen | None, ...]) -> tuple[tuple[NewEvent, ...], int, tuple[int, ...]]:
        graph = copy.deepcopy(self.graphs[number])
        attempts = {graph.step(n).token: observed(_own(one, n), n) for n, one in zip(STEPS, seen, strict=True) if one}
        down = any(one and one.queue == "unreachable" for one in seen)
        observations = Observations(
            now=0, host="here", boot_id="boot", token_suffix="salt", size=Need(1), attempts=attempts,
            scheduler_down=down,
            unreachable={SCHEDULER: "no answer"} if down else {},
            answered=frozenset() if down else frozenset([SCHEDULER]),
        )  # fmt: skip
        new_events: list[NewEvent] = []

        def record(more: Iterable[NewEvent]) -> None:
            drawn = list(more)
            new_events.extend(drawn)
            _apply(graph, drawn)

        decide(graph, observations, record, lambda: Arrays(lambda _: "equal", lambda: 2))
        return tuple(new_events), self.number(graph) if new_events else number, tuple(submissions(new_events))


def _own(seen: Seen, number: int) -> Seen:
    return seen._replace(reports=frozenset(name for name in seen.reports if attempt_of(name) == number))


def _apply(graph: MemoryGraph, new_events: Iterable[NewEvent]) -> None:
    try:
        for step, event in new_events:
            apply(graph, e.Recorded(seq=0, recorded_at=0, invocation=1, step=step, event=event))
    except InvalidTransition as error:
        raise Violation(f"the reducer refuses what was decided: {error}") from error


class ArrayPollers:
    """What pollers may do next. An attempt of the world is the first attempt of the step with its number."""

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs

    def moves(self, world: World) -> Iterator[Move]:
        for index, poller in enumerate(_pollers(world)):
            for what, after, then in getattr(self, f"_{poller.at}")(world, poller):
                yield f"poller {index}: {what}", _with(after, index, then)
            if poller.at != "look":
                yield f"poller {index}: dies before it can {poller.at}", _with(world, index, ArrayPoller())

    def _look(self, world: World, _poller: ArrayPoller) -> Iterator[tuple[str, World, ArrayPoller]]:
        """See both steps at one moment, with every answer that a scheduler may give."""
        if self._graphs.is_over(world.log) or self._graphs.is_bound(world.log):
            return
        looks: list[tuple[World, tuple[Seen | None, ...]]] = [(world, ())]
        for number, step in zip(STEPS, self._graphs.steps(world.log), strict=True):
            looks = [(after, (*seen, one)) for before, seen in looks for after, one in _looks(before, number, step)]
        for after, seen in dict.fromkeys(looks):
            todo = tuple(n for n, one in zip(STEPS, seen, strict=True) if one and _needs_claim(one, n))
            yield f"looks: {seen}", after, ArrayPoller("fence" if todo else "append", world.log, seen=seen, todo=todo)

    def _fence(self, world: World, poller: ArrayPoller) -> Iterator[tuple[str, World, ArrayPoller]]:
        """Make the claim of the next attempt that would be given up."""
        number, *rest = poller.todo
        after, claim = _claim(world, number)
        seen = [*poller.seen]
        one = seen[number - 1]
        if one and (conclude(one, number) is Conclusion.CLAIM or claim != "abandoned"):
            seen[number - 1] = one._replace(claim=claim)
        at = "fence" if rest else "append"
        yield f"makes claim {number}: {claim}", after, poller._replace(at=at, seen=tuple(seen), todo=tuple(rest))

    def _append(self, world: World, poller: ArrayPoller) -> Iterator[tuple[str, World, ArrayPoller]]:
        new_events, number, requested = self._graphs.decide(poller.log, poller.seen)
        if new_events and poller.behind:
            yield "may not append: others did", world, ArrayPoller()
            return
        after = world
        if new_events:
            for step, event in new_events:
                _check(world, step, event)
            after = _appended(world, number)
        submits = bool(requested) and not self._graphs.is_bound(number)
        elements = [element_of(step.token) for step in self._graphs.steps(number) if step.number in requested]
        if submits and len({element and element[0] for element in elements}) != 1:
            raise Violation("equal steps are not requested as one array")
        then = ArrayPoller("submit", number, todo=requested) if submits else ArrayPoller()
        yield f"appends {[type(event).__name__ for _, event in new_events]}", after, then

    def _submit(self, world: World, poller: ArrayPoller) -> Iterator[tuple[str, World, ArrayPoller]]:
        """Call the scheduler once for all attempts; it takes all of them or none."""
        mine = [n for n in poller.todo if self._is_requested(world, poller, n)]
        if not mine:
            yield "submits nothing: others have reconciled it", world, ArrayPoller()
            return
        if any(world.attempt(n).first != "none" for n in mine):
            raise Violation("a token was submitted twice")
        queued, late = (_all(world, mine, state) for state in ("queued", "sent"))
        for words, outcome, after in (
            ("accepts", "accepted", queued),
            ("accepts and does not answer", "in doubt", queued),
            ("accepts, will deliver late, and does not answer", "in doubt", late),
            ("does not hear", "in doubt", world),
            ("refuses", "refused", world),
        ):
            outcomes = tuple(outcome if n in mine else "" for n in STEPS)
            yield f"submits, and the scheduler {words}", after, poller._replace(at="record", outcomes=outcomes)
        for words, after in (("has no room", world), ("has no room, and accepts after all", queued)):
            then = poller._replace(at="withdraw", todo=tuple(mine))
            yield f"submits, and the scheduler {words}", after, then

    def _withdraw(self, world: World, poller: ArrayPoller) -> Iterator[tuple[str, World, ArrayPoller]]:
        """Mirrors `Submitter._refused`: make one claim after the other."""
        number, *rest = poller.todo
        after, claim = _claim(world, number)
        taken = claim == "abandoned"
        first = taken and "full" not in poller.outcomes
        word = "full" if first else "withdrawn" if taken else "held"
        outcomes = tuple(word if n == number else known for n, known in zip(STEPS, poller.outcomes, strict=True))
        then = poller._replace(at="withdraw" if rest else "record", todo=tuple(rest), outcomes=outcomes)
        yield f"withdraws {number}: {word}", after, then

    def _record(self, world: World, poller: ArrayPoller) -> Iterator[tuple[str, World, ArrayPoller]]:
        """Mirrors `record_outcomes`: the outcomes of an array are one transaction, tried until it succeeds."""
        graph = self._graphs.graphs[world.log]
        known = self._graphs.graphs[poller.log]
        new_events: list[NewEvent] = []
        for number, word in zip(STEPS, poller.outcomes, strict=True):
            if word:
                token = known.step(number).token
                events = outcome_events(graph, number, token, _OUTCOMES[word], 0)
                new_events += [(number, event) for event in events]
        number = self._graphs.after(world.log, new_events) if new_events else world.log
        done = complete(self._graphs.graphs[number])
        number = self._graphs.after(number, done) if done else number
        yield f"records {poller.outcomes}", _appended(world, number) if new_events else world, ArrayPoller()

    def _is_requested(self, world: World, poller: ArrayPoller, number: int) -> bool:
        """Mirrors `submit._calls`, which reads the log that the poller knows; the truth may be newer."""
        step = self._graphs.graphs[poller.log].step(number)
        return step.phase is Phase.REQUESTED


def _looks(world: World, number: int, step: StepRecord) -> Iterator[tuple[World, Seen | None]]:
    """Yield what may be seen of one step, as `Observer` sees it, within and after the grace time."""
    if not in_flight(step):
        yield world, None
        return
    claim = world.attempt(number).claim
    inbox = frozenset(name for name in world.inbox if attempt_of(name) == number)
    for word, after in queue_answers(world, number):
        known = claim if step.phase is Phase.REQUESTED else "not read"
        _, seen = sight(Seen(known, word, inbox), number, step.phase, step.state, claim)
        asks = step.phase is Phase.SUBMITTED and word == "gone" and not observed(seen, number).end
        answers = account_answers(after, number) if asks else [("not asked", after)]
        since = step.requested_at if step.phase is Phase.REQUESTED else step.missed_at
        for accounts, later in answers:
            for grace in (True,) if since is None else (True, False):
                yield later, seen._replace(accounts=accounts, within_grace=grace)


def _needs_claim(seen: Seen, number: int) -> bool:
    """Mirrors the first half of `Observer._reconcile_doubt`."""
    conclusion = conclude(seen, number)
    return conclusion is Conclusion.CLAIM or (conclusion in GIVES_UP and not observed(seen, number).end)


def _claim(world: World, number: int) -> tuple[World, str]:
    attempt = world.attempt(number)
    if attempt.claim == "none":
        return world.with_attempt(number, attempt._replace(claim="abandoned")), "abandoned"
    return world, attempt.claim


def _all(world: World, numbers: Iterable[int], state: str) -> World:
    for number in numbers:
        world = world.with_attempt(number, world.attempt(number)._replace(first=state))
    return world


def _check(world: World, step: int | None, event: e.AnyEvent) -> None:
    """See whether what is about to be written is true."""
    if not step:
        return
    attempt = world.attempt(step)
    if isinstance(event, e.StepFinished) and attempt.end != "0":
        raise Violation("finished, and the step has not exited 0")
    if isinstance(event, e.AttemptAbandoned) and attempt.claim != "abandoned":
        raise Violation("abandoned, and the claim is not ours")
    blamed = isinstance(event, e.StepFailed) and event.cause in _BLAMES
    if world.misled or not (blamed or isinstance(event, (e.HardwareFailed, e.StepCancelled))):
        return
    if attempt.runs:
        raise Violation("given up while the step runs")
    if blamed and attempt.end not in {"1", "killed"}:
        raise Violation("blamed on the step, which has neither exited 1 nor was killed")


def _pollers(world: World) -> tuple[ArrayPoller, ...]:
    found: Any = world.pollers
    return found  # type: ignore[no-any-return]


def _appended(world: World, log: int) -> World:
    pollers: Any = tuple(one if one.at == "look" else one._replace(behind=True) for one in _pollers(world))
    return world._replace(log=log, pollers=pollers)


def _with(world: World, index: int, poller: ArrayPoller) -> World:
    others = [*_pollers(world)]
    others[index] = poller
    pollers: Any = tuple(sorted(others, key=hash))
    return world._replace(pollers=pollers)


def elsewhere(world: World) -> Iterator[Move]:
    """Yield what schedulers and runners may do: as for single jobs, and with the array as a whole."""
    yield from outside(world)
    if "lose" in world.faults and all(attempt.latest == "queued" for attempt in world.attempts) and world.attempts:
        lost = world
        for number, attempt in enumerate(world.attempts, 1):
            lost = lost.with_attempt(number, attempt._replace(first="lost"))
        yield "scheduler: loses the whole array", lost.spend("lose")


def at_once(world: World) -> Iterator[Move]:
    """Yield what schedulers and runners may do if a job arrives, runs and ends at one moment."""
    if all(attempt.first == "sent" for attempt in world.attempts):
        yield "scheduler: the array arrives late", _all(world, STEPS, "queued")
    for number, attempt in enumerate(world.attempts, 1):
        if attempt.first == "queued" and attempt.claim == "none":
            ended = world.with_attempt(number, attempt._replace(claim="first", first="well", end="0"))
            yield f"element {number} runs", ended._replace(inbox=world.inbox | {f"{token(number)}.exit.0"})
        elif attempt.first == "queued":
            yield f"element {number} is refused", world.with_attempt(number, attempt._replace(first="refused"))
        elif attempt.first in {"well", "refused"}:
            yield f"element {number} is forgotten", world.with_attempt(number, attempt._replace(first="lost"))


class Explored:
    """All worlds that can be reached from two ready steps. With two pollers, jobs run and end at one moment."""

    def __init__(self, pollers: int, faults: frozenset[str]) -> None:
        self.graphs = Graphs()
        self._elsewhere = elsewhere if pollers == 1 else at_once
        self._moves = ArrayPollers(self.graphs)
        start: Any = World(self.graphs.first, (Attempt(), Attempt()), pollers=(), faults=faults)
        start = start._replace(pollers=(ArrayPoller(),) * pollers)
        self._worlds: dict[World, int] = {start: 0}
        self._order: list[World] = [start]
        self._from: list[tuple[int, str]] = [(-1, "")]
        self._before: list[list[int]] = [[]]
        self.ends: list[int] = []
        self._explore()

    @property
    def worlds(self) -> int:
        return len(self._order)

    def _explore(self) -> None:
        index = 0
        while index < len(self._order):
            world = self._order[index]
            bound = self.graphs.is_bound(world.log)
            if bound or self.graphs.is_over(world.log):
                self.ends.append(index)
            try:
                for what, after in (*(() if bound else self._moves.moves(world)), *self._elsewhere(world)):
                    self._see(world, after)
                    self._reach(after, index, what)
            except Violation as violation:
                raise Violation(f"{violation}:\n" + "\n".join(self.trace(index))) from violation
            index += 1

    def _reach(self, world: World, index: int, what: str) -> None:
        number = self._worlds.setdefault(world, len(self._order))
        if number == len(self._order):
            self._order.append(world)
            self._from.append((index, what))
            self._before.append([])
        self._before[number].append(index)

    def _see(self, before: World, after: World) -> None:
        """Check a step of the world."""
        for number, attempt in enumerate(after.attempts, 1):
            if attempt.first in _HOLDS and attempt.second in _HOLDS:
                raise Violation("a token has started twice")
            starts = attempt.claim in {"first", "second"} and before.attempt(number).claim == "none"
            step = self.graphs.graphs[after.log].step(number)
            if starts and not (in_flight(step) and step.attempt == 1):
                raise Violation(f"the attempt of step {number} starts although the log has given it up")

    def trace(self, index: int) -> list[str]:
        steps = [str(self._order[index])]
        while index > 0:
            index, what = self._from[index]
            steps.append(what)
        return steps[::-1]

    def stuck(self) -> list[int]:
        alive = bytearray(len(self._order))
        border = list(self.ends)
        while border:
            number = border.pop()
            if not alive[number]:
                alive[number] = 1
                border += self._before[number]
        return [number for number, lives in enumerate(alive) if not lives]


class Case(NamedTuple):
    pollers: int
    faults: frozenset[str]
    worlds: int | None = None

    def __str__(self) -> str:
        return f"{self.pollers}-{'+'.join(sorted(self.faults)) or 'none'}"


CASES = [
    Case(1, frozenset(), 40561),
    Case(1, frozenset({"lose"}), 48945),
    Case(1, frozenset({"kill"}), 219503),
    Case(2, frozenset(), 73544),
]

#: Minutes.
LARGE = [Case(1, frozenset({"requeue"}), 744364)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_that_can_happen_to_an_array_breaks_the_protocol(case):
    _explore(case)


@pytest.mark.skipif(os.environ.get("MAESTRO_ES_EXPLORE") != "all", reason="large: for MAESTRO_ES_EXPLORE=all")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_nothing_that_can_happen_to_an_array_that_is_requeued_breaks_the_protocol(case):
    _explore(case)


def _explore(case: Case) -> None:
    explored = Explored(case.pollers, case.faults)
    for world in explored.stuck()[:1]:
        pytest.fail("no way to the end:\n" + "\n".join(explored.trace(world)))
    assert explored.ends
    assert case.worlds in (None, explored.worlds), explored.worlds
