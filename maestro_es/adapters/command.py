"""Commands: started, several at a time, and read until they end. One thread waits for all of them."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

#: Held while a process is made, and while a file is written that is to be executed. A child has open what we have
#: until it executes its own program, and Linux executes no file that anybody has open for writing (ETXTBSY). A tick
#: has one thread; a program that uses us as a library may have more.
making = _thread.allocate_lock()

#: Errors of a host that makes no more processes just now.
NO_ROOM = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

#: Signals that a process of ours does not inherit as ignored, whoever has started us.
DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)

#: A process that has closed its output is about to end. How often we look whether it has before we sleep for `_NAP`,
#: and for how long we look for the end of one that was killed, in seconds.
_LOOKS, _NAP, _AGONY = 100, 0.001, 1.0

#: In place of an exit code that somebody else has taken.
_TAKEN = 1000

#: How much is read at a time.
_MOST = 65536


class Completed(NamedTuple):
    """A command that has ended: its exit code (negative: the signal), and what it printed."""

    code: int
    out: str
    err: str


class Command:
    """A command that was started; ended when it has taken `timeout` seconds, or once it complains in words, `until`.

    It reads nothing, and what it prints is kept. With `until` it has a session of its own: it may be a script around
    another, which is ended with it. OSError says why it can't be started; FileNotFoundError: there is no such command.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        until: str = "",
    ) -> None:
        self._name = os.path.basename(argv[0])
        self._timeout = timeout
        self._end = time.monotonic() + (float("inf") if timeout is None else timeout)
        self._until = until.encode()
        self._out, self._err = bytearray(), bytearray()
        self._code: int | None = None
        self._too_late = False
        #: The ends of pipes that are open, and where what is read goes.
        self.reading: dict[int, bytearray] = {}
        self._pid = self._start(argv, os.environ if env is None else env)

    def _start(self, argv: Sequence[str], env: Mapping[str, str]) -> int:
        its_ends = []
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        try:
            for output, into in ((1, self._out), (2, self._err)):
                our_end, its_end = os.pipe()
                self.reading[our_end] = into
                its_ends.append(its_end)
                actions.append((os.POSIX_SPAWN_DUP2, its_end, output))
            with making:
                return os.posix_spawnp(
                    argv[0],
                    list(argv),
                    env,
                    file_actions=actions,
                    setsid=bool(self._until),
                    setsigmask=(),
                    setsigdef=DEFAULT_SIGNALS,
                )
        except BaseException:
            self._close()
            raise
        finally:
            for its_end in its_ends:
                os.close(its_end)

    @property
    def has_ended(self) -> bool:
        """Whether there is a result."""
        return self._code is not None

    def result(self) -> Completed:
        """Wait until it has ended, and return what came of it.

        TimeoutError if it was ended for taking too long, ChildProcessError if nobody can tell any more.
        """
        try:
            wait([self])
        except BaseException:
            self.kill()
            raise
        if self._too_late:
            raise TimeoutError(f"{self._name} has not answered within {self._timeout:.0f} s")
        if self._code == _TAKEN:
            raise ChildProcessError(f"the exit code of {self._name} was taken by another part of this process")
        out, err = (said.decode(errors="replace") for said in (self._out, self._err))
        return Completed(self._code or 0, out, err)

    # -- for `wait` --------------------------------------------------------------------------------------------------

    def patience(self) -> float:
        """Return for how many seconds there is nothing to do for it if it prints nothing."""
        return max(self._end - time.monotonic(), 0) if self.reading else _NAP

    def read(self, end: int) -> None:
        """Read what has come from a pipe."""
        said = os.read(end, _MOST)
        self.reading[end].extend(said)
        if not said:
            del self.reading[end]
            os.close(end)

    def settle(self) -> None:
        """Note that it has ended, and end it if it is time."""
        if self.has_ended:
            return
        complains = bool(self._until) and self._until in self._err
        self._too_late = not complains and time.monotonic() >= self._end
        if complains or self._too_late:
            self.kill()
        elif not self.reading:
            self._reap()

    def kill(self) -> None:
        """End it now, if it has not ended; one that the system holds fast is left to it."""
        self._close()
        end = time.monotonic() + _AGONY
        while not self._reap():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if self._until else os.kill)(self._pid, signal.SIGKILL)
            if time.monotonic() > end:
                self._code = -signal.SIGKILL

    def _reap(self) -> bool:
        """Take its exit code if it has ended, or ends within a moment; returns whether it has."""
        for _ in range(0 if self.has_ended else _LOOKS):
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # SIGCHLD is ignored in this process, or another thread waits for any child
                self._code = _TAKEN
                break
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
                break
            os.sched_yield()
        return self.has_ended

    def _close(self) -> None:
        for end in self.reading:
            os.close(end)
        self.reading.clear()


def wait(commands: Collection[Command]) -> list[Command]:
    """Return those of these commands that have ended; wait until there is one."""
    while not (ended := [command for command in commands if command.has_ended]):
        readers = {end: command for command in commands for end in command.reading}
        poll = select.poll()
        for end in readers:
            poll.register(end, select.POLLIN)
        patience = min(command.patience() for command in commands)
        for end, _ in poll.poll(None if patience == float("inf") else patience * 1000):
            readers[end].read(end)
        for command in commands:
            command.settle()
    return ended


def run(
    argv: Sequence[str], *, timeout: float | None = None, env: Mapping[str, str] | None = None, until: str = ""
) -> Completed:
    """Run a command to its end; see `Command`."""
    return Command(argv, timeout=timeout, env=env, until=until).result()
