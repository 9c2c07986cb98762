"""Whatever a person asks for at any moment: the counts are right, no step waits in vain, and the study can end."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from maestro_es.core import cascade, requests, rerun
from maestro_es.core import events as e
from maestro_es.core.cascade import ended_badly
from maestro_es.core.decide import decide
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import BAD_ENDS, FAILED_STATES, Cause, Phase, StepRecord, StudyStatus
from maestro_es.core.observations import Observations
from maestro_es.core.step_keys import Need
from maestro_es.errors import RequestRefused
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from tests.property.studies import dice, seeds, shapes
from tests.property.test_fold import check
from tools.testbed.logs import create, same


class Life:
    """A study whose ticks, jobs and users come at random; everything goes through its log."""

    def __init__(self, log: StudyLog, rng: random.Random, at_once: int) -> None:
        self.at_once = at_once
        self.log = log
        self.rng = rng
        self.time = 0

    @property
    def graph(self) -> Graph:
        return self.log.graph

    def record(self, new_events: list[NewEvent]) -> None:
        """Append as `Session.request` does."""
        with self.log.transaction(), self.in_parts():
            self.log.record(new_events)
            part = cascade.Part()
            self.log.record(part.take(cascade.fail_descendants(self.graph, self.time, ended_badly(new_events))))
            self.log.record(part.mark_rest(self.graph.study))

    @contextlib.contextmanager
    def in_parts(self) -> Iterator[None]:
        """Let a transaction end only a few of the steps that will not run."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cascade, "AT_ONCE", self.at_once)
            yield

    def tick(self) -> None:
        self.time += 1
        seen = Observations(now=self.time, host="login1", boot_id="boot1", token_suffix=f"s{self.time}", size=Need(4))
        with self.log.transaction(), self.in_parts():
            decide(self.graph, seen, self.log.record)

    def advance(self, step: StepRecord, *, well: bool) -> None:
        """Let a step in flight go a way on, or end."""
        if step.phase is Phase.REQUESTED:
            ends: list[e.AnyEvent] = [e.JobSubmitted(token=step.token, job_id=f"j{step.number}")]
            if not well:
                ends += [e.SubmissionRejected(token=step.token, message="busy"), self.failure(step)]
        else:
            ends = [e.StepFinished(token=step.token, at=self.time)]
            if not well:
                node = e.HardwareFailed(
                    token=step.token, at=1, number=step.hardware_failures + 1, limit=9, reason="node failed"
                )
                ends += [self.failure(step), node, e.StepTimedOut(token=step.token, at=1, final="no restart script")]
        self.record([(step.number, self.rng.choice(ends))])

    def failure(self, step: StepRecord) -> e.AnyEvent:
        return e.StepFailed(token=step.token, at=self.time, cause=Cause.EXIT_CODE, message="exit code 1", exit_code=1)

    def ask(self) -> None:
        """Ask for anything, of anything, whether it makes sense or not."""
        rng, graph = self.rng, self.graph
        ended = [step.name for step in graph.steps() if step.phase is Phase.DONE]
        names = ended if ended and rng.random() < 0.7 else [step.name for step in graph.steps()]
        patterns = rng.choice([rng.sample(names, min(len(names), rng.randrange(1, 4))), [rng.choice(names)[:2] + "*"]])
        flag = rng.random() < 0.5
        wishes: list[Callable[[], list[NewEvent]]] = [
            lambda: rerun.retry(graph, patterns, descendants=flag),
            lambda: rerun.retry(graph, patterns, descendants=True),
            lambda: rerun.retry(graph, patterns, failed=True, descendants=flag),
            lambda: rerun.retry(graph, failed=True, limits={"rlimit": rng.randrange(4)}),
            lambda: rerun.skip(graph, patterns, "me"),
            lambda: rerun.reopen(graph),
            lambda: requests.hold(graph, patterns),
            lambda: requests.release(graph, patterns),
            lambda: requests.cancel(graph, patterns),
            lambda: requests.cancel(graph) if rng.random() < 0.1 else [],
            lambda: requests.pause(graph),
            lambda: requests.resume(graph),
        ]
        with contextlib.suppress(RequestRefused):
            self.record(rng.choice(wishes)())

    def live(self, moments: int, *, well: bool = False) -> None:
        for _ in range(moments):
            flying = list(self.graph.in_flight())
            what = self.rng.random()
            if what < 0.25:
                self.tick()
            elif what < 0.7 and flying:
                self.advance(self.rng.choice(flying), well=well)
            else:
                self.ask()
            self.check()

    def check(self) -> None:
        check(self.graph)
        for step in self.graph.steps():
            bad = any(
                self.graph.step(number).state in BAD_ENDS and done(self.graph, number) for number in self.parents(step)
            )
            if step.phase is Phase.BLOCKED and not self.graph.study.cascading:
                assert not bad, f"{step.name} waits for ever"
            if step.blocker is not None:
                assert bad, f"{step.name} ended because of a step that has not ended badly"

    def parents(self, step: StepRecord) -> list[int]:
        funnels = self.graph.funnels(step.number)
        return self.graph.parents(step.number) + [s.number for s in self.graph.steps() if s.template in funnels]

    def end(self) -> None:
        """Let it go well from here on: what is held is released, and every job finishes."""
        self.record([(step.number, e.StepReleased()) for step in list(self.graph.held())])
        if self.graph.study.paused:
            self.record(requests.resume(self.graph))
        for _ in range(5 * self.graph.study.steps + 9):
            self.tick()
            if self.graph.study.status is not StudyStatus.RUNNING:
                return
            for step in list(self.graph.in_flight()):
                if step.cancelling or self.graph.study.cancelling:
                    self.record([(step.number, e.StepCancelled(token=step.token, at=1, message="cancelled"))])
                else:
                    self.advance(step, well=True)
        pytest.fail(f"the study does not end: {[step for step in self.graph.steps() if step.phase is not Phase.DONE]}")

    def heal(self) -> None:
        """Let a study that has ended go on until every step has finished."""
        states = self.graph.study.states
        if states.get("CANCELLED"):
            try:
                self.record(rerun.reopen(self.graph))
            except RequestRefused:
                assert any(states.get(state.name) for state in FAILED_STATES)
        if any(states.get(state.name) for state in FAILED_STATES):
            self.record(rerun.retry(self.graph, failed=True))
        self.check()
        self.end()


def done(graph: Graph, number: int) -> bool:
    return graph.step(number).phase is Phase.DONE


@given(shapes(most=5), seeds, st.integers(0, 120), st.sampled_from([1, 3, 1000]))
@settings(max_examples=120)
def test_a_study_that_is_repaired_at_any_time_stays_true_and_can_end_well(
    shape: list[NewEvent], seed: int, moments: int, at_once: int
):
    with tempfile.TemporaryDirectory() as place, create(Path(place) / "events.db") as log:
        life = Life(log, dice(seed), at_once)
        life.record(shape)
        life.live(moments)
        life.end()
        for _ in range(9):
            if set(life.graph.study.states) <= {"FINISHED"}:
                break
            life.heal()

        assert life.graph.study.states == {"FINISHED": life.graph.study.steps}
        assert life.graph.study.status is StudyStatus.FINISHED
        assert same(log)
        verify(log)
