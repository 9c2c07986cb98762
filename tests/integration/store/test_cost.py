"""What the log costs as a study grows, counted in instructions of SQLite: these are the same on every machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from tools.testbed.logs import create, instructions


def chain(length: int) -> list[NewEvent]:
    """Return a chain of steps, each of a template of its own."""
    new_events: list[NewEvent] = [(None, e.StudyCreated(study_id="cafe0123", root="/s"))]
    for number in range(1, length + 1):
        parents = (number - 1,) if number > 1 else ()
        new_events.append((None, e.StepTemplateAdded(name=f"s{number}", description="", run={"cmd": "run"})))
        step = e.StepAdded(name=f"s{number}", template=f"s{number}", workspace=f"s{number}", parents=parents)
        new_events.append((number, step))
    return new_events


def test_a_step_of_a_long_chain_is_stored_at_the_cost_of_one_of_a_short_chain(tmp_path: Path):
    costs = {}
    for length in (300, 3000):
        with create(tmp_path / f"{length}.db") as log:
            costs[length] = instructions(log, partial(log.append, chain(length))) / length

    assert costs[3000] < 1.3 * costs[300], costs
