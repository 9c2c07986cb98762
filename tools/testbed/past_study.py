"""A study with a past, made up in seconds: `python -m tools.testbed.past_study ROOT STEPS [SHARE]`.

It meshes, solves and post-processes for each combination of two parameters, on a cluster with a queue. Some steps
fail, run out of time or lose their node. With a SHARE below 1, the study is still running.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause, Param, StudyStatus, SubmissionKind
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session

START = 1_790_000_000_000_000
_SECOND = 1_000_000
_TICK = 60 * _SECOND
_STUDY_ID = "feed" * 8

#: What each template does, for whom it waits, and how long it runs, in seconds.
_TEMPLATES: Mapping[str, tuple[str, int]] = {"mesh": ("", 300), "solve": ("mesh", 5400), "post": ("solve", 120)}

_ERRORS = "reading mesh.h5\nstep 117: residual 1.2e+08\nTraceback (most recent call last):\nmesh {} is inverted\n"


class PastStudy:
    """Makes the events of a study, tick by tick."""

    def __init__(self, root: Path, steps: int, slots: int = 0) -> None:
        self.now = START
        self._root = root
        self._random = random.Random(4)  # noqa: S311 - the same study each time
        side = max(math.isqrt(max(steps // len(_TEMPLATES), 1)), 1)
        self._slots = slots or max(steps // 40, 2)
        self._sizes, self._seeds = range(side), range(side)
        self._combinations = [(size, seed) for size in self._sizes for seed in self._seeds]
        self._ready = list(range(1, len(self._combinations) + 1))
        self._ends: list[tuple[int, int, int]] = []
        self._attempts: dict[int, int] = {}
        self._failed: set[int] = set()

    @property
    def count(self) -> int:
        """How many steps the study has, with the last one, which waits for all others of its template."""
        return len(self._combinations) * len(_TEMPLATES) + 1

    def creation(self) -> Iterator[NewEvent]:
        """Yield the events that create the study."""
        yield (
            None,
            e.StudyCreated(
                study_id=_STUDY_ID, root=str(self._root), name="inverted meshes", adapter={"type": "local"}
            ),
        )
        number = 0
        for template, (parent, seconds) in _TEMPLATES.items():
            run = {"cmd": f"./{template}", "procs": 4, "walltime": f"{2 * seconds // 60}:00"}
            yield None, e.StepTemplateAdded(name=template, description="d", run=run)
            for size, seed in self._combinations:
                number += 1
                params = (
                    Param("SIZE", str(10 * (size + 1)), f"SIZE.{10 * (size + 1)}", "SIZE"),
                    Param("SEED", str(seed), f"SEED.{seed}", "SEED"),
                )
                name = f"{template}_{params[0].label}.{params[1].label}"
                parents = (number - len(self._combinations),) if parent else ()
                yield number, e.StepAdded(
                    name=name, template=template, workspace=f"{template}/{name}", params=params, parents=parents,
                    scheduled=True, restart_limit=1,
                )  # fmt: skip
        yield None, e.StepTemplateAdded(name="report", description="d", run={"cmd": "./report"})
        yield number + 1, e.StepAdded(name="report", template="report", workspace="report", funnels=("post",))

    def ticks(self, share: float) -> Iterator[list[NewEvent]]:
        """Yield the events of each tick, until this share of the steps has ended."""
        ended = 0
        while self._ready or self._ends:
            self.now += _TICK
            new_events: list[NewEvent] = []
            while self._ends and self._ends[0][0] <= self.now:
                ended += 1
                new_events += self._end(*heapq.heappop(self._ends))
            if share < 1 and ended >= share * self.count:
                break
            while self._ready and len(self._ends) < self._slots:
                new_events += self._submit(self._ready.pop(0))
            if new_events:
                yield new_events
        if share >= 1:
            yield [
                *self._without_run(self.count, self.count if not self._failed else min(self._failed)),
                (None, e.StudyCompleted(status=StudyStatus.FAILURE)),
            ]

    def _submit(self, number: int) -> Iterator[NewEvent]:
        attempt = self._attempts[number] = self._attempts.get(number, 0) + 1
        token = f"feedfeed-{number}-{attempt}-x"
        kind = SubmissionKind.FIRST if attempt == 1 else SubmissionKind.RESUBMIT
        host = f"n{self._random.randrange(40):02}"
        started = self.now + self._random.randrange(5, 1800) * _SECOND // 10
        seconds = list(_TEMPLATES.values())[(number - 1) // len(self._combinations)][1]
        end = started + int(seconds * self._random.lognormvariate(0, 0.4) * _SECOND)
        yield number, e.SubmissionRequested(attempt=attempt, token=token, kind=kind)
        yield number, e.JobSubmitted(token=token, job_id=str(40_000 + len(self._attempts) + attempt), host="login1")
        yield number, e.JobStarted(token=token, at=started, host=host)
        heapq.heappush(self._ends, (end, number, attempt))

    def _end(self, at: int, number: int, attempt: int) -> Iterator[NewEvent]:
        token = f"feedfeed-{number}-{attempt}-x"
        template, combination = divmod(number - 1, len(self._combinations))
        size, _ = self._combinations[combination]
        chance = self._random.random()
        if attempt == 1 and chance < 0.02:
            yield number, e.HardwareFailed(token=token, at=at, number=1, limit=3, reason="NODE_FAIL")
            self._ready.insert(0, number)
        elif template == 1 and size == len(self._sizes) - 1:
            yield number, e.StepFailed(token=token, at=at, cause=Cause.EXIT_CODE, message="exit code 3", exit_code=3)
            yield from self._fail(number, at, "FAILED")
        elif template == 1 and chance > 0.99:
            yield number, e.StepTimedOut(token=token, at=at, final="restart limit 1 was reached")
            yield from self._fail(number, at, "TIMEDOUT")
        else:
            yield number, e.StepFinished(token=token, at=at)
            if template + 2 <= len(_TEMPLATES):
                self._ready.append(number + len(self._combinations))

    def _fail(self, number: int, at: int, state: str) -> Iterator[NewEvent]:
        self._failed.add(number)
        yield from self._without_run(number + len(self._combinations), number, at, state)

    def _without_run(self, number: int, blocker: int, at: int = 0, state: str = "FAILED") -> Iterator[NewEvent]:
        yield (
            number,
            e.StepFailed(
                at=at or self.now, cause=Cause.UPSTREAM, message=f"step {blocker} is {state}", blocker=blocker
            ),
        )

    def write_errors(self, study: Session) -> None:
        """Write what the failed steps have written to standard error."""
        for number in sorted(self._failed):
            step = study.graph.step(number)
            folder = study.dir.path(step.workspace)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{step.name}.{step.job_id}.err").write_text(_ERRORS.format(number))


def make(root: Path, steps: int, share: float = 1.0) -> None:
    """Create the study and its past."""
    past = PastStudy(root, steps)
    runtime = Runtime(now=lambda: past.now)
    create_log(make_directory(root), past.creation(), runtime)
    with Session(root, runtime) as study:
        for new_events in past.ticks(share):
            study.log.append(new_events)
        past.write_errors(study)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))
