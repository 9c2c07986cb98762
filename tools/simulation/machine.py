"""Hosts and their processes. `Machines` has the functions of `process` and `spawner` that a tick calls.

A tick always runs on the host `here`. Like the real functions, these only see the processes of that host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from maestro_es.adapters.host import Host
from maestro_es.adapters.process import Running
from maestro_es.core.environment import Environment
from tools.simulation.timeline import BEGINNING, Timeline


@dataclass
class SimulatedProcess:
    """A running process. A runner has the token among its `argv`, its step has it in its environment (`carries`)."""

    pid: int
    session: int
    argv: tuple[str, ...]
    carries: str = ""
    on_term: Callable[[], None] | None = None
    on_kill: Callable[[], None] | None = None


@dataclass
class Machine:
    """A host. `skew` is the error of its clock in microseconds. `job` is the job around the processes of a driver."""

    name: str
    skew: int
    boot: int = 1
    booted_at: int = BEGINNING - 5_000_000_000
    is_up: bool = True
    processes: dict[int, SimulatedProcess] = field(default_factory=dict)
    last_pid: int = 1000

    @property
    def boot_id(self) -> str:
        """An id that changes with each boot."""
        return f"{self.name}-boot{self.boot}"

    def identity(self, job: str = "") -> Host:
        """Return what a process on this host knows about it."""
        return Host(
            self.name, self.boot_id, 4, machine=f"machine-{self.name}", booted_at=self.booted_at + self.skew, job=job
        )

    def add(self, argv: Sequence[str], session: int = 0, carries: str = "") -> SimulatedProcess:
        """Start a process. Without a `session`, it leads a new one."""
        self.last_pid += 1
        process = SimulatedProcess(self.last_pid, session or self.last_pid, tuple(argv), carries)
        self.processes[process.pid] = process
        return process


class Machines:
    """All hosts on which ticks may run. `start` is called with the host, the process of a runner, and its input."""

    def __init__(
        self, timeline: Timeline, skews: Sequence[int], start: Callable[[Machine, SimulatedProcess, int], None]
    ) -> None:
        self.all = [Machine(f"login{number}", skew * 1_000_000) for number, skew in enumerate(skews, 1)]
        self.here = self.all[0]
        self._timeline = timeline
        self._start = start

    def reboot(self, machine: Machine, down_for: int) -> None:
        """End all processes of a host without warning. It comes back later."""
        self._end_all(machine)
        machine.is_up = False
        machine.boot += 1

        def come_up() -> None:
            machine.booted_at = self._timeline.now
            machine.is_up = True

        self._timeline.after(down_for, come_up)

    def _end_all(self, machine: Machine) -> None:
        for process in list(machine.processes.values()):
            self.end(machine, process.pid)

    def end(self, machine: Machine, pid: int) -> None:
        """Kill a process."""
        process = machine.processes.pop(pid, None)
        if process and process.on_kill:
            process.on_kill()

    # -- in place of the functions of `process` and `spawner` --------------------------------------------------------

    def spawn(
        self, argv: Sequence[str], env: Mapping[str, str], inherited: Environment | None = None
    ) -> tuple[int, int]:
        """Start a runner. It begins when the tick has closed its input."""
        its_end, our_end = os.pipe()
        process = self.here.add(argv)
        self._start(self.here, process, its_end)
        return process.pid, our_end

    def is_running(self, pid: int, word: str) -> bool:
        """Return whether a process has this word among its arguments."""
        process = self.here.processes.get(pid)
        return process is not None and word in process.argv

    def session_members(self, session: int) -> list[int]:
        """Return the processes of a session."""
        return [process.pid for process in self.here.processes.values() if process.session == session]

    def of_this_user(self) -> Iterator[Running]:
        """Yield all processes."""
        for process in self.here.processes.values():
            yield Running(process.pid, process.argv, "")

    def is_marked(self, pid: int, word: str, variable: str) -> bool:
        """Return whether a process has the word among its arguments or in its environment."""
        process = self.here.processes.get(pid)
        return process is not None and word in (*process.argv, process.carries)

    def carriers(self, word: str, variable: str) -> list[int]:
        """Return the processes with this word in their environment."""
        return [process.pid for process in self.here.processes.values() if process.carries == word]

    def kill(self, pids: Sequence[int]) -> list[int]:
        """Kill processes."""
        for pid in pids:
            self.end(self.here, pid)
        return []

    def terminate_group(self, leader: int) -> None:
        """Send SIGTERM to a runner."""
        process = self.here.processes.get(leader)
        if process and process.on_term:
            process.on_term()

    def reap(self) -> int:
        """Return 0: nothing has to be reaped."""
        return 0
