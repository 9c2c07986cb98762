"""`apply` applies an event to the state, both when the event is recorded and when a log is replayed.

Only this module, the rules of the events (`study_rules`, `step_rules`) and their shared code (`transitions`) assign
state. If the current state does not allow an event, `apply` raises `InvalidTransition`. So a decision that is based on
old state can't be recorded, and a log that was changed can't be replayed.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from maestro_es.core import events as e
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import Micros
from maestro_es.core.step_rules import STEP_RULES
from maestro_es.core.study_rules import STUDY_RULES, Occurrence
from maestro_es.core.transitions import refusal
from maestro_es.errors import InvalidTransition

#: The version of the rules. It grows when a rule or a record changes, so that older projections are rebuilt.
REDUCER_VERSION = 28


#: The rules of all events. The rules of events about the study have no phases.
_RULES: dict[type[e.Event], tuple[Any, ...]] = {
    **STEP_RULES,
    **{kind: (rule, None, False) for kind, rule in STUDY_RULES.items()},
}


#: The graph to which events are applied.
AnyGraph = TypeVar("AnyGraph", bound=Graph)


class Block(NamedTuple):
    """Consecutive events of a log: the seq of the first one, and the time, step and payload of each."""

    first: int
    times: Sequence[Micros]
    steps: Sequence[int | None]
    events: Sequence[Any]


def block_of(events: Sequence[e.Recorded]) -> Block:
    """Return consecutive events as a block. There must be at least one event."""
    times = [recorded.recorded_at for recorded in events]
    steps = [recorded.step for recorded in events]
    return Block(events[0].seq, times, steps, [recorded.event for recorded in events])


def apply(graph: Graph, recorded: e.Recorded) -> None:
    """Apply one event to the graph. InvalidTransition if the event can't follow.

    After this error, the graph must not be used any more.
    """
    apply_all(graph, block_of((recorded,)))


def apply_all(graph: Graph, block: Block) -> None:
    """Apply events one after the other. A replay spends its time in this loop, so the loop calls few functions.

    InvalidTransition names the first event that can't follow; the graph is unusable after that.
    """
    first, times, steps, events = block
    records, save = graph.records, graph.save
    seq, written_at = first, None
    try:
        for seq, at, number, event in zip(itertools.count(first), times, steps, events):
            change, phases, of_attempt = _RULES[type(event)]
            if phases is None:
                _note_written(graph, written_at)
                change(graph, Occurrence(seq, at, number), event)
                continue
            try:
                step = records[number]
            except KeyError:
                raise InvalidTransition(f"{type(event).__name__} of an unknown step") from None
            if step.phase not in phases:
                raise refusal(step, event, f"which is {step.phase.name.lower()}")
            if of_attempt and event.token != step.token and event.token:
                raise refusal(step, event, f"whose token is {step.token!r}, not {event.token!r}")
            change(graph, step, at, event)
            save(step)
            written_at = at
    except InvalidTransition as error:
        raise InvalidTransition(f"event {seq}: {error}") from None
    _note_written(graph, written_at)


def _note_written(graph: Graph, at: Micros | None) -> None:
    """Note when the last event about a step was recorded, if there was one."""
    if at is not None:
        graph.study.written_at = at


def replay_all(blocks: Iterable[Block], graph: AnyGraph) -> AnyGraph:
    """Apply many events, and return the graph."""
    with uncollected():
        for block in blocks:
            apply_all(graph, block)
    return graph


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Turn off Python's garbage collector inside the block, for work that makes many objects but no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def replay(events: Iterable[e.Recorded]) -> MemoryGraph:
    """Return the graph that results from these events."""
    graph = MemoryGraph()
    for recorded in events:
        apply(graph, recorded)
    return graph
