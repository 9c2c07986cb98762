"""Decides which steps end because a step on which they depend has ended without success, and how many end at once.

A million steps may depend on one step. A transaction that ends all of them would lock the log for half a minute. So
each transaction ends at most `AT_ONCE` steps. If more are left, it also records `CascadeStarted`, and the study is
`cascading`. Each later tick ends some of the remaining steps, and the last of these ticks records `CascadeCompleted`.
A tick finds the remaining steps in the graph: they are blocked, and depend on a step that has ended without success.
None of them can start in the meantime, because a step is not ready before all steps on which it depends have finished.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import lru_cache

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph, has_ended_badly
from maestro_es.core.model import BAD_ENDS, Cause, Micros, State, StepRecord, StudyRecord

#: How many steps one transaction ends at most. Such a transaction takes one or two seconds.
AT_ONCE = 50_000

#: The number of steps whose children are read with one query.
_PARENTS = 100


class Part:
    """The part of a cascade that one transaction records: the first `AT_ONCE` of the steps that must end."""

    def __init__(self) -> None:
        self._room = AT_ONCE
        self._is_cut = False

    def take(self, new_events: Iterable[NewEvent]) -> Iterator[NewEvent]:
        """Pass events on, up to the limit."""
        for new_event in new_events:
            if not self._room:
                self._is_cut = True
                return
            self._room -= 1
            yield new_event

    def mark(self, study_record: StudyRecord) -> list[NewEvent]:
        """Return the event that begins or ends a cascade, if any. It is recorded after the other events."""
        if self._is_cut:
            return self.mark_rest(study_record)
        return [(None, e.CascadeCompleted())] if study_record.cascading else []

    def mark_rest(self, study_record: StudyRecord) -> list[NewEvent]:
        """Return the event that begins a cascade, if any. It can't end yet: earlier parts may have left steps."""
        return [(None, e.CascadeStarted())] if self._is_cut and not study_record.cascading else []


def ended_badly(new_events: Iterable[NewEvent]) -> list[int]:
    """Return the steps that end without success because of these events. The steps that depend on them can't run."""
    return [step for step, event in new_events if step and _ends_badly(event)]


def waiting_in_vain(graph: Graph, new_events: Iterable[NewEvent]) -> list[int]:
    """Return the parents that these events name and that have already ended without success."""
    parents = {parent for _, event in new_events if isinstance(event, e.StepAdded) for parent in event.parents}
    parents |= {event.parent for _, event in new_events if isinstance(event, e.ConnectionAdded)}
    return [number for number in sorted(parents) if has_ended_badly(graph.step(number))]


def _ends_badly(event: e.AnyEvent) -> bool:
    if isinstance(event, e.StepTimedOut):
        return bool(event.final)
    if isinstance(event, (e.StepImported, e.StepRecovered)):
        return event.state in BAD_ENDS
    return isinstance(event, (e.StepFailed, e.StepCancelled))


def fail_descendants(graph: Graph, now: Micros, failed: Iterable[int]) -> Iterator[NewEvent]:
    """Fail or cancel all steps that depend on one of the `failed` steps. Each event names the failed step.

    The caller may record each event before it takes the next one, or all of them at the end.
    """
    walk = None
    for number in failed:
        walk = walk or _Walk(graph)
        origin = graph.step(number)
        event = _upstream(now, origin)
        for descendant in walk.after(origin):
            yield descendant, event


def fail_the_rest(graph: Graph, now: Micros) -> Iterator[NewEvent]:
    """Fail or cancel the steps that earlier transactions have left."""
    walk = _Walk(graph)
    for template, number in graph.failed_funnels():
        event = _upstream(now, _origin(graph, number))
        for descendant in walk.from_steps(graph.blocked_by_funnel(template)):
            yield descendant, event
    origin_of = lru_cache(_PARENTS)(lambda parent: _origin(graph, parent).number)
    for block in graph.blocked_in_vain():
        for number, pairs in itertools.groupby(block, lambda pair: origin_of(pair[1])):
            event = _upstream(now, graph.step(number))
            for descendant in walk.from_steps(step for step, _ in pairs):
                yield descendant, event


def _origin(graph: Graph, number: int) -> StepRecord:
    """Return the step whose end caused the end of this step. That may be the step itself."""
    step = graph.step(number)
    if step.blocker is None:
        return step
    blocker = graph.step(step.blocker)
    return blocker if has_ended_badly(blocker) else step


class _Walk:
    """Yields the blocked steps that depend on certain steps, directly or through other steps.

    It yields each step once, and follows each funnel once.
    """

    def __init__(self, graph: Graph) -> None:
        from array import array  # noqa: PLC0415 - most ticks fail nothing, and a list takes five times the memory

        self._graph = graph
        self._reached = bytearray(graph.study.steps + 1)
        self._templates: set[str] = set()
        self._parents = array("q")
        self._funnels: list[str] = []

    def after(self, origin: StepRecord) -> Iterator[int]:
        """Yield the steps that depend on a step."""
        self._parents.append(origin.number)
        self._funnels.append(origin.template)
        return self._walk()

    def from_steps(self, steps: Iterator[StepRecord]) -> Iterator[int]:
        """Yield these steps, and the steps that depend on them."""
        yield from self._visit(steps)
        yield from self._walk()

    def _walk(self) -> Iterator[int]:
        while self._parents or self._funnels:
            if self._funnels:
                template = self._funnels.pop()
                blocked = iter(()) if template in self._templates else self._graph.blocked_by_funnel(template)
                self._templates.add(template)
            else:
                blocked = self._graph.blocked_children(self._parents[-_PARENTS:])
                del self._parents[-_PARENTS:]
            yield from self._visit(blocked)

    def _visit(self, blocked: Iterator[StepRecord]) -> Iterator[int]:
        for step in blocked:
            if not self._reached[step.number]:
                self._reached[step.number] = True
                self._parents.append(step.number)
                if step.template not in self._templates:
                    self._funnels.append(step.template)
                yield step.number


def _upstream(now: Micros, origin: StepRecord) -> e.AnyEvent:
    message = f"{origin.name} is {origin.state.name}"
    if origin.state is State.CANCELLED:
        return e.StepCancelled(at=now, message=message, blocker=origin.number)
    return e.StepFailed(at=now, cause=Cause.UPSTREAM, message=message, blocker=origin.number)
