"""Studies for tests: they are created without a study file, and the test runs each tick and reads the result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from maestro_es.adapters.base import Adapters
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Settings, StepRecord, StudyStatus
from maestro_es.creation.create import create_log, make_directory
from maestro_es.errors import Unreachable
from maestro_es.poller.tick import tick
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime, make_adapters
from maestro_es.study.layout import StudyDir
from maestro_es.study.session import Session
from tools.testbed.processes import DEADLINE
from tools.testbed.scheduler import FakeScheduler

Kind = TypeVar("Kind", bound=e.Event)

STUDY_ID = "feed" * 8


def hasty_adapters(batch: Mapping[str, Any], host: Host) -> Adapters:
    """Return the adapters of a study, with a short grace time of the scheduler."""
    adapters = make_adapters(batch, host)
    adapters.scheduler.grace_seconds = 0.3
    return adapters


@dataclass(frozen=True)
class Step:
    """A step of a test's study. Several may share a `template`; `funnels` names templates; it has more `keys`."""

    name: str
    cmd: str = "true"
    restart: str = ""
    walltime: str = ""
    template: str = ""
    parents: tuple[str, ...] = ()
    funnels: tuple[str, ...] = ()
    scheduled: bool = False
    restart_limit: int = 1
    keys: Mapping[str, Any] = field(default_factory=dict)


def quick_adapters(grace_seconds: float = 0.3) -> Callable[[Mapping[str, Any], Host], Adapters]:
    """Return a function that makes the adapters of a study, with a short grace time. It knows the type "fake", too."""

    def make(batch: Mapping[str, Any], host: Host) -> Adapters:
        local = LocalAdapter(batch, host)
        local.grace_seconds = grace_seconds
        if batch.get("type") == "fake":
            return Adapters(FakeScheduler(Path(batch["folder"]), grace_seconds), local)
        return Adapters(local, local)

    return make


def make_study(
    root: Path, steps: Sequence[Step], settings: Settings, adapter: dict[str, Any], runtime: Runtime
) -> StudyDir:
    """Create a study in a directory. Its runners note each request for a tick in `next-tick.calls`."""
    study = make_directory(root)
    study.next_tick.write_text('#!/bin/sh\necho called >>"${0%/*}/next-tick.calls"\n')
    created = e.StudyCreated(study_id=STUDY_ID, root=str(root), adapter=adapter, settings=settings)
    templates = {step.template or step.name: step for step in steps}
    numbers = {step.name: number for number, step in enumerate(steps, 1)}
    new_events: list[NewEvent] = [(None, created)]
    new_events += [(None, _template(name, step)) for name, step in templates.items()]
    new_events += [(number, _added(step, numbers)) for number, step in enumerate(steps, 1)]
    create_log(study, new_events, runtime)
    return study


def _template(name: str, step: Step) -> e.StepTemplateAdded:
    run = {"cmd": step.cmd, "restart": step.restart, "walltime": step.walltime}
    kept = {key: value for key, value in run.items() if value}
    return e.StepTemplateAdded(name=name, description="", run=kept | dict(step.keys))


def _added(step: Step, numbers: Mapping[str, int]) -> e.StepAdded:
    return e.StepAdded(
        name=step.name,
        template=step.template or step.name,
        workspace=step.name,
        parents=tuple(numbers[parent] for parent in step.parents),
        funnels=step.funnels,
        scheduled=step.scheduled,
        restart_limit=step.restart_limit,
    )


@dataclass
class Bench:
    """One study of a test. Each tick opens the study again, as a new process would."""

    root: Path
    runtime: Runtime = field(default_factory=lambda: Runtime(adapters=quick_adapters()))
    adapter: dict[str, Any] = field(default_factory=lambda: {"type": "local"})
    settings: Settings = field(default_factory=lambda: Settings(local_slots=8))

    def __post_init__(self) -> None:
        self.dir = StudyDir(self.root)
        self.ledger = self.root.with_name(f"{self.root.name}.ledger")
        self.scheduler = FakeScheduler(Path(self.adapter.get("folder", self.root.with_name("scheduler"))))

    def create(self, *steps: Step) -> None:
        """Create the study."""
        make_study(self.root, steps, self.settings, self.adapter, self.runtime)

    @property
    def sign(self) -> str:
        """The command with which a step signs the ledger."""
        return f'printf "%s\\n" "$MAESTRO_ES_TOKEN" >>"{self.ledger}"'

    def signed(self) -> list[str]:
        """Return the tokens in the ledger: the attempts that have run, in order."""
        return self.ledger.read_text().split() if self.ledger.exists() else []

    def open(self, **changes: Any) -> Session:
        """Open the study. `changes` are fields of its runtime."""
        return Session(self.root, structs.replace(self.runtime, **changes))

    def tick(self, **changes: Any) -> StudyStatus:
        """Run one tick."""
        with self.open(**changes) as study:
            return tick(study)

    def until(self, what: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Run ticks until a condition is true."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"ticked {seconds:.0f} s in vain; {self.story()}"
            with contextlib.suppress(Unreachable):
                self.tick()
            time.sleep(0.01)

    def until_reported(self, seconds: float = DEADLINE) -> None:
        """Wait until a runner has reported the end of its step."""
        end = time.monotonic() + seconds
        while not any(".exit." in report.name for report in self.dir.inbox.iterdir()):
            assert time.monotonic() < end, f"no report for {seconds:.0f} s"
            time.sleep(0.01)

    def finish(self, seconds: float = DEADLINE) -> StudyStatus:
        """Run ticks until the study has ended; returns its final status."""
        self.until(lambda: self.status is not StudyStatus.RUNNING, seconds)
        return self.status

    @property
    def status(self) -> StudyStatus:
        """The status of the study."""
        with self.open() as study:
            return study.status

    def step(self, name: str) -> StepRecord:
        """Return the recorded state of a step."""
        with self.open() as study:
            return study.graph.step(study.graph.number_of(name) or 0)

    def events(self, kind: type[Kind], step: str = "") -> list[Kind]:
        """Return the events of a kind, of all steps or of one."""
        with self.open() as study:
            number = study.graph.number_of(step) if step else None
            return [
                recorded.event
                for recorded in study.log.events()
                if isinstance(recorded.event, kind) and number in (None, recorded.step)
            ]

    def started(self) -> list[str]:
        """Return the attempts that the log says have started, sorted."""
        given_up = {event.token for event in self.events(e.AttemptAbandoned)}
        given_up |= {event.token for event in self.events(e.SubmissionWithdrawn)}
        return sorted({event.token for event in self.events(e.JobSubmitted)} - given_up)

    def story(self) -> str:
        """Return the history, for a message."""
        with self.open() as study:
            lines = [f"{r.seq} {r.step} {r.event}" for r in study.log.events() if r.step or r.seq]
        return "\n".join(lines[-40:])

    def check(self) -> None:
        """Check the invariants: the log is intact, and no attempt has run twice."""
        with self.open() as study:
            verify(study.log)
        signed = self.signed()
        assert len(signed) == len(set(signed)), f"an attempt has run twice: {signed}"
