"""The studies that several benches use."""

from __future__ import annotations

from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Settings
from maestro_es.creation.create import create_log, make_directory, new_study_id
from maestro_es.study.invocation import Runtime
from tools.benches.timing import MAESTRO_ES, call

#: How many jobs of a study may be in flight.
IN_FLIGHT = 100


def make_study(root: Path, steps: int, runtime: Runtime) -> None:
    """Create a study of 100 chains."""
    width = 100
    settings = Settings(submission_throttle=IN_FLIGHT)
    new_events: list[NewEvent] = [
        (None, e.StudyCreated(study_id=new_study_id(), root=str(root), settings=settings)),
        (None, e.StepTemplateAdded(name="a", description="d", run={"cmd": "true"})),
    ]
    for number in range(1, steps + 1):
        parents = (number - width,) if number > width else ()
        added = e.StepAdded(name=f"a_{number}", template="a", workspace=f"a/{number}", parents=parents)
        new_events.append((number, added))
    create_log(make_directory(root), new_events, runtime)


def sleeping_study(place: Path) -> Path:
    """Launch a study whose only step sleeps, so that a tick has nothing to do."""
    spec = place / "sleep.yaml"
    spec.write_text(
        "description: {name: sleep, description: d}\nstudy: [{name: a, description: d, run: {cmd: sleep 120}}]\n"
    )
    call(*MAESTRO_ES, "run", "-y", "-o", place / "sleep", spec)
    return place / "sleep"
