"""Models a poller in the middle of a tick, effect by effect. It mirrors `poller.tick._pass` and `poller.observe`.

The model mirrors the order of the effects, and the conditions of each. It does not mirror decisions, but calls the
real `judge`, `decide`, `outcome_events` and reducer. There is no lock, and a poller can die at any moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maestro_es.core import events as e
from maestro_es.core.model import Phase, State
from maestro_es.core.verdict import GIVES_UP, Conclusion
from tests.exploration.log import (
    Log,
    Seen,
    Violation,
    attempt_of,
    conclude,
    in_flight,
    observed,
    token,
)
from tests.exploration.sight import sight
from tests.exploration.world import (
    Move,
    Poller,
    World,
    account_answers,
    queue_answers,
    submitted,
)
from tools.testbed.attempt_truth import AttemptTruth, objection


class Pollers:
    """The possible moves of pollers on a log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next = {
            "refresh": self._refresh,
            "read claim": self._read_claim,
            "ask queue": self._ask_queue,
            "read inbox": self._read_inbox,
            "read claim again": self._read_claim_again,
            "ask accounts": self._ask_accounts,
            "judge": self._judge,
            "make claim": self._make_claim,
            "append": self._append,
            "remove": self._remove,
            "submit": self._submit,
            "record": self._record,
            "complete": self._complete,
        }

    def moves(self, world: World) -> Iterator[Move]:
        """Yield the next possible moves of the pollers, including their death."""
        for index, poller in enumerate(world.pollers):
            if index and poller == world.pollers[0]:
                continue  # both have the same moves
            for what, after, then in self._next[poller.at](world, poller):
                yield f"poller {index}: {what}", _with(after, index, then)
            if poller.at != "refresh":
                yield f"poller {index}: dies before it can {poller.at}", _with(world, index, Poller())

    # -- look -------------------------------------------------------------------------------------------------------

    def _refresh(self, world: World, _poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors the beginning of `tick` and of `_pass`."""
        if self._log.is_over(world.log):
            return
        record = self._log.step(world.log)
        at = {Phase.REQUESTED: "read claim", Phase.SUBMITTED: "ask queue"}.get(record.phase, "read inbox")
        yield "reads the log", world, Poller(at=at, log=world.log)

    def _read_claim(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        claim = world.attempt(self._attempt(poller)).claim
        yield f"reads the claim: {claim}", world, _saw(poller, "ask queue", claim=claim)

    def _ask_queue(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        for word, after in queue_answers(world, self._attempt(poller)):
            yield f"asks the queue: {word}", after, _saw(poller, "read inbox", queue=word)

    def _read_inbox(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Read the inbox, and find out whether `Observer._observe_attempt` would now read the claim."""
        then = _saw(poller, "append", reports=world.inbox)
        record = self._log.step(poller.log)
        if in_flight(record):
            reads, seen = sight(then.seen, record.attempt, record.phase, record.state, "none")
            then = then._replace(at="read claim again") if reads else then._replace(seen=seen)
            then = then if reads else then._replace(at=self._after_observation(then))
        yield f"reads the inbox: {sorted(world.inbox)}", world, then

    def _read_claim_again(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        record = self._log.step(poller.log)
        claim = world.attempt(record.attempt).claim
        _, seen = sight(poller.seen, record.attempt, record.phase, record.state, claim)
        then = poller._replace(seen=seen)
        yield f"reads the claim: {claim}", world, then._replace(at=self._after_observation(then))

    def _after_observation(self, poller: Poller) -> str:
        """Mirrors `Observer._recall`, which may query the accounting."""
        submitted_ = self._log.step(poller.log).phase is Phase.SUBMITTED
        no_word = poller.seen.queue == "gone" and not observed(poller.seen, self._attempt(poller)).end
        return "ask accounts" if submitted_ and no_word else "judge"

    def _ask_accounts(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        for word, after in account_answers(world, self._attempt(poller)):
            yield f"asks the accounts: {word}", after, _saw(poller, "judge", accounts=word)

    def _judge(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors `grace.within_grace` with any clock, and the first half of `Observer._reconcile_doubt`."""
        record = self._log.step(poller.log)
        since = record.requested_at if record.phase is Phase.REQUESTED else record.missed_at
        found = set()
        for within_grace in (True,) if since is None else (True, False):
            seen = poller.seen._replace(within_grace=within_grace)
            conclusion = conclude(seen, record.attempt)
            if conclusion in found:
                continue
            found.add(conclusion)
            ended = conclusion in GIVES_UP and not observed(seen, record.attempt).end
            at = "make claim" if conclusion is Conclusion.CLAIM or ended else "append"
            yield f"concludes: {conclusion.value}", world, poller._replace(at=at, seen=seen)

    def _make_claim(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors the second half of `Observer._reconcile_doubt`."""
        number = self._attempt(poller)
        attempt = world.attempt(number)
        if attempt.claim == "none":
            attempt = attempt._replace(claim="abandoned")
        then = poller._replace(at="append")
        if conclude(poller.seen, number) is Conclusion.CLAIM or attempt.claim != "abandoned":
            then = _saw(then, "append", claim=attempt.claim)
        yield f"tries to make the claim: {attempt.claim}", world.with_attempt(number, attempt), then

    # -- act --------------------------------------------------------------------------------------------------------

    def _append(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors `_decide` and `StudyLog.record`.

        A poller without events does not notice that others have written.
        """
        record = self._log.step(poller.log)
        seen = poller.seen if in_flight(record) else None
        decision = self._log.decide(poller.log, self._own(seen, record.attempt), self._stale_reports(poller))
        if decision.events and poller.behind:
            yield "may not append: others did", world, Poller()
            return
        then = poller._replace(at="remove", log=decision.after, submits=decision.submits)
        then = then._replace(seen=Seen(reports=self._reconciled(then)))
        if not then.seen.reports:
            then = _acted(then)
        names = ", ".join(type(event).__name__ for event in decision.events)
        after = world
        if decision.events:
            self._check(world, poller, decision.events)
            after = _appended(world, decision.after)
        yield f"appends {names or 'nothing'}", after, then

    def _own(self, seen: Seen | None, attempt: int) -> Seen | None:
        """Leave out the reports of other attempts, which are not part of the observation."""
        own = (name for name in seen.reports if attempt_of(name) == attempt) if seen else ()
        return seen._replace(reports=frozenset(own)) if seen else None

    def _stale_reports(self, poller: Poller) -> tuple[tuple[str, str], ...]:
        """Mirrors `observations.stale_reports`.

        A report with the step's last token is not stale, even after its attempt.
        """
        current = self._attempt(poller)
        names = sorted(name for name in poller.seen.reports if attempt_of(name) != current)
        return tuple((token(attempt_of(name)), name) for name in names)

    def _reconciled(self, poller: Poller) -> frozenset[str]:
        """Mirrors `_remove_reconciled`."""
        record = self._log.step(poller.log)
        current = record.attempt if in_flight(record) else 0

        def reconciled(name: str) -> bool:
            started = name.endswith(".started") and record.state is State.RUNNING
            return attempt_of(name) != current or started

        return frozenset(filter(reconciled, poller.seen.reports))

    def _remove(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Remove one report, in any order."""
        for name in sorted(poller.seen.reports):
            rest = poller.seen.reports - {name}
            then = poller._replace(seen=Seen(reports=rest))
            yield f"removes {name}", world._replace(inbox=world.inbox - {name}), then if rest else _acted(then)

    def _submit(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors `submit._submit`, and `Submitter`. If that has taken the claim, it does not call the scheduler."""
        number = self._attempt(poller)
        attempt = world.attempt(number)
        if attempt.first != "none":
            raise Violation("a token was submitted twice")
        for words, outcome, after in submitted(world, number):
            yield f"submits, and the scheduler {words}", after, poller._replace(at="record", outcome=outcome)
        if attempt.claim == "none":
            after = world.with_attempt(number, attempt._replace(claim="abandoned"))
            yield "takes the attempt back", after, poller._replace(at="record", outcome="not called")

    def _record(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors `record_outcomes`, which reads the new state and tries again until it can append."""
        after = self._log.outcome(world.log, self._attempt(poller), poller.outcome)
        known = world.log if after is None else after
        then = Poller(at="complete", log=known) if self._log.completed(known) != known else Poller()
        yield f"records the outcome: {poller.outcome}", world if after is None else _appended(world, after), then

    def _complete(self, world: World, poller: Poller) -> Iterator[tuple[str, World, Poller]]:
        """Mirrors `tick._complete`."""
        if poller.behind:
            yield "may not append: others did", world, Poller()
        else:
            yield "completes the study", _appended(world, self._log.completed(poller.log)), Poller()

    def _attempt(self, poller: Poller) -> int:
        return self._log.step(poller.log).attempt

    # -- what must hold when something is written -------------------------------------------------------------------

    def _check(self, world: World, poller: Poller, events: tuple[e.AnyEvent, ...]) -> None:
        """Check that the events to write are true."""
        number = self._attempt(poller)
        attempt = world.attempt(number)
        truth = AttemptTruth(
            runs=attempt.runs,
            exit_code=int(attempt.end) if attempt.end.isdigit() else None,
            was_killed=attempt.end == "killed",
            has_told=f"{token(number)}.exit.0" in world.inbox,
            is_fenced=attempt.claim == "abandoned",
            is_misled=world.misled,
        )
        for event in events:
            wrong = objection(event, truth)
            if wrong:
                raise Violation(wrong)


def _saw(poller: Poller, at: str, **seen: Any) -> Poller:
    return poller._replace(at=at, seen=poller.seen._replace(**seen))


def _acted(poller: Poller) -> Poller:
    """Return a poller after it has removed reports. It then submits the requested step, or its tick ends."""
    return Poller(at="submit", log=poller.log, submits=True) if poller.submits else Poller()


def _appended(world: World, log: int) -> World:
    """Return the world after an append. All pollers that have read the log before are behind."""
    pollers = (poller if poller.at == "refresh" else poller._replace(behind=True) for poller in world.pollers)
    return world._replace(log=log, pollers=tuple(pollers))


def _with(world: World, index: int, poller: Poller) -> World:
    """Return the world with the poller replaced. The order of pollers does not matter."""
    others = (*world.pollers[:index], *world.pollers[index + 1 :])
    return world._replace(pollers=tuple(sorted((*others, poller), key=hash)))
