"""Runs ticks on the simulated hosts. A tick may die, hang or be overtaken at each of its effects.

Each tick is a separate process, which opens the study again. Only a driver in the foreground keeps it open.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from maestro_es.adapters.base import Adapter, Job, Submitting
from maestro_es.core.events import Recorded
from maestro_es.core.model import StepRecord, StudyStatus
from maestro_es.core.observations import Claim, Report
from maestro_es.core.submission import Outcome, SubmittedScript
from maestro_es.errors import ConcurrentAppend, LogUnavailable, MaestroError
from maestro_es.poller.performers import Live
from maestro_es.poller.preview import Prediction, preview
from maestro_es.poller.submit import submit_and_defer
from maestro_es.poller.tick import Submit, advance
from maestro_es.store.study_log import StudyLog
from maestro_es.study import last_tick
from maestro_es.study.invocation import Driver, Runtime, open_as_it_is
from maestro_es.study.session import Session
from maestro_es.study.workspace import ScriptOf
from tools.simulation.ledger import Ledger
from tools.simulation.machine import Machine, Machines
from tools.simulation.runner import Site
from tools.simulation.scenario import MINUTE, Chance
from tools.simulation.timeline import Timeline


class Dies(BaseException):
    """The process is killed here."""


class Fault(NamedTuple):
    """What happens to a tick, and at which of its effects: dies, power cut, hangs, ticks overlap or has no space.

    If the effect has a `name`, it is the next one with that name, in this tick or in a later one.
    """

    kind: str
    effect: int
    minutes: int
    name: str = ""


class Mortal(Live):
    """Performs each effect of a tick. `effect` is called before and after it, and may raise `Dies`."""

    def __init__(self, effect: Callable[[str], None]) -> None:
        self._effect = effect

    def fence(self, workspace: Path, token: str) -> Claim:
        self._effect("takes a claim")
        claim = super().fence(workspace, token)
        self._effect("has taken a claim")
        return claim

    def remove_reports(self, inbox: Path, reports: Iterable[Report]) -> None:
        for report in reports:
            self._effect("removes a report")
            super().remove_reports(inbox, [report])

    def cancel(self, adapter: Adapter, steps: Sequence[StepRecord]) -> None:
        self._effect("cancels")
        super().cancel(adapter, steps)

    def write_scripts(self, script: ScriptOf) -> tuple[Job, SubmittedScript]:
        self._effect("writes scripts")
        return super().write_scripts(script)

    def keep_outputs(self, job: Job, events: Iterable[Recorded]) -> None:
        self._effect("keeps outputs")
        super().keep_outputs(job, events)

    def submit(self, adapter: Adapter, job: Job, step: int) -> Outcome | Submitting:
        self._effect("submits")
        return super().submit(adapter, job, step)

    def write_status(self, study: Session) -> None:
        self._effect("writes status.csv")
        super().write_status(study)

    def note(self, study: Session, note: last_tick.Note) -> None:
        self._effect("notes the last event")
        super().note(study, note)

    def note_tick(self, study: Session) -> None:
        self._effect("notes its time")
        super().note_tick(study)


class Ticker:
    """Runs ticks. `faults` happen to the next ticks. `seen` is called after each tick with whether it was undisturbed.

    `compare` gets a prediction, the seq after which the tick has written, and its token suffixes.
    """

    def __init__(self, chance: Chance, timeline: Timeline, machines: Machines, site: Site, ledger: Ledger) -> None:
        self.faults: list[Fault] = []
        self.seen: Callable[[bool], None] = lambda _clean: None
        self.compare: Callable[[Prediction, int, set[str]], None] = lambda _prediction, _seq, _suffixes: None
        self.log: Callable[[str], None] = lambda _line: None
        self.ticks = 0
        self._chance = chance
        self._timeline = timeline
        self._machines = machines
        self._site = site
        self._ledger = ledger
        self._foreground: dict[str, tuple[Session, Machine]] = {}
        self._depth = 0
        self._current: Fault | None = None
        self._log: StudyLog | None = None
        self._effects = 0
        self._disturbed = False
        self._suffixes: set[str] = set()

    def runtime(self, machine: Machine, driver: Driver, job: str = "") -> Runtime:
        """Return the clock, the host and the identity of a process."""
        dice = self._chance.of("tick", self.ticks)

        def suffix() -> str:
            number = len(self._suffixes)
            text = f"{self.ticks:04x}{number:04x}"
            self._suffixes.add(text)
            return text

        return Runtime(
            host=machine.identity(job),
            now=lambda: self._timeline.now + machine.skew,
            token_suffix=suffix,
            submit_seconds=0 if dice.random() < 0.1 else 1e9,
            on_effect=lambda name: self.effect(f"after {name}"),
            driver=driver,
        )

    # -- effects ------------------------------------------------------------------------------------------------------

    def effect(self, name: str) -> None:
        """Let the fault of the present tick happen if its time has come. Inside a transaction, a tick can only die."""
        if not self._depth:
            return
        self._effects += 1
        fault = self._current
        if not fault or self._effects < fault.effect or fault.name not in ("", name):
            return
        is_locked = name == "commits" or (self._log is not None and self._log.in_transaction)
        if fault.kind in ("hangs", "ticks overlap") and is_locked:
            return
        self._current = None
        self._disturbed = True
        self.log(f"the tick on {self._machines.here.name} {fault.kind} ({name})")
        if fault.kind == "hangs":
            self.wait(fault.minutes * MINUTE)
        elif fault.kind == "ticks overlap":
            other = self._machines.all[fault.minutes % len(self._machines.all)]
            self._aside(lambda: self.tick(other, Driver.PERSON))
        elif fault.kind == "has no space":
            is_process = name.startswith(("calls", "has called", "starts"))
            number = errno.EAGAIN if is_process else errno.ENOSPC
            raise OSError(number, os.strerror(number), "simulated")
        else:
            if fault.kind == "power cut":
                self._machines.reboot(self._machines.here, fault.minutes * MINUTE)
            raise Dies

    def wait(self, micros: int) -> None:
        """Let others go on for a time."""
        self._aside(lambda: self._timeline.run_until(self._timeline.now + micros))

    def _aside(self, what: Callable[[], None]) -> None:
        """Let others go on while the present tick does nothing."""
        kept = self._machines.here, self._depth, self._effects, self._suffixes, self._log
        self._depth = 0
        try:
            what()
        finally:
            self._machines.here, self._depth, self._effects, self._suffixes, self._log = kept
            self._current, self._disturbed = None, True

    # -- ticks --------------------------------------------------------------------------------------------------------

    def tick(self, machine: Machine, driver: Driver = Driver.CRON) -> None:
        """Run a tick in a process of its own, unless the host is down or another tick has the lock."""
        if not machine.is_up or self._depth:
            return
        self.ticks += 1
        runtime = self.prepare(machine, driver)
        predicted = self._predict(runtime)

        def run() -> dict[str, str]:
            with Session(self._site.root, runtime) as study:
                return self._advance(study)

        self._run(run, predicted)

    def prepare(self, machine: Machine, driver: Driver, job: str = "") -> Runtime:
        """Begin a process on a host, and return what it knows."""
        self._machines.here = machine
        self._effects, self._disturbed, self._suffixes = 0, False, set()
        return self.runtime(machine, driver, job)

    def _predict(self, runtime: Runtime) -> tuple[Prediction, int] | None:
        """Return what the next tick should do, for some of the ticks."""
        if self.faults or self._chance.of("predict", self.ticks).random() > 0.3:
            return None
        try:
            with open_as_it_is(self._site.root, runtime, migrate=False) as log:
                return preview(log, self._site.root, runtime), log.head.seq
        except MaestroError:
            return None

    def _run(self, what: Callable[[], dict[str, str]], predicted: tuple[Prediction, int] | None = None) -> bool:
        """Run a tick with the next fault. Returns whether its process still lives."""
        self._current = self.faults.pop(0) if self.faults else None
        self._depth = 1
        unreachable: dict[str, str] | None = None
        lives = True
        try:
            unreachable = what()
        except (Dies, Exception) as error:  # noqa: BLE001 - an unexpected error is a broken promise
            lives = isinstance(error, ConcurrentAppend)
            self._judge(error)
        finally:
            self._depth = 0
            self._keep_fault()
        clean = unreachable == {} and not self._disturbed
        suffixes = set(self._suffixes)
        self.seen(clean)
        if predicted and clean:
            self.compare(*predicted, suffixes)
        return lives

    def _keep_fault(self) -> None:
        """Keep a fault for the next tick if the present one did not come to its effect."""
        if self._current and self._current.name:
            self.faults.insert(0, self._current)
        self._current = None

    def _advance(self, study: Session, submit: Submit | None = None) -> dict[str, str]:
        self._log = study.log
        return advance(study, Mortal(self.effect), submit=submit)

    def _judge(self, error: BaseException) -> None:
        """Blame an error that a tick may not have. Of the others, a command prints one line."""
        if isinstance(error, (Dies, ConcurrentAppend, LogUnavailable, OSError)):
            if not self._disturbed:
                self._ledger.blame(f"an undisturbed tick ends with {type(error).__name__}: {error}")
        else:
            self._ledger.blame(f"a tick ends with an error:\n{''.join(traceback.format_exception(error))}")

    # -- drivers in the foreground ------------------------------------------------------------------------------------

    def start_foreground(self, machine: Machine, job: str) -> None:
        """Start a driver that keeps the study open, as ``run --wait`` and ``drive`` do."""
        if machine.is_up and machine.name not in self._foreground and not self._depth:
            driver = Driver.DRIVE if job else Driver.WAIT
            self.ticks += 1
            with suppress(MaestroError):
                self._foreground[machine.name] = Session(self._site.root, self.prepare(machine, driver, job)), machine

    def pass_on(self, machine: Machine, *, again: Callable[[], None] = lambda: None) -> None:
        """Make a pass of the driver on a host, if there is one. `again` is called if it lives on."""
        if machine.name not in self._foreground or self._depth:
            return
        study, _ = self._foreground.pop(machine.name)
        self.ticks += 1
        self.prepare(machine, study.runtime.driver)
        is_same = study.runtime.host.boot_id == machine.boot_id and study.dir.root == self._site.root
        if not is_same or not self._run(lambda: self._advance(study, submit_and_defer)):
            study.log.close()
            return
        self._foreground[machine.name] = study, machine
        if study.status is StudyStatus.RUNNING:
            again()

    def stop_foreground(self, machine: Machine) -> None:
        """Stop the driver on a host. In a job, it ends its local steps first, as `poller.foreground` does."""
        if machine.name not in self._foreground or self._depth:
            return
        study, _ = self._foreground[machine.name]
        if study.runtime.host.job and machine.is_up:
            study.leaving = True
            self.pass_on(machine)
            self._end_local_steps(machine)
            self._timeline.run_until(self._timeline.now + 5_000_000)
            self.pass_on(machine)
        self._close(machine)

    def _end_local_steps(self, machine: Machine) -> None:
        if machine.name in self._foreground:
            study, _ = self._foreground[machine.name]
            self._machines.here = machine
            ours = [step for step in study.graph.in_flight() if not step.scheduled and step.job_host == machine.name]
            study.adapters.local.cancel(ours)

    def _close(self, machine: Machine) -> None:
        entry = self._foreground.pop(machine.name, None)
        if entry:
            entry[0].log.close()
