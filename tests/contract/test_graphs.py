"""What both graphs promise: Python in memory and SQL over the tables select the same steps."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec import structs

from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.graph import Graph, MemoryGraph, may_be_submitted
from maestro_es.core.model import Phase, State, StepRecord
from maestro_es.store import migrations
from maestro_es.store.projection import ProjectedGraph

STEP = StepRecord(
    number=0, name="", template="t", params=(), workspace="", workspaces={}, scheduled=False, row=1, restart_limit=1
)
FLAGS = ("scheduled", "held", "cancelling", "doubted")


def numbered(records: Iterable[StepRecord]) -> list[StepRecord]:
    return [
        structs.replace(record, number=number, name=f"s{number}", workspace=f"s/{number}")
        for number, record in enumerate(records, 1)
    ]


#: A step for each combination of what the graphs select by. The first one, for which others wait, has failed.
EVERY_STEP = numbered(
    [
        structs.replace(STEP, phase=Phase.DONE, state=State.FAILED),
        *(
            structs.replace(STEP, phase=phase, state=state, **dict(zip(FLAGS, flags, strict=True)))
            for phase, state, flags in itertools.product(
                Phase, State, itertools.product((False, True), repeat=len(FLAGS))
            )
        ),
    ]
)


@pytest.fixture(scope="module")
def tables() -> Iterator[ProjectedGraph]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.upgrade(connection)
    yield ProjectedGraph(connection, Path("events.db"), "host", "boot")
    connection.close()


#: Each step waits for one of these, and those with even numbers for all instances of their template.
PARENTS = (1, 2)


def fill(graph: Graph, records: Iterable[StepRecord], refused: int) -> None:
    graph.add_template(StepTemplateAdded(name="t", description="", run={}))
    graph.study.refused = refused
    for record in records:
        graph.add(structs.replace(record))
        graph.connect(PARENTS[record.number % 2], record.number)
        if record.number % 2 == 0:
            graph.join_funnel("t", record.number)


def selected(graph: Graph, limit: int) -> dict[str, list[int]]:
    """Return all that a graph selects, by what it is asked for."""
    blocked = {step.number: step for step in graph.blocked_children(PARENTS)}
    in_vain = [*itertools.chain.from_iterable(graph.blocked_in_vain())]
    answers = {
        "blocked by steps": [blocked[number] for number in sorted(blocked)],
        "blocked by a funnel": graph.blocked_by_funnel("t"),
        "blocked in vain": (step for step, _ in in_vain),
        "the failed parents": (graph.step(parent) for _, parent in in_vain),
        "the first of failed funnels": (graph.step(number) for _, number in graph.failed_funnels()),
        "ready, local": graph.ready(scheduled=False, limit=limit),
        "ready, scheduled": graph.ready(scheduled=True, limit=limit),
        "unfinished": graph.unfinished_steps("t", limit),
        "in flight": graph.in_flight(),
        "waiting": graph.waiting(),
        "cancelling": graph.cancelling(),
        "held": graph.held(),
        "doubted": graph.doubted(),
    }
    return {question: [record.number for record in records] for question, records in answers.items()}


def compare(tables: ProjectedGraph, records: list[StepRecord], refused: int, limit: int) -> dict[str, list[int]]:
    """Compare both graphs: with the steps in memory, in the tables, and changed after that; returns the selections."""
    memory = MemoryGraph()
    tables.clear()
    for graph in (memory, tables):
        fill(graph, records, refused)
    expected = selected(memory, limit)

    assert selected(tables, limit) == expected
    tables.flush(1)
    tables.forget()
    assert selected(tables, limit) == expected
    assert list(tables.steps()) == list(memory.steps())
    return expected


def test_both_graphs_select_the_same_of_every_step_that_there_can_be(tables: ProjectedGraph):
    everything = len(EVERY_STEP)
    found = compare(tables, EVERY_STEP, 0, everything)

    able = [record.number for record in EVERY_STEP if may_be_submitted(record)]
    assert sorted(found["ready, local"] + found["ready, scheduled"]) == able
    assert all(0 < len(numbers) < everything for numbers in found.values())


@given(
    st.lists(st.sampled_from(EVERY_STEP), min_size=2, max_size=12),
    st.integers(0, 14),
    st.integers(0, 14),
    st.integers(0, 2**12),
)
def test_both_graphs_select_the_same_steps_in_the_same_order(
    tables: ProjectedGraph, records: list[StepRecord], refused: int, limit: int, changed: int
):
    steps = numbered(records)
    compare(tables, steps, refused, limit)

    later = [STEP if changed >> at & 1 else step for at, step in enumerate(steps)]
    memory = MemoryGraph()
    fill(memory, numbered(later), refused)
    for number, record in enumerate(numbered(later), 1):
        step = tables.step(number)
        for name in record.__struct_fields__:
            setattr(step, name, getattr(record, name))
        tables.save(step)
    assert selected(tables, limit) == selected(memory, limit)
