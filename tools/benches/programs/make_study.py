"""Stores a study on the idle scheduler, without the file that `run` needs.

make_study.py ROOT STEPS SHAPE WIDTH THROTTLE

`lanes` are WIDTH chains, `chain` is one. In `wide` no step depends on another one. In `fan` all wait for the first
step, and in `funnel` the last step waits for all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Settings
from maestro_es.creation.create import create_log, make_directory, new_study_id
from maestro_es.study.invocation import Runtime


def parents(number: int, steps: int, shape: str, width: int) -> tuple[int, ...]:
    """Return the steps for which a step waits."""
    match shape:
        case "lanes":
            return (number - width,) if number > width else ()
        case "chain":
            return (number - 1,) if number > 1 else ()
        case "fan":
            return (1,) if number > 1 else ()
        case "funnel":
            return tuple(range(1, steps)) if number == steps else ()
    return ()


def new_events(root: Path, steps: int, shape: str, width: int, throttle: int) -> Iterator[NewEvent]:
    """Yield the events of the study."""
    settings = Settings(submission_throttle=throttle)
    adapter = {"type": "idle"}
    yield None, e.StudyCreated(study_id=new_study_id(), root=str(root), name="s", settings=settings, adapter=adapter)
    yield None, e.StepTemplateAdded(name="a", description="d", run={"cmd": "true", "procs": 1})
    for number in range(1, steps + 1):
        name, workspace = f"a_N.{number}", f"a/N.{number}"
        above = parents(number, steps, shape, width)
        yield number, e.StepAdded(name=name, template="a", workspace=workspace, parents=above, scheduled=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = new_events(place, int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    create_log(make_directory(place), made, Runtime())
