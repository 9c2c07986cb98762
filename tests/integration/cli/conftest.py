"""Fixtures for commands that read: a study from events at known times, and the command line in this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from maestro_es.cli.main import main
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Cause, Param, Settings, SubmissionKind
from maestro_es.creation.create import create_log, make_directory
from maestro_es.store import study_log
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session

SECOND = 1_000_000

#: The time of the study's creation, 2026-01-31 12:00:00 UTC. Each later event is recorded one minute after the
#: previous one.
NOON = 1_769_860_800 * SECOND

STUDY_ID = "cafe" * 8


class Ran(NamedTuple):
    """The result of a run of the command line."""

    code: int
    out: str
    err: str


class Clock:
    """A clock that advances by one minute on request."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now

    def go_on(self) -> None:
        self.now += 60 * SECOND


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def run(capsys, monkeypatch) -> Callable[..., Ran]:
    """Return a function that runs the command line."""

    def call(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["maestro-es", *map(str, words)])
        capsys.readouterr()
        study_log._opened.clear()  # usually a process runs one command
        with pytest.raises(SystemExit) as left:
            main()
        return Ran(int(left.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Return the directory of a study with steps in several states.

    ::

        a_N.1  FINISHED       a_N.2  TIMEDOUT, then FAILED with exit code 3
        b_N.1  RUNNING        b_N.2  FAILED, because of a_N.2
        z      FAILED, because it waits for all of b
    """
    root = tmp_path / "pi"
    clock = Clock()
    monkeypatch.setattr(sys, "argv", ["maestro-es", "run", "pi.yaml"])
    runtime = Runtime(now=clock)
    create_log(make_directory(root), _plan(str(root)), runtime)
    for new_events in _story():
        clock.go_on()
        with Session(root, runtime) as opened:
            opened.log.append(new_events)
    workspace = root / "a" / "N.2"
    workspace.mkdir(parents=True)
    for name in ("a_N.2.sh", "a_N.2.1002.out", "a_N.2.1002.err", "a_N.20.out", "result.txt"):
        (workspace / name).touch()
    return root


def _plan(root: str) -> list[NewEvent]:
    new_events: list[NewEvent] = [
        (None, e.StudyCreated(study_id=STUDY_ID, root=root, name="pi", settings=Settings(submission_throttle=4))),
        (None, e.StepTemplateAdded(name="a", description="draws points", run={"cmd": "true", "restart": "true"})),
        (None, e.StepTemplateAdded(name="b", description="counts", run={"cmd": "true"})),
        (None, e.StepTemplateAdded(name="z", description="", run={"cmd": "true"})),
    ]
    rows = iter((2, 1, 3, 4, 5))  # Maestro's order differs from the launch order
    for template in ("a", "b"):
        for n in (1, 2):
            number = len(new_events) - 3
            added = e.StepAdded(
                name=f"{template}_N.{n}",
                template=template,
                workspace=f"{template}/N.{n}",
                params=(Param("N", f"{n}, [b]or[/b] so", f"N.{n}", "N"),),
                parents=(number - 2,) if template == "b" else (),
                restart_limit=1 if template == "a" else 0,
                row=next(rows),
            )
            new_events.append((number, added))
    return [*new_events, (5, e.StepAdded(name="z", template="z", workspace="z", funnels=("b",), row=next(rows)))]


def _story() -> Sequence[list[NewEvent]]:
    said = (e.Evidence(source="report", detail="exit.3"),)
    upstream = e.StepFailed(at=NOON + 300 * SECOND, cause=Cause.UPSTREAM, message="a_N.2 is FAILED", blocker=2)
    return (
        [(1, _request(1, 1)), (2, _request(2, 1))],
        [(1, _submitted(1, 1, "1000")), (2, _submitted(2, 1, "1001")), (1, _started(1, 1)), (2, _started(2, 1))],
        [
            (1, e.StepFinished(token="t-1-1", at=NOON + 180 * SECOND)),
            (2, e.StepTimedOut(token="t-2-1", at=NOON + 180 * SECOND)),
            (2, e.StepRestarted(number=1, limit=1)),
            (2, _request(2, 2, SubmissionKind.RESTART)),
            (3, _request(3, 1)),
        ],
        [(2, _submitted(2, 2, "1002")), (3, _submitted(3, 1, "1003")), (3, _started(3, 1))],
        [
            (
                2,
                e.StepFailed(
                    at=NOON + 300 * SECOND,
                    cause=Cause.EXIT_CODE,
                    message="exit code 3",
                    token="t-2-2",
                    exit_code=3,
                    evidence=said,
                ),
            ),
            (4, upstream),
            (5, upstream),
        ],
    )


def _request(step: int, attempt: int, kind: SubmissionKind = SubmissionKind.FIRST) -> e.SubmissionRequested:
    return e.SubmissionRequested(attempt=attempt, token=f"t-{step}-{attempt}", kind=kind)


def _submitted(step: int, attempt: int, job_id: str) -> e.JobSubmitted:
    return e.JobSubmitted(token=f"t-{step}-{attempt}", job_id=job_id, host="login1")


def _started(step: int, attempt: int) -> e.JobStarted:
    return e.JobStarted(token=f"t-{step}-{attempt}", at=NOON + 120 * SECOND, host="node1")
