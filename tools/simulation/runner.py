"""Runners and their steps, as `runner.sh` runs them: claims and reports are real files, processes are simulated."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from maestro_es.study.claims import make_claim
from tools.simulation.ledger import Ledger, Run, attempt_of, step_of
from tools.simulation.machine import Machine, SimulatedProcess
from tools.simulation.scenario import HOUR, MINUTE, Chance, Scenario
from tools.simulation.timeline import Timeline

SECOND = 1_000_000

#: How long a runner needs for a start, and a step for its end after a signal.
_MOMENT = SECOND // 100

#: From this attempt on, a step always succeeds soon.
_PATIENT = 8


class Site:
    """The file system that all hosts share. `root` is the present path of the study."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lose_reports = 0

    @property
    def state(self) -> Path:
        """The directory for the program's own files."""
        return self.root / ".maestro-es"


class Runners:
    """Runs steps. `ask_for_tick` is called when a local step has ended on a host."""

    def __init__(
        self,
        scenario: Scenario,
        timeline: Timeline,
        ledger: Ledger,
        site: Site,
        ask_for_tick: Callable[[Machine], None],
    ) -> None:
        self._scenario = scenario
        self._chance = Chance(scenario.seed)
        self._timeline = timeline
        self._ledger = ledger
        self._site = site
        self._ask_for_tick = ask_for_tick

    def behaviour(self, token: str) -> tuple[int, int]:
        """Return how long a step runs if nothing happens to it, in microseconds, and its exit code."""
        dice = self._chance.of("run", step_of(token), attempt_of(token))
        hours = dice.choice([0.05, 0.3, 1, 2, 3, 5, 8, 12])
        code = dice.choice([0] * 12 + [1, 3])
        return (int(hours * HOUR), code) if attempt_of(token) < _PATIENT else (MINUTE, 0)

    def walltime(self, token: str) -> int:
        """Return the walltime of a step in microseconds (0: none)."""
        number = step_of(token)
        return self._scenario.steps[number - 1].walltime * MINUTE if number <= len(self._scenario.steps) else 0

    def report(self, name: str, *, into: Path | None = None) -> None:
        """Put a report into the inbox, with the time of the file server."""
        if self._site.lose_reports and ".refused" not in name:
            self._site.lose_reports -= 1
            self._ledger.hurt.add(name.partition(".")[0])
            return
        path = (into or self._site.state) / "inbox" / name
        if path.parent.is_dir():
            path.touch()
            os.utime(path, ns=(self._timeline.now * 1000, self._timeline.now * 1000))

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def start_job(self, token: str, workspace: Path, owner: tuple[str, str, str, str], study: Path) -> Run | None:
        """Start the runner of a job. Returns the run, or None if it may not start. Its exit code is 75 then."""
        state = study / ".maestro-es"
        if not state.is_dir():  # the study was moved
            self._ledger.hurt.add(token)
            return None
        try:
            is_ours = make_claim(workspace, token, *owner)
        except OSError:
            self._ledger.hurt.add(token)
            self.report(f"{token}.unclaimed", into=state)
            return None
        if not is_ours:
            self.report(f"{token}.refused.{owner[0]}")
            return None
        self.report(f"{token}.started")
        return self._ledger.begin(token, owner[1])

    # -- local steps --------------------------------------------------------------------------------------------------

    def start_local(self, machine: Machine, process: SimulatedProcess, gate: int) -> None:
        """Start a local runner, which waits for "go"."""
        os.set_blocking(gate, False)
        process.on_kill = lambda: None
        self._timeline.after(_MOMENT, lambda: self._begin_local(machine, process, gate))

    def _begin_local(self, machine: Machine, process: SimulatedProcess, gate: int) -> None:
        try:
            go = os.read(gate, 16) == b"go\n"
        except BlockingIOError:  # the tick that started it hangs
            self._timeline.after(SECOND, lambda: self._begin_local(machine, process, gate))
            return
        os.close(gate)
        if machine.processes.get(process.pid) is not process:
            return
        argv = process.argv[2:] if process.argv[0] == "/bin/bash" else process.argv
        token, workspace = argv[1], Path(argv[2])
        if not go or not workspace.is_dir():
            self._ledger.hurt.add(token)
            self.report(f"{token}.dropped")
            machine.processes.pop(process.pid)
            return
        self._run_local(machine, process, token)

    def _run_local(self, machine: Machine, process: SimulatedProcess, token: str) -> None:
        run = self._ledger.begin(token, machine.name)
        child = machine.add(("step",), process.pid, token)
        child.on_kill = lambda: self._killed(run)
        duration, code = self.behaviour(token)
        limit = self.walltime(token)

        def end(how: str, report: str) -> None:
            if self._ledger.finish(run, how, code if how == "exit" else None):
                machine.processes.pop(child.pid, None)
                if machine.processes.pop(process.pid, None):
                    self.report(f"{token}.{report}")
                    self._ask_for_tick(machine)

        def on_term() -> None:
            self._ledger.signalled.add(token)
            self._timeline.after(SECOND, lambda: end("stopped", "stopped.143"))

        process.on_term = on_term
        if limit and limit < duration:
            self._timeline.after(limit, lambda: end("timeout", "timeout"))
        else:
            self._timeline.after(duration, lambda: end("exit", f"exit.{code}"))

    def _killed(self, run: Run) -> None:
        self._ledger.hurt.add(run.token)
        self._ledger.finish(run, "killed")
