"""Studies in memory whose steps have ended, and the results of requests about them."""

from __future__ import annotations

from maestro_es.core import events as e
from maestro_es.core.cascade import ended_badly, fail_descendants
from maestro_es.core.decide import complete
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause
from tests.unit.core.making import Study

#: The steps of `six_steps`.
MAKE, SIM_10, SIM_20, SIM_30, POST, LAST = range(1, 7)


def six_steps() -> Study:
    """Return a study of ``make``, three ``sim`` after it, ``post`` after all of them, and ``last`` after that."""
    study = Study()
    make = study.add("make")
    for size in (10, 20, 30):
        study.add(f"sim_{size}", template="sim", parents=(make,))
    post = study.add("post", funnels=("sim",))
    study.add("last", parents=(post,))
    return study


def asked(study: Study, new_events: list[NewEvent]) -> list[tuple[str, str]]:
    """Apply the events of a request; returns their types and the names of their steps."""
    study.record(new_events)
    return [(type(event).__name__, study.step(number).name if number else "") for number, event in new_events]


def names(study: Study, new_events: list[NewEvent]) -> list[str]:
    return [name for _, name in asked(study, new_events) if name]


def end(study: Study, number: int, event: e.AnyEvent) -> None:
    """Record the end of a step and of the steps that depend on it, and of the study if it was the last step."""
    new_events: list[NewEvent] = [(number, event)]
    study.record(new_events)
    study.record(fail_descendants(study.graph, 9_000, ended_badly(new_events)))
    study.record(complete(study.graph))


def fail(study: Study, number: int) -> None:
    token = study.start(number)
    end(study, number, e.StepFailed(token=token, at=9_000, cause=Cause.EXIT_CODE, message="exit code 1", exit_code=1))


def finish(study: Study, *numbers: int) -> None:
    for number in numbers:
        study.finish(number)
    study.record(complete(study.graph))
