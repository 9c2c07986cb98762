"""Functions that the reducer's rules share.

They refuse impossible events, change the state of steps, and update the steps that wait for them.

`maestro_es.core.study_rules` and `maestro_es.core.step_rules` decide which transition an event causes.
"""

from __future__ import annotations

from maestro_es.core import events as e
from maestro_es.core.graph import Graph
from maestro_es.core.model import BLOCKED, DONE, READY, RELEASED, Phase, State, StepRecord, SubmissionKind
from maestro_es.errors import InvalidTransition


def refusal(step: StepRecord, event: e.Event, why: str) -> InvalidTransition:
    """Return the error for an event that is impossible in the present state of a step. `why` is the reason."""
    return InvalidTransition(f"{type(event).__name__} can't follow for step {step.name!r}, {why}")


def move(graph: Graph, step: StepRecord, state: State, phase: Phase) -> None:
    """Give a step another state and phase, and update the study's counts."""
    study_record = graph.study
    before = step.state
    if state is not before:  # `_name_` is the same as `name`, but faster, because it calls no function
        count(study_record.states, before._name_, -1)
        count(study_record.states, state._name_, 1)
        step.state = state
    if phase is not step.phase:
        if phase is DONE:
            study_record.open_steps -= 1
        elif step.phase is DONE:
            study_record.open_steps += 1
        step.phase = phase


def end(step: StepRecord, event: e.StepFinished | e.StepTimedOut | e.StepFailed | e.StepCancelled) -> None:
    """Note when a step ended, and what it used. A StepFailed without usage keeps the usage of the event before it."""
    step.ended_at = event.at
    step.usage = event.usage or step.usage


def count(counts: dict[str, int], key: str, change: int) -> None:
    """Change a count. A count that becomes zero is removed."""
    after = counts.get(key, 0) + change
    if after:
        counts[key] = after
    else:
        del counts[key]


def release(graph: Graph, step: StepRecord) -> None:
    """Update the children of a finished step.

    If it was the last unfinished step of its template, also update the steps that wait for the whole template.
    """
    freed = graph.children(step.number)
    if graph.count_unfinished(step.template, -1) == 0:
        freed = freed + graph.funnel(step.template)
    for number in freed:
        child = graph.records[number]
        child.unmet -= 1
        if child.unmet == 0 and child.phase is BLOCKED:
            child.phase = READY  # `move` would do the same
        graph.save(child)


def retract(graph: Graph, step: StepRecord, event: e.Event) -> None:
    """Make the children of a finished step wait for it again. Refuse if one of them is in flight or has finished.

    A skipped child does not count, because it used no results. A child that would resume from its checkpoint starts
    from the beginning, because the results behind the checkpoint will change.
    """
    waiting = graph.children(step.number)
    if not graph.unfinished(step.template):
        waiting = waiting + graph.funnel(step.template)
    children = [graph.records[number] for number in waiting]
    for child in children:
        if not (untouched(child) or child.skipped or (child.phase is DONE and child.state not in RELEASED)):
            raise refusal(step, event, f"as {child.name!r}, which waited for it, is {child.state.name}")
    graph.count_unfinished(step.template, 1)
    for child in children:
        child.unmet += 1
        if untouched(child) and child.kind is SubmissionKind.RESTART:
            child.kind = SubmissionKind.RETRY
        if child.phase is READY:
            move(graph, child, child.state, BLOCKED)
        graph.save(child)


def untouched(step: StepRecord) -> bool:
    """Return whether a step is waiting for its first attempt, or for the first attempt since it was reset."""
    waits = step.state is State.INITIALIZED and step.phase in (BLOCKED, READY)
    return waits and step.submitted_at is None


def can_go_on(graph: Graph, step: StepRecord) -> bool:
    """Return whether a step has started, so that there may be a checkpoint, and has a restart script."""
    begun = step.started_at is not None or step.kind is SubmissionKind.RESTART
    return begun and bool(graph.template(step.template).run.get("restart"))


def connect(graph: Graph, step: StepRecord, parent: int) -> None:
    """Make a step wait for a parent."""
    if not 1 <= parent <= graph.study.steps or parent == step.number:
        raise InvalidTransition(f"step {step.name!r} can't wait for step {parent}")
    graph.connect(parent, step.number)
    step.unmet += graph.records[parent].state not in RELEASED
