"""Runs one scenario: a week, and then as many ticks without faults as the study needs to end."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.core.model import Settings
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.environment_file import keep
from maestro_es.study.invocation import Driver, Runtime
from maestro_es.study.surroundings import surroundings
from tools.simulation.cluster import Cluster
from tools.simulation.controller import Controller
from tools.simulation.ledger import Ledger
from tools.simulation.machine import Machine, Machines
from tools.simulation.people import People
from tools.simulation.promises import Promises
from tools.simulation.runner import SECOND, Runners, Site
from tools.simulation.scenario import HOUR, MINUTE, WEEK, Action, Chance, Scenario
from tools.simulation.stage import staged
from tools.simulation.ticking import Fault, Ticker
from tools.simulation.timeline import BEGINNING, Timeline

#: How many rounds of ticks a study may need after the last fault.
_ROUNDS = 400

#: After this many rounds, a user who waits for the end reads `why`, and again after as many.
_PATIENCE = 100

#: After a study has ended, cron runs only one tick in this many, because a tick would have nothing to do.
_SELDOM = 12

#: The kinds of actions that are faults of the next tick, answers to the next submission, and moods of the cluster.
_TICK_FAULTS = {
    "tick dies": ("dies", ""),
    "dies at commit": ("dies", "commits"), "dies at submission": ("dies", "has called sbatch"),
    "power cut": ("power cut", ""), "tick hangs": ("hangs", ""), "ticks overlap": ("ticks overlap", ""),
    "no space": ("has no space", ""),
}  # fmt: skip
_ANSWERS = (
    "refuse", "full", "deaf", "doubt", "late", "lose", "garbage", "twice", "reuse", "no array", "full array",
)  # fmt: skip
_MOODS = (
    "silent", "hang", "garbled", "cut off", "no accounts", "blind", "strange state", "delayed", "no cancel",
)  # fmt: skip


class Result(NamedTuple):
    """The result of a week: the broken promises, the story, and how often each type of event was written."""

    broken: list[str]
    story: list[str]
    events: Counter[str]
    ticks: int
    digest: str


class Week:
    """One simulated week in a directory."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.story: list[str] = []
        self._scenario = scenario
        self._timeline = Timeline()
        self._ledger = Ledger(self._timeline)
        self._site = Site(folder / "study")
        self._home = folder / "home"
        chance = Chance(scenario.seed)
        self._runners = Runners(scenario, self._timeline, self._ledger, self._site, self._tick_after)
        self._machines = Machines(self._timeline, scenario.skews, self._runners.start_local)
        self._cluster = Cluster(scenario, self._timeline, self._ledger, self._runners)
        self._controller = Controller(scenario, self._timeline, self._ledger, self._cluster)
        self._ticker = Ticker(chance, self._timeline, self._machines, self._site, self._ledger)
        self._cron = self._machines.all[0]
        self._no_cron_until = 0
        self._beats = 0
        self._driver = Driver.CRON
        self._is_draining = False

    def run(self) -> Result:
        """Run the week."""
        with staged(self._home, self._machines, self._controller, self._ticker.effect, self._ticker.wait):
            self._create()
            runtime = self._ticker.prepare(self._cron, Driver.PERSON)
            self._promises = Promises(self._site, runtime, self._ledger, self._cluster)
            self._people = People(self._site, self._ledger, self._ticker, self._promises)
            self._ledger.is_current = self._promises.is_current
            self._ticker.seen = lambda clean: self._promises.after_tick(clean=clean)
            self._ticker.compare = self._promises.compare
            self._ticker.log = self._tell
            with contextlib.closing(self._promises):
                self._promises.look()
                self._live()
                self._drain()
                return self._result()

    def _result(self) -> Result:
        self._promises.verify()
        digest = self._promises.shape()
        return Result(self._ledger.broken, self.story, self._promises.counts, self._ticker.ticks, digest)

    def _tell(self, line: str) -> None:
        minutes = (self._timeline.now - BEGINNING) // MINUTE
        self.story.append(f"day {minutes // 1440 + 1} {minutes // 60 % 24:02}:{minutes % 60:02}  {line}")

    def _create(self) -> None:
        scenario = self._scenario
        study = make_directory(self._site.root)
        adapter = {"type": "slurm", "host": "simulated", "bank": "b", "queue": "q"}
        settings = msgspec.convert(scenario.settings, Settings)
        study_id = f"{scenario.seed % 2**32:08x}" * 4
        created = e.StudyCreated(
            study_id=study_id, root=str(study.root), adapter=adapter, settings=settings,
            scheduler={"ClusterName": "simulated", "SLURM_VERSION": "23.02.7", "MaxArraySize": "1001"},
        )  # fmt: skip
        around = surroundings(environ={"PATH": "/usr/bin", "HOME": "/home/ada"})._replace(job="")
        new_events: list[NewEvent] = [(None, created), (None, keep(study, around, salt="salt"))]
        for step in {step.template: step for step in scenario.steps}.values():
            run = {
                "cmd": "true",
                "walltime": str(step.walltime) if step.walltime else "",
                "nodes": 1 if step.scheduled else "",
            }
            run["restart"] = "true" if step.restart else ""
            kept = {key: value for key, value in run.items() if value}
            new_events.append((None, e.StepTemplateAdded(name=step.template, description="", run=kept)))
        for number, step in enumerate(scenario.steps, 1):
            limit = settings.restart_limit if step.restart else 0
            added = e.StepAdded(
                name=step.name, template=step.template, workspace=step.name, parents=step.parents,
                funnels=step.funnels, scheduled=step.scheduled, restart_limit=limit,
            )  # fmt: skip
            new_events.append((number, added))
        machine = self._machines.all[0]
        create_log(study, new_events, Runtime(host=machine.identity(), now=lambda: self._timeline.now))

    # -- the week -----------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        for action in self._scenario.actions:
            self._timeline.at(BEGINNING + action.at, partial(self._act, action))
        self._timeline.after(MINUTE, self._beat)
        end = BEGINNING + WEEK
        while self._timeline.now < end and not self._ledger.broken:
            self._timeline.run_until(min(self._timeline.now + 2 * HOUR, end))
            last = not self._scenario.actions or self._timeline.now > BEGINNING + self._scenario.actions[-1].at + HOUR
            if last and self._promises.is_over():
                return

    def _beat(self) -> None:
        """Let cron run a tick, and plan the next one."""
        if self._is_draining:
            return
        self._timeline.after(self._scenario.tick_minutes * MINUTE, self._beat)
        self._beats += 1
        runs = self._timeline.now >= self._no_cron_until
        if runs and (not self._promises.is_over() or self._beats % _SELDOM == 0):
            self._ticker.tick(self._cron, self._driver)

    def _tick_after(self, machine: Machine) -> None:
        """Let a tick follow the end of a local step, as its runner requests."""
        self._timeline.after(SECOND, lambda: self._ticker.tick(machine, Driver.RUNNER))

    def _act(self, action: Action) -> None:
        """Let an action happen."""
        if self._is_draining or self._ledger.broken:
            return
        kind, first, second = action.kind, action.first, action.second
        self._tell(str(action))
        machine = self._machines.all[first % len(self._machines.all)]
        if kind in _TICK_FAULTS:
            # Faults come early in a tick or late.
            what, effect = _TICK_FAULTS[kind]
            number = 1 if effect else 1 + first % (5 + second % 30)
            self._ticker.faults.append(Fault(what, number, 1 + second % 600, effect))
        elif kind in _ANSWERS:
            self._controller.answers += [kind] * (1 + second % 2)
        elif kind in _MOODS:
            self._cluster.moods[kind] = self._timeline.now + (1 + second % 300) * MINUTE
        elif kind in self._people.requests:
            self._people.ask(kind, self._machines.all[second % len(self._machines.all)], first, second)
        elif kind in self._hosts:
            self._hosts[kind](machine, second)
        else:
            self._cluster.happen(kind, first, second)

    @property
    def _hosts(self) -> dict[str, Callable[[Machine, int], None]]:
        """The actions about hosts and drivers."""
        return {
            "cron moves": lambda machine, _: self._move_cron(machine, Driver.CRON),
            "scrontab": lambda machine, _: self._move_cron(machine, Driver.SCRONTAB),
            "cron stops": self._stop_cron,
            "foreground": lambda machine, number: self._start_driver(machine, number, ""),
            "batch job drives": lambda machine, number: self._start_driver(machine, number, f"slurm:{number + 7000}"),
            "reboot": lambda machine, _: self._machines.reboot(machine, 3 * MINUTE),
            "host goes down": lambda machine, number: self._machines.reboot(machine, (1 + number % 48) * HOUR),
            "clock jumps": self._jump,
            "runner killed": self._kill_runner,
            "report lost": lambda _machine, number: self._lose_reports(1 + number % 2),
            "extra tick": lambda machine, _: self._ticker.tick(machine, Driver.PERSON),
            "edit script": lambda _machine, number: self._people.edit_script(number),
            "rename": lambda _machine, _number: self._people.rename(),
            "environment lost": lambda _machine, number: self._lose_environment(number),
        }

    def _move_cron(self, machine: Machine, driver: Driver) -> None:
        self._cron, self._driver = machine, driver

    def _stop_cron(self, _machine: Machine, number: int) -> None:
        self._no_cron_until = self._timeline.now + (1 + number % 30) * HOUR

    def _start_driver(self, machine: Machine, number: int, job: str) -> None:
        self._ticker.start_foreground(machine, job)
        end = self._timeline.now + (1 + number % 20) * HOUR

        def again() -> None:
            if self._timeline.now < end and not self._is_draining:
                self._timeline.after(self._scenario.tick_minutes * MINUTE, go_on)
            else:
                self._ticker.stop_foreground(machine)

        def go_on() -> None:
            self._ticker.pass_on(machine, again=again)

        go_on()

    def _jump(self, machine: Machine, number: int) -> None:
        machine.skew += (number - 500) * SECOND // 10

    def _kill_runner(self, machine: Machine, number: int) -> None:
        """Kill the runner of a local step, with or without the step."""
        runners = [process for process in machine.processes.values() if process.pid == process.session]
        if runners:
            runner = runners[number % len(runners)]
            for process in [*machine.processes.values()]:
                if process.session == runner.pid and (process is runner or number % 2):
                    self._ledger.hurt.update([process.carries] if process.carries else runner.argv)
                    self._machines.end(machine, process.pid)

    def _lose_environment(self, number: int) -> None:
        """Take the file with the environment of the steps away for some hours."""
        for path in self._site.state.glob("environment.*"):
            aside = self._home.with_name(path.name)
            path.rename(aside)
            self._timeline.after((1 + number % 30) * HOUR, partial(self._put_back, aside))

    def _put_back(self, aside: Path) -> None:
        aside.rename(self._site.state / aside.name)

    def _lose_reports(self, count: int) -> None:
        self._site.lose_reports += count

    # -- the end ------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Let all faults stop, let users release everything, and tick until the study has ended."""
        if self._ledger.broken:
            return
        self._is_draining = True
        self._tell("all faults stop")
        self._stop_faults()
        for number in range(1, _ROUNDS):
            if number % _PATIENCE == 0:
                self._people.follow(self._cron)
            self._timeline.run_until(self._timeline.now + 10 * MINUTE)
            for machine in self._machines.all:
                self._ticker.tick(machine)
            if self._ledger.broken:
                return
            if self._promises.is_over():
                self._timeline.run_until(self._timeline.now + 8 * HOUR)  # jobs that start late must not run a step
                self._promises.check_end()
                return
        states = ", ".join(f"{step.name} {step.state.name} {step.phase.name}" for step in self._promises.graph.steps())
        self._ledger.blame(f"the study does not end: {states}")

    def _stop_faults(self) -> None:
        self._ticker.faults.clear()
        self._controller.answers.clear()
        self._cluster.moods.clear()
        self._site.lose_reports = 0
        for machine in self._machines.all:
            self._ticker.stop_foreground(machine)
        self._timeline.run_until(self._timeline.now + 49 * HOUR)  # hosts come up again
        steps = [*self._promises.graph.steps()]
        self._people.ask("resume", self._cron, 0, 0)
        for number, step in enumerate(steps):
            if step.held:
                self._people.ask("release", self._cron, number, 0)


def simulate(scenario: Scenario) -> Result:
    """Run a scenario in a directory in memory, if possible."""
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of our own in it
    with tempfile.TemporaryDirectory(dir=where, prefix="maestro-es-week-") as folder:
        return Week(scenario, Path(folder)).run()
