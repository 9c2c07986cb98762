"""Random studies and random histories of them, for hypothesis."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import Cause, Param, Settings, State, StudyStatus, SubmissionKind
from maestro_es.core.reducer import apply
from maestro_es.core.usage import Usage
from maestro_es.errors import InvalidTransition

seeds = st.integers(0, 2**32)


def dice(seed: int) -> random.Random:
    """Return a generator of random choices. The same seed gives the same choices."""
    return random.Random(seed)  # noqa: S311 - nothing is kept secret with them


@st.composite
def shapes(draw: st.DrawFn, most: int = 8) -> list[NewEvent]:
    """Return the events that make a study: templates and their instances, edges to earlier steps, and funnels."""
    settings = Settings(
        submission_throttle=draw(st.integers(0, 4)),
        local_slots=draw(st.integers(1, 3)),
        hardware_limit=draw(st.integers(1, 3)),
        abandon_limit=draw(st.integers(1, 3)),
        submission_attempts=draw(st.integers(1, 3)),
    )
    adapter: dict[str, Any] = {"type": draw(st.sampled_from(["local", "slurm"]))}
    new_events: list[NewEvent] = [
        (None, e.StudyCreated(study_id="cafe0123", root="/s", adapter=adapter, settings=settings))
    ]
    templates: dict[str, list[int]] = {}
    number = 0
    for index in range(draw(st.integers(1, most))):
        name = f"t{index}"
        run = {"cmd": "run", **({"restart": "more"} if draw(st.booleans()) else {})}
        new_events.append((None, e.StepTemplateAdded(name=name, description="", run=run)))
        known = list(range(1, number + 1))
        funnels = tuple(draw(st.sets(st.sampled_from(sorted(templates)), max_size=2))) if templates else ()
        templates[name] = []
        for instance in range(draw(st.integers(1, 4))):
            number += 1
            parents = tuple(draw(st.sets(st.sampled_from(known), max_size=3))) if known else ()
            added = e.StepAdded(
                name=f"{name}_{instance}",
                template=name,
                workspace=f"{name}/{instance}",
                params=(Param("N", str(instance), f"N.{instance}", "N"),),
                parents=parents,
                funnels=funnels,
                scheduled=adapter["type"] != "local" and draw(st.booleans()),
                restart_limit=draw(st.integers(0, 2)),
            )
            new_events.append((number, added))
            templates[name].append(number)
    return new_events


# -- histories -------------------------------------------------------------------------------------------------------


def moves(graph: Graph, number: int, rng: random.Random) -> list[NewEvent]:
    """Return events about a step. Most of them are valid next events; the reducer decides which."""
    record = graph.step(number)
    token = record.token
    kind = rng.choice(list(SubmissionKind))
    attempt = record.attempt + 1
    whole: list[e.AnyEvent] = [e.StudyPaused(), e.StudyResumed(), e.StudyReopened()]
    held: list[e.AnyEvent] = [e.StepHeld(), e.StepReleased()]
    return [
        (number, e.SubmissionRequested(attempt=attempt, token=f"t{number}-{attempt}", kind=kind)),
        (number, e.JobSubmitted(token=token, job_id=str(rng.random()), host=rng.choice(["", "node1"]))),
        (number, e.SubmissionRejected(token=token, message="busy")),
        (number, e.SubmissionWithdrawn(token=token, message=rng.choice(["", "no room"]))),
        (number, e.AttemptAbandoned(token=token, evidence=())),
        (number, e.JobStarted(token=token, at=rng.randrange(10**6))),
        (number, e.StepFinished(token=token, at=rng.randrange(10**6))),
        (number, e.StepFinished(token=token, at=rng.randrange(10**6), usage=rng.choice([None, Usage(cpu=7)]))),
        (number, e.UsageReported(token=token, usage=Usage(memory=rng.randrange(10**9), nodes=2, walltime=60))),
        (number, e.StepTimedOut(token=token, at=rng.randrange(10**6), final=rng.choice(["", "limit"]))),
        (number, e.StepRestarted(number=record.restarts + 1, limit=0)),
        (number, e.HardwareFailed(token=token, at=1, number=record.hardware_failures + 1, limit=0, reason="node")),
        (number, e.StepFailed(at=2, cause=rng.choice(list(Cause)), message="no", exit_code=rng.choice([None, 1]))),
        (number, e.StepCancelled(at=3, message="cancelled")),
        (number, e.StepDryRun(at=4)),
        (number, e.StepReset()),
        (number, e.StepSkipped(by="me", reason=rng.choice(["", "why not"]))),
        (number, rng.choice(held)),
        (number, e.StepImported(state=rng.choice(list(State)), submitted_at=1, restarts=rng.randrange(3))),
        (number, e.StepRecovered(state=rng.choice(list(State)), attempt=attempt, restarts=rng.randrange(3))),
        (number, e.ConnectionAdded(parent=rng.randrange(1, graph.study.steps + 1))),
        (number, e.ConnectionRemoved(parent=rng.choice([*graph.parents(number), 1]))),
        (None, e.CancelRequested(steps=(number,) if rng.random() < 0.7 else None)),
        (None, rng.choice(whole)),
        (None, e.PollFailed(adapter=rng.choice("ab"), message="silent")),
        (None, e.PollRecovered(adapter=rng.choice("ab"))),
        (None, e.SettingsChanged(what="restart_limit", before=0, after=rng.randrange(4))),
        (None, e.SettingsChanged(what="adapter", before={}, after={"type": rng.choice(["local", "lsf"])})),
        (None, e.SettingsChanged(what="name", before="", after=str(rng.random()))),
        (None, e.StudyCompleted(status=rng.choice(list(StudyStatus)))),
    ]


def history(shape: list[NewEvent], rng: random.Random, length: int) -> Iterator[NewEvent]:
    """Yield the events of a study, and then those of `length` random events that are valid."""
    graph = MemoryGraph()
    yield from shape
    for step, event in shape:
        apply(graph, e.Recorded(1, 1, 1, step, event))
    for _ in range(length):
        new_event = rng.choice(moves(graph, rng.randrange(1, graph.study.steps + 1), rng))
        if can_follow(graph, new_event):
            yield new_event


def can_follow(graph: Graph, new_event: NewEvent) -> bool:
    """Apply an event if it is valid. A refusal changes nothing, except for events about the study."""
    try:
        apply(graph, e.Recorded(1, 1, 1, *new_event))
    except InvalidTransition:
        return False
    return True
