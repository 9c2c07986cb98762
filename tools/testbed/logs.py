"""Logs in files for tests: a clock that tests set, an identity, and a study with about every type of event."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import Cause, Param, SubmissionKind
from maestro_es.core.usage import Usage
from maestro_es.store.connection import Connection
from maestro_es.store.projection import ProjectedGraph
from maestro_es.store.step_rows import to_row
from maestro_es.store.study_log import StudyLog

IDENTITY = e.InvocationStarted(actor="me", host="login1", boot_id="boot1", pid=7, command="tick", version="1.0")
AFTER_REBOOT = msgspec.structs.replace(IDENTITY, boot_id="boot2")


class Clock:
    """A clock that advances by a second at each reading, unless it is set."""

    def __init__(self, now: int = 1_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


def create(path: Path, clock: Clock | None = None) -> StudyLog:
    """Create a log, with a new clock by default."""
    return StudyLog.create(path, clock or Clock(), IDENTITY)


def reopen(path: Path, identity: e.InvocationStarted = IDENTITY) -> StudyLog:
    """Open a log much later."""
    return StudyLog.open(path, Clock(5_000_000_000), identity)


def steps(first: int, names: Sequence[str], template: str, **fields: object) -> Iterator[NewEvent]:
    """Yield a template and steps of it, numbered from `first`."""
    yield None, e.StepTemplateAdded(name=template, description="", run={"cmd": "run", "restart": "more"})
    for number, name in enumerate(names, first):
        yield number, msgspec.structs.replace(e.StepAdded(name=name, template=template, workspace=name), **fields)


def attempt(number: int, count: int, kind: SubmissionKind = SubmissionKind.FIRST) -> Iterator[NewEvent]:
    """Yield the events from the request of an attempt to its start."""
    token = f"t{number}-{count}"
    yield number, e.SubmissionRequested(attempt=count, token=token, kind=kind)
    yield number, e.JobSubmitted(token=token, job_id=f"{number}{count}", host="node1", instance="boot1")
    yield number, e.JobStarted(token=token, at=2_000_000)


def history() -> list[NewEvent]:
    """Return events of about every type in a valid order, for 11 steps. Some of the steps are done."""
    said = (e.Evidence(source="queue", detail="ünknown"),)
    sims = [f"sim_SIZE.{size}" for size in (10, 20, 30)]
    return [
        (None, e.StudyCreated(study_id="cafe0123", root="/s", name="demo", spec="a: 1\n")),
        *steps(1, ["make"], "make"),
        *steps(2, sims, "sim", parents=(1,), params=(Param("SIZE", "10", "SIZE.10", "SIZE"),), scheduled=True),
        *steps(5, ["post"], "post", funnels=("sim",), restart_limit=2),
        *steps(6, ["report", "extra", "late"], "report", parents=(5,)),
        *steps(9, ["alone", "dry", "later"], "alone", workspaces={"make": "make"}),
        (11, e.ConnectionAdded(parent=9)),
        (None, e.SettingsChanged(what="submission_throttle", before=0, after=3, reason="busy")),
        (None, e.SettingsChanged(what="restart_limit", before=1, after=4)),
        (None, e.StudyPaused(reason="wait")),
        (None, e.StudyResumed()),
        *attempt(1, 1),
        (1, e.StepFinished(token="t1-1", at=3_000_000, evidence=said)),
        *attempt(2, 1),
        (2, e.StepTimedOut(token="t2-1", at=3_000_000)),
        (2, e.StepRestarted(number=1, limit=4)),
        *attempt(2, 2, SubmissionKind.RESTART),
        (2, e.StepFinished(token="t2-2", at=4_000_000)),
        *attempt(3, 1),
        (3, e.HardwareFailed(token="t3-1", at=3_000_000, number=1, limit=3, reason="NODE_FAIL", evidence=said)),
        (3, e.SubmissionRequested(attempt=2, token="t3-2", kind=SubmissionKind.RESUBMIT)),
        (3, e.SubmissionRejected(token="t3-2", message="queue is full", exit_code=1)),
        (3, e.SubmissionRequested(attempt=3, token="t3-3", kind=SubmissionKind.RESUBMIT)),
        (3, e.AttemptAbandoned(token="t3-3", evidence=said)),
        *attempt(3, 4, SubmissionKind.RESUBMIT),
        (3, e.StepFinished(token="t3-4", at=5_000_000)),
        *attempt(4, 1),
        (
            4,
            e.StepFailed(token="t4-1", at=5, cause=Cause.EXIT_CODE, message="exit code 2", exit_code=2, evidence=said),
        ),
        (5, e.StepFailed(at=6, cause=Cause.UPSTREAM, message="sim_SIZE.30 is FAILED", blocker=4)),
        (7, e.StepCancelled(at=7, message="cancelled before it ran")),
        (4, e.StepReset(reason="again")),
        (5, e.StepReset()),
        (10, e.StepDryRun(at=8)),
        (None, e.CancelRequested(steps=(8,), reason="not needed")),
        (None, e.PollFailed(adapter="slurm", message="timed out")),
        (None, e.ReportIgnored(token="t2-1", report="t2-1.exit.1")),
        (None, e.RebootDetected(host="login1", before="b0", after="boot1")),
        (None, e.TicksMissed(since=4_000_000, seconds=600)),
        (None, e.StudyRelocated(before="/s", after="/t")),
        (
            2,
            e.UsageReported(token="t2-1", usage=Usage(cpu=7, memory=8, nodes=2, cores=4, walltime=60, memory_limit=9)),
        ),
        (9, e.SubmissionRequested(attempt=1, token="t9-1", kind=SubmissionKind.FIRST)),
        (9, e.JobSubmitted(token="t9-1", job_id="91", adopted=True)),
    ]


def written(path: Path) -> StudyLog:
    """Return a log with the events of `history`, appended by two invocations in several transactions."""
    with create(path) as log:
        log.append(history()[:30])
    log = reopen(path)
    rest = history()[30:]
    for start in range(0, len(rest), 7):
        log.append(rest[start : start + 7])
    return log


def tables(graph: ProjectedGraph | MemoryGraph, count: int) -> tuple[object, ...]:
    """Return the whole state of a graph with this number of steps."""
    numbers = range(1, count + 1)
    return (
        msgspec.to_builtins(graph.study),
        [to_row(step) for step in graph.steps()],
        [graph.parents(number) for number in numbers],
        [graph.children(number) for number in numbers],
        [graph.funnels(number) for number in numbers],
        {step.template: (graph.funnel(step.template), graph.unfinished(step.template)) for step in graph.steps()},
    )


def same(log: StudyLog) -> bool:
    """Return whether the live graph is equal to a replay in memory."""
    replayed = log.replay()
    count = replayed.study.steps
    return tables(log.graph, count) == tables(replayed, count)


def instructions(log: StudyLog, action: Callable[[], object]) -> int:
    """Return how many SQLite instructions an action takes, in tens. The number is the same on every machine."""
    connection: Connection = vars(log)["_connection"]
    counted = [0]

    def count() -> None:
        counted[0] += 1

    connection.set_progress_handler(count, 10)
    action()
    connection.set_progress_handler(None, 0)
    return counted[0]


def meddle(path: Path, *statements: str) -> None:
    """Change a log from outside, without its triggers. The triggers are restored afterwards."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    with without_triggers(connection):
        for statement in statements:
            connection.execute(statement)
    connection.close()


@contextlib.contextmanager
def without_triggers(connection: sqlite3.Connection) -> Iterator[None]:
    """Drop the triggers that protect a log, until the block ends."""
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield
    if connection.execute("SELECT name FROM sqlite_master WHERE name = 'event'").fetchone():
        for _, sql in triggers:
            connection.execute(sql)
