"""The accounting knows no tokens of steps inside an allocation, so it is not asked about them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from maestro_es.core import events as e
from maestro_es.core.attempt_token import Placement, placed_suffix
from maestro_es.poller import usage
from maestro_es.study.session import Session
from tests.unit.core.making import Study

PLACED = f"cafe0123-1-1-{placed_suffix('a1', Placement('18', 0))}"


def session(token: str) -> tuple[Session, list[str]]:
    """Return a study whose only step has ended, and the commands that its scheduler gets."""
    made, asked = Study(adapter={"type": "slurm"}), list[str]()
    made.add("a", scheduled=True)

    class Scheduler:
        def query_usage(self, jobs: Any, _since: int, _facts: Any) -> dict[str, Any]:
            asked.extend(jobs)
            return {}

    submitted = SimpleNamespace(event=e.JobSubmitted(token=token, job_id="18.0"), recorded_at=1)
    log = SimpleNamespace(
        head=SimpleNamespace(seq=9), query=lambda *_: [(1, token)], events_of=lambda _: [submitted],
        events=lambda **_: [],
    )  # fmt: skip
    fake = SimpleNamespace(
        graph=made.graph, runtime=SimpleNamespace(now=lambda: 1), log=log,
        adapters=SimpleNamespace(scheduler=Scheduler()),
    )  # fmt: skip
    return cast("Session", fake), asked


def test_the_usage_of_a_step_inside_an_allocation_is_not_queried():
    study, asked = session(PLACED)

    usage.ask(study, 0)

    assert not asked
