"""The log of the explored study. It numbers all possible states, which the real reducer computes.

Each append is applied to a copy once and cached, so the search computes each new event only once. All events happen at
time 0. The explorer chooses everything that depends on time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from maestro_es.core import events as e
from maestro_es.core.cascade import Part, ended_badly, fail_descendants
from maestro_es.core.decide import complete, decide, submissions
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import JobState, Phase, Settings, State, StepRecord, StudyStatus
from maestro_es.core.observations import Answer, AttemptObservation, Claim, ClaimState, NoAnswer, Observations
from maestro_es.core.reducer import apply
from maestro_es.core.step_keys import Need
from maestro_es.core.submission import Accepted, InDoubt, NotAttempted, Outcome, Rejected, outcome_events
from maestro_es.core.verdict import Conclusion, judge
from maestro_es.errors import InvalidTransition
from maestro_es.study.reports import parse_report

STEP = 1
SCHEDULER = "scheduler"

#: The possible contents of a claim: no owner, a tick, or the index of one of the token's starts.
CLAIMS = {
    "not read": Claim(),
    "none": Claim(ClaimState.NONE),
    "abandoned": Claim(ClaimState.ABANDONED),
    "first": Claim(ClaimState.JOB, "7", "node", "boot"),
    "second": Claim(ClaimState.JOB, "7", "node", "boot"),
}

#: The possible outcomes of calling the scheduler, and the case that it was not called.
OUTCOMES: dict[str, Outcome] = {
    "accepted": Accepted("7"),
    "refused": Rejected("invalid partition", 1),
    "in doubt": InDoubt("no answer"),
    "not called": NotAttempted(),
}


class Violation(AssertionError):
    """A property does not hold."""


class Seen(NamedTuple):
    """The observations of a poller about the current attempt, as words.

    They are converted to an `AttemptObservation`.
    """

    claim: str = "not read"
    queue: str = "not asked"
    reports: frozenset[str] = frozenset()
    accounts: str = "not asked"
    within_grace: bool = False
    start_recorded: bool = False


class Decision(NamedTuple):
    """The result of `decide` for a state: the events, the next state, and whether a submission is requested."""

    events: tuple[e.AnyEvent, ...]
    after: int
    submits: bool


def token(attempt: int) -> str:
    """Return the token of an attempt, in the form of the rules."""
    return f"feed-{STEP}-{attempt}-salt"


def attempt_of(report: str) -> int:
    """Return the attempt of a report in the inbox."""
    return int(report.split("-")[2])


@cache
def observed(seen: Seen, attempt: int) -> AttemptObservation:
    """Return a poller's observation of an attempt, without the reports of other attempts."""
    own = sorted(name for name in seen.reports if attempt_of(name) == attempt)
    queue, accounts = _answer(seen.queue), _answer(seen.accounts)
    known = queue if isinstance(queue, JobState) and queue is not JobState.GONE else None
    return AttemptObservation(
        claim=CLAIMS[seen.claim],
        reports=tuple(report for report in (parse_report(name, 0) for name in own) if report),
        queue=queue,
        accounting=accounts,
        job_id="7" if known else "",
        within_grace=seen.within_grace,
        start_recorded=seen.start_recorded,
    )


def _answer(word: str) -> Answer:
    return NoAnswer(word) if word in {"not asked", "unreachable"} else JobState(word)


@cache
def conclude(seen: Seen, attempt: int) -> Conclusion:
    """Return the verdict of the rules on an observation."""
    return judge(observed(seen, attempt)).conclusion


#: The steps that depend on the explored one, and the steps for which each of them waits.
DESCENDANTS = {2: (1,), 3: (2,), 4: (1, 3)}


class Log:
    """All states of the log that were reached. In the state `first`, the step may be submitted.

    Other steps may depend on the step. They are not explored, and the study counts as ended when the step has
    finished.
    """

    def __init__(self, settings: Settings, *, descendants: bool = False) -> None:
        self._graphs: list[MemoryGraph] = []
        self._histories: list[tuple[NewEvent, ...]] = []
        self._numbers: dict[bytes, int] = {}
        self._decisions: dict[tuple[int, Seen | None, tuple[tuple[str, str], ...]], Decision] = {}
        self._outcomes: dict[tuple[int, int, str], int | None] = {}
        added = e.StepAdded(name="step", template="step", workspace="step", scheduled=True)
        self.first = self._fold(MemoryGraph(), (), [
            (None, e.StudyCreated(study_id="feed", root="/study", adapter={"type": "slurm"}, settings=settings)),
            (None, e.StepTemplateAdded(name="step", description="", run={"cmd": "true"})),
            (STEP, added),
            *(
                (number, e.StepAdded(name=f"s{number}", template="step", workspace=f"s{number}", parents=parents))
                for number, parents in (DESCENDANTS if descendants else {}).items()
            ),
        ])  # fmt: skip

    def step(self, number: int) -> StepRecord:
        """Return the step as it is in that state."""
        return self._graphs[number].step(STEP)

    def history(self, number: int) -> tuple[NewEvent, ...]:
        """Return events that lead to that state."""
        return self._histories[number]

    def is_over(self, number: int) -> bool:
        """Whether the study is completed in that state."""
        graph = self._graphs[number]
        finished = graph.study.steps > 1 and graph.step(STEP).state is State.FINISHED
        return finished or graph.study.status is not StudyStatus.RUNNING

    def decide(self, number: int, seen: Seen | None, stale_reports: tuple[tuple[str, str], ...]) -> Decision:
        """Return the decision of a tick in that state. `seen` is None if no attempt is in flight."""
        key = (number, seen, stale_reports)
        if key not in self._decisions:
            self._decisions[key] = self._decide(number, seen, stale_reports)
        return self._decisions[key]

    def _decide(self, number: int, seen: Seen | None, stale_reports: tuple[tuple[str, str], ...]) -> Decision:
        graph = copy.deepcopy(self._graphs[number])
        record = graph.step(STEP)
        scheduler_down = seen is not None and "unreachable" in (seen.queue, seen.accounts)
        observations = Observations(
            now=0, host="here", boot_id="boot", token_suffix="salt", size=Need(1),
            attempts={record.token: observed(seen, record.attempt)} if seen else {},
            stale_reports=stale_reports,
            unreachable={SCHEDULER: "no answer"} if scheduler_down else {},
            scheduler_down=seen is not None and seen.queue == "unreachable",
            answered=frozenset([SCHEDULER] if seen and not scheduler_down else []),
        )  # fmt: skip
        new_events: list[NewEvent] = []

        def record_new_events(more: Iterable[NewEvent]) -> None:
            drawn = list(more)
            new_events.extend(drawn)
            _apply(graph, drawn)

        decide(graph, observations, record_new_events)
        requested = submissions(new_events)
        if {*requested} - {STEP} and graph.step(STEP).state is not State.FINISHED:
            raise Violation("a step was requested before the step on which it depends has finished")
        after = self._number(graph, (*self._histories[number], *new_events)) if new_events else number
        return Decision(tuple(event for _, event in new_events), after, STEP in requested)

    def outcome(self, number: int, attempt: int, outcome: str) -> int | None:
        """Return the state after the outcome of a submission is appended (None: there is no event)."""
        key = (number, attempt, outcome)
        if key not in self._outcomes:
            events = outcome_events(self._graphs[number], STEP, token(attempt), OUTCOMES[outcome], 0)
            new_events: list[NewEvent] = [(STEP, event) for event in events]
            self._outcomes[key] = self._after_request(number, new_events) if new_events else None
        return self._outcomes[key]

    def completed(self, number: int) -> int:
        """Return the state after the study is completed. It is the same state if the study can't be completed."""
        new_events = complete(self._graphs[number])
        return self._after(number, new_events) if new_events else number

    def _after_request(self, number: int, new_events: Sequence[NewEvent]) -> int:
        """Mirrors `Session.record`."""
        graph = copy.deepcopy(self._graphs[number])
        part = Part()
        _apply(graph, new_events)
        ended = list(part.take(fail_descendants(graph, 0, ended_badly(new_events))))
        return self._after(number, [*new_events, *ended, *part.mark_rest(graph.study)])

    def _after(self, number: int, new_events: Sequence[NewEvent]) -> int:
        return self._fold(self._graphs[number], self._histories[number], new_events)

    def _fold(self, graph: MemoryGraph, history: tuple[NewEvent, ...], new_events: Sequence[NewEvent]) -> int:
        graph = copy.deepcopy(graph)
        _apply(graph, new_events)
        return self._number(graph, (*history, *new_events))

    def _number(self, graph: MemoryGraph, history: tuple[NewEvent, ...]) -> int:
        told = [
            msgspec.structs.replace(step, message="") for step in graph.steps()
        ]  # no rule depends on messages for users
        key = msgspec.msgpack.encode((told, graph.study))
        if key not in self._numbers:
            self._numbers[key] = len(self._graphs)
            self._graphs.append(graph)
            self._histories.append(history)
        return self._numbers[key]


def _apply(graph: MemoryGraph, new_events: Sequence[NewEvent]) -> None:
    try:
        for step, event in new_events:
            apply(graph, e.Recorded(seq=0, recorded_at=0, invocation=1, step=step, event=event))
    except InvalidTransition as error:
        raise Violation(f"the reducer refuses what was decided: {error}") from error


def in_flight(record: StepRecord) -> bool:
    """Whether an attempt of the step may have a job."""
    return record.phase in (Phase.REQUESTED, Phase.SUBMITTED)
