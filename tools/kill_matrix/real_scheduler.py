"""The protocol of a real scheduler, for tests that run the same scenes on several, and for `tools/kill-matrix`."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar


class RealScheduler(ABC):
    """A scheduler with one node. `kind` is its batch type, `queue` a queue, and `head` the head of a study for it."""

    kind: ClassVar[str]
    head: ClassVar[str]
    queue: ClassVar[str]
    #: More keys of each scheduled step.
    keys: ClassVar[str] = ""
    #: The shortest walltime.
    shortest: ClassVar[str]
    #: The commands that are killed. One that is listed twice is killed twice as often. A second word is a subcommand.
    killed: ClassVar[tuple[str, ...]]
    #: The commands that submit jobs, each with its subcommand.
    submit_commands: ClassVar[tuple[str, ...]]
    #: The directory of the scheduler's files, and that of its commands.
    folder: Path
    bin: Path
    #: The beginnings of the names of variables that would change the behaviour of its commands.
    prefixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __init__(self, prefix: Path, folder: Path) -> None:
        """Take the directory where it is installed, and one for its files."""

    @abstractmethod
    def start(self) -> None:
        """Start the daemons, and wait until they answer."""

    @abstractmethod
    def stop(self) -> None:
        """End everything, and remove the files."""

    @abstractmethod
    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the scheduler, as its administrator."""

    @abstractmethod
    def batch(self, script: Path) -> str:
        """Submit a script with options for this scheduler. Return the id of its job."""

    @abstractmethod
    def cancel(self, job_id: str) -> int:
        """Cancel a job. Returns the exit code."""

    @abstractmethod
    def queued(self) -> list[str]:
        """Return the ids of the jobs that have not ended."""

    @abstractmethod
    def requeue(self, job_id: str) -> None:
        """Put a running job back into the queue, as an administrator can."""

    @abstractmethod
    def lose_node(self) -> None:
        """Kill the daemon that watches the jobs of the node. The jobs run on."""

    @abstractmethod
    def repair_node(self) -> None:
        """Start that daemon again."""

    @abstractmethod
    def signal_server(self, number: signal.Signals) -> None:
        """Send a signal to the daemon that takes submissions."""

    @abstractmethod
    def restart_server(self) -> None:
        """Start the killed server again, and wait until it answers."""

    def recover(self) -> None:
        """Undo what a test that has failed may have left."""
        return

    def fault(self, name: str) -> None:
        """Let the next submission be "lost" (there is a job, but no answer) or sent "twice"."""
        (self.folder / "fault").write_text(name)

    def variables(self) -> dict[str, str]:
        """Return the variables that lead to the scheduler."""
        return {}

    @abstractmethod
    def version(self) -> str:
        """Return the name and the version of the scheduler."""
