"""The daemons of a cluster as processes. Each is identified by its pid and start time, and never by its name.

Only processes that were started here get signals. So a machine's own Slurm or MariaDB is safe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tools.slurm_cluster.packages import PATH

#: The time in which a daemon must start, or a job must end, in seconds. A controller asks a node each minute to end a
#: job.
PATIENCE = 150.0


class ClusterError(Exception):
    """An expected event in a cluster did not happen. The message names it and ends with the daemons' logs."""


def wait(what: str, happened: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something has happened. ClusterError if it does not happen in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise ClusterError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)


@dataclass
class Daemon:
    """One daemon: its command, the port or socket on which it listens when it is ready, and its process."""

    name: str
    argv: list[str]
    address: int | str
    folder: str
    environment: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    born: str = ""

    #: The daemons that this process has started. They stay as zombies until it reads their exit codes.
    children: ClassVar[dict[int, subprocess.Popen[bytes]]] = {}

    @property
    def output(self) -> Path:
        """The file with standard output and standard error."""
        return Path(self.folder, "log", f"{self.name}.out")

    def start(self) -> None:
        """Start the daemon in a minimal environment, and wait until it listens."""
        if self.running():
            raise ClusterError(f"{self.name} is running ({self.pid})")
        with self.output.open("ab") as log:
            child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": PATH, "SLURM_CONF": f"{self.folder}/etc/slurm.conf", **self.environment},
                start_new_session=True,
            )
        self.children[child.pid] = child
        self.pid, self.born = child.pid, process_state(child.pid)[1]
        wait(f"{self.name} to listen", lambda: self._listens() or not self.running())
        if not self.running():
            raise ClusterError(f"{self.name} ended at once:\n{self.last_words()}")

    def running(self) -> bool:
        """Whether the daemon exists, even if it is frozen."""
        if self.pid in self.children:
            self.children[self.pid].poll()
        return self.pid > 0 and process_state(self.pid)[1] == self.born

    def send(self, number: int) -> None:
        """Send a signal, and wait until it has taken effect."""
        if not self.running():
            raise ClusterError(f"{self.name} is not running")
        deliver(self.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            wait(f"the end of {self.name}", lambda: not self.running())
        elif number == signal.SIGSTOP:
            wait(f"{self.name} to freeze", lambda: process_state(self.pid)[0] == "T")

    def thaw(self) -> None:
        """Continue the daemon, if it is frozen."""
        if self.running():
            deliver(self.pid, signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Ask the daemon to end, even if it is frozen."""
        if self.running():
            deliver(self.pid, signal.SIGTERM)
            deliver(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """End the daemon, with SIGKILL if necessary."""
        self.ask_to_end()
        try:
            wait(f"the end of {self.name}", lambda: not self.running(), 20)
        except ClusterError:
            deliver(self.pid, signal.SIGKILL)
            wait(f"the end of {self.name}", lambda: not self.running(), 20)

    def last_words(self) -> str:
        """Return the last part of the daemon's output."""
        lines = self.output.read_text(errors="replace").splitlines()[-15:] if self.output.exists() else []
        return "\n".join(f"{self.name}: {line}" for line in lines)

    def _listens(self) -> bool:
        port = isinstance(self.address, int)
        address: tuple[str, int | str] | str = ("127.0.0.1", self.address) if port else str(self.address)
        with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as probe:
            probe.settimeout(1)
            return probe.connect_ex(address) == 0


def deliver(pid: int, number: int) -> None:
    """Send a signal to a process that may have just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def process_state(pid: int) -> tuple[str, str]:
    """Return the state (one letter) and the start time of a process.

    If there is none, or it is a zombie, return an empty string and "gone".

    The start time, in ticks since the boot, distinguishes a process from a later one with the same pid. If the first
    thread of a process is a zombie, its files and ports stay open until the last thread has ended.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return "", "gone"
    return ("", "gone") if after_name[0] == "Z" and len(threads) <= 1 else (after_name[0], after_name[19])


def step_daemons(folder: Path) -> Iterator[int]:
    """Find the slurmstepds of a cluster, which its slurmds start: one for each running job and node.

    They are identified by their open files, because a slurmstepd overwrites its environment with its title.
    """
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _is_step_daemon(int(entry), f"{folder}/"):
            yield int(entry)


def _is_step_daemon(pid: int, prefix: str) -> bool:
    try:
        return "slurmstepd" in os.readlink(f"/proc/{pid}/exe") and any(
            os.readlink(f"/proc/{pid}/fd/{number}").startswith(prefix) for number in os.listdir(f"/proc/{pid}/fd")
        )
    except OSError:  # it has just ended
        return False


def descendants(pid: int) -> Iterator[int]:
    """Find the descendants of a process, youngest first."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield from descendants(int(child))
                yield int(child)
    except OSError:  # it has just ended
        return
