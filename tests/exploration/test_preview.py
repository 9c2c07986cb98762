"""In every explored world, a preview predicts the next tick, and makes no more queries than that tick.

These tests put the worlds on disk, with a log, claims and reports. The scheduler gives prepared answers and records
its calls. Each world is ticked with each answer of queue and accounting, before and after the grace time, and with the
step cancelled. A preview can't know the outcome of a submission, so the events about it are left out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from maestro_es.adapters.base import Adapters, Job, JobInfo, QueueEntry
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core import requests
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import Claim
from maestro_es.core.submission import Accepted, Outcome
from maestro_es.creation.create import create_log, make_directory
from maestro_es.errors import Unreachable
from maestro_es.poller.performers import LIVE
from maestro_es.poller.preview import Prediction, preview
from maestro_es.poller.tick import advance
from maestro_es.study.invocation import Runtime, open_as_it_is
from maestro_es.study.session import Session
from tests.exploration.log import in_flight, token
from tests.exploration.search import Exploration
from tests.exploration.world import World, account_answers, queue_answers
from tools.testbed.foreseen import new_events_after, told

#: The time of all events of a history. The tick comes two seconds later.
THEN = 1_000_000_000_000
NOW = THEN + 2_000_000

#: The suffix of the tokens that the tick makes.
REAL = "5a175a17"

#: The number of ticks, as a fingerprint. See `test_submission`.
TICKS = 1331

#: The text of a claim, for each word of the exploration.
CLAIMS = {"abandoned": "abandoned", "first": "7 node boot 1", "second": "7 node boot 2"}


class Case(NamedTuple):
    """One tick: its world, the answers of the scheduler, and whether a user has cancelled the step."""

    world: World
    queue: str
    accounts: str
    grace_seconds: float
    cancelled: bool


class Scheduler:
    """An adapter with prepared answers. Other queries get no answer."""

    name = "scheduler"
    cluster = ""
    extension = "sh"
    can_submit = True
    max_concurrent_submissions = 2

    def __init__(self, case: Case) -> None:
        self.grace_seconds = case.grace_seconds
        self.queries: list[str] = []
        self.calls: list[list[str]] = []
        self._case = case
        self._live: Collection[str] = ()

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return "#!/bin/sh"

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        return text

    def submission(self, job: Job) -> list[str]:
        return ["submit", job.token, str(job.workspace), job.script]

    def submit(self, job: Job) -> Outcome:
        self.calls.append(self.submission(job))
        return Accepted("8")

    def query_queue(
        self,
        steps: Sequence[StepRecord],
        claims: Mapping[str, Claim],
        listed: Sequence[QueueEntry] | None = None,
    ) -> dict[str, JobInfo]:
        answers = self._answer("queue", self._case.queue, steps)
        self._live = answers.keys()
        return answers

    def query_accounting(self, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        return self._answer("accounts", self._case.accounts, steps)

    def _answer(self, name: str, word: str, steps: Sequence[StepRecord]) -> dict[str, JobInfo]:
        self.queries.append(name)
        if word == "unreachable":
            raise Unreachable("no answer")
        state = JobState(word)
        job_id = "" if state is JobState.GONE else "7"
        return {step.token: JobInfo(state, word, None, job_id) for step in steps}

    def cancel_commands(self, steps: Sequence[StepRecord]) -> list[list[str]]:
        """Query the queue if it has not answered yet, as Slurm's adapter does."""
        if any(step.token not in self._live for step in steps):
            self.query_queue(steps, {})
        return [["cancel", step.job_id] for step in steps]

    def cluster_info(self) -> dict[str, str]:
        return {}

    def list_jobs(self) -> list[QueueEntry]:
        return []

    def find_by_token(self, runners: Collection[str]) -> dict[str, JobInfo]:
        return {}

    def has_orphans(self, step: StepRecord) -> bool:
        return False

    def cancel(self, steps: Sequence[StepRecord]) -> None:
        self.calls.extend(self.cancel_commands(steps))


@cache
def exploration() -> Exploration:
    return Exploration(1, 1, frozenset({"kill"}))


def starts() -> list[World]:
    """Return the worlds in which a tick begins. Worlds that differ only in the memory of pollers are returned once."""
    idle = (world for world in exploration().reached if world.pollers[0].at == "refresh")
    return list(dict.fromkeys(world._replace(faults=frozenset({"silence", "lie"}), misled=False) for world in idle))


def cases(world: World) -> Iterator[Case]:
    """Yield all possible next ticks."""
    record = exploration().log.step(world.log)
    if not in_flight(record):
        yield Case(world, "gone", "gone", 0, cancelled=False)
        return
    number = record.attempt
    for queue in dict.fromkeys(word for word, _ in queue_answers(world, number)):
        gone = queue == JobState.GONE.value
        accounts = dict.fromkeys(word for word, _ in account_answers(world, number)) if gone else ("gone",)
        for word in accounts:
            for grace in (0, 60) if gone else (60,):
                for cancelled in (False, True):
                    yield Case(world, queue, word, grace, cancelled)


def build(root: Path, case: Case) -> None:
    """Put a world on disk."""
    runtime = Runtime(now=lambda: THEN)
    study = make_directory(root)
    history = [
        (step, event if step else event.__class__(**{**_fields(event), **_place(event, root)}))
        for step, event in exploration().log.history(case.world.log)
    ]
    create_log(study, history, runtime)
    workspace = root / "step"
    workspace.mkdir()
    for number, attempt in enumerate(case.world.attempts, 1):
        if attempt.claim in CLAIMS:
            os.symlink(CLAIMS[attempt.claim], workspace / f".claim.{token(number)}")
    for name in case.world.inbox:
        (study.inbox / name).touch()
        os.utime(study.inbox / name, ns=(THEN * 1000, THEN * 1000))
    if case.cancelled:
        with Session(root, runtime) as opened:
            opened.request(requests.cancel)


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def _place(event: Any, root: Path) -> dict[str, str]:
    return {"root": str(root)} if hasattr(event, "root") else {}


def runtime_of(scheduler: Scheduler) -> Runtime:
    def adapters(batch: Mapping[str, Any], host: Host) -> Adapters:
        return Adapters(scheduler, LocalAdapter(batch, host))

    return Runtime(now=lambda: NOW, token_suffix=lambda: REAL, adapters=adapters)


def predict(root: Path, case: Case) -> tuple[Prediction, Scheduler]:
    scheduler = Scheduler(case)
    runtime = runtime_of(scheduler)
    with open_as_it_is(root, runtime, migrate=False) as log:
        return preview(log, root, runtime), scheduler


def check(root: Path, case: Case) -> set[str]:
    """Predict a tick, and run it. Returns the types of the events."""
    build(root, case)
    predicted, asked = predict(root, case)
    claims = set((root / "step").glob(".claim.*"))
    live = Scheduler(case)
    with Session(root, runtime_of(live)) as study:
        seq = study.log.head.seq
        unreachable = advance(study, LIVE)

    assert told(predicted.new_events, set()) == told(new_events_after(root, seq), {REAL})
    calls = [[word.replace(REAL, "dry") for word in call] for call in live.calls]
    assert [command.argv for command in predicted.commands] == calls
    assert set(predicted.claims) == set((root / "step").glob(".claim.*")) - claims
    assert predicted.unreachable == unreachable
    assert asked.calls == []
    assert asked.queries == live.queries
    return {type(event).__name__ for _, event in predicted.new_events}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory, if possible, because each log is synced several times."""
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108 - a directory of our own in it
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.timeout(300)
def test_a_preview_predicts_the_tick_of_every_world(folder: Path):
    ticks = [case for world in starts() for case in cases(world)]
    events: set[str] = set()
    for number, case in enumerate(ticks):
        try:
            events |= check(folder / str(number), case)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error
        shutil.rmtree(folder / str(number))

    assert len(ticks) == TICKS
    assert events >= {"AttemptAbandoned", "HardwareFailed", "JobSubmitted", "PollFailed", "StepFailed", "StepFinished"}
