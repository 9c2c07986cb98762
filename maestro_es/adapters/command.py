"""Starts commands, several at a time, and reads their output until they end. One thread waits for all of them.

The adapters decide which commands to run. `maestro_es.adapters.spawner` starts processes that outlive a tick.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # `signal` is slow to import
import _thread
import contextlib
import errno
import os
import select
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from maestro_es.core.environment import Environment
from maestro_es.errors import Unreachable

#: This lock is held while a process is started, and while an executable file is written. Until a child executes its
#: program, it shares the open files of its parent. Linux does not execute a file that any process has open for writing
#: (ETXTBSY). A tick has one thread, but a program that uses maestro-es as a library may have more.
making = _thread.allocate_lock()

#: Errors of a host that can't start more processes at the moment.
NO_ROOM = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

#: Signals that child processes never inherit as ignored. Python itself ignores two of them.
_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)

#: Signals that a step does not inherit as ignored, even under nohup. They include those that may be sent to a step.
_OF_STEPS = (*_SIGNALS, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGURG)

#: The interval for checking the end of a process without a pidfd, and how long to wait for the end of a killed
#: process, in seconds.
_POLL_S, _KILL_WAIT_S = 0.001, 1.0

#: Replaces an exit code that another part of this process has collected.
_REAPED_ELSEWHERE = 1000

#: The number of bytes read at a time, and how many times to read after the timeout, because output may have arrived in
#: time.
_READ_SIZE, _MAX_LATE_READS = 65536, 16

#: See os.posix_spawn.
Action = tuple[int, int, str, int, int] | tuple[int, int, int]


def start_process(
    argv: Sequence[str],
    env: Mapping[str, str],
    actions: Sequence[Action],
    *,
    session: bool,
    inherited: Environment | None = None,
) -> int:
    """Start a process and return its id. With `session`, it leads a new session.

    From `inherited` it gets the umask, the limits and the niceness.
    """
    from maestro_es.adapters.inheritance import inheriting, renice  # noqa: PLC0415 - needed only to start processes

    def start(arguments: Sequence[str], *, setsid: bool) -> int:
        return os.posix_spawnp(
            arguments[0], list(arguments), dict(env),
            file_actions=actions, setsid=setsid, setsigmask=(), setsigdef=_SIGNALS if not inherited else _OF_STEPS,
        )  # fmt: skip

    with making, inheriting(inherited or Environment()):
        try:
            pid = start(argv, setsid=session)
        except NotImplementedError:  # a Python built for a glibc before 2.26, such as those of uv
            pid = start(["setsid", *argv], setsid=False)
    if inherited:
        renice(pid, inherited)
    return pid


def find_program(name: str, path: str | None = None) -> str | None:
    """Return the path of a program in `path` (default: the PATH of this process). None if it is not there.

    `shutil.which` does the same, but its import takes a tenth of the time of a tick.
    """
    for folder in os.get_exec_path(None if path is None else {"PATH": path}):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


class Completed(NamedTuple):
    """A command that has ended: its exit code (negative: the signal) and its output."""

    code: int
    out: str
    err: str


class Command:
    """A command that was started. It is killed after `timeout` seconds, or when its errors contain the text `until`.

    It has no input, and its output is kept. With `until` or `session`, it leads a new session. When the command is
    ended, the processes that `members` returns are ended too, because the command may be a script that calls another
    one. For `inherited` see `start_process`.

    OSError if it can't be started, and FileNotFoundError if there is no such command.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        until: str = "",
        session: bool = False,
        members: Callable[[int], Sequence[int]] = lambda _: (),
        inherited: Environment | None = None,
    ) -> None:
        self._name = os.path.basename(argv[0])
        self._timeout = timeout
        self._end = time.monotonic() + (float("inf") if timeout is None else timeout)
        self._until, self._session = until.encode(), session or bool(until)
        self._members = members
        self._out, self._err = bytearray(), bytearray()
        self._code: int | None = None
        self._late = 0
        self._too_late = False
        #: The open ends of its pipes, and the buffers for their content.
        self._reading: dict[int, bytearray] = {}
        self._pid = self._start(argv, os.environ if env is None else env, inherited)
        self._exit = _exit_of(self._pid)
        self._has_pidfd = self._exit is not None

    def _start(self, argv: Sequence[str], env: Mapping[str, str], inherited: Environment | None) -> int:
        its_ends = []
        actions: list[Action] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        try:
            for output, into in ((1, self._out), (2, self._err)):
                our_end, its_end = os.pipe()
                self._reading[our_end] = into
                its_ends.append(its_end)
                actions.append((os.POSIX_SPAWN_DUP2, its_end, output))
            return start_process(argv, env, actions, session=self._session, inherited=inherited)
        except BaseException:
            self._close()
            raise
        finally:
            for its_end in its_ends:
                os.close(its_end)

    @property
    def output(self) -> bytes:
        """Its standard output so far, byte for byte."""
        return bytes(self._out)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended and its output is complete."""
        return self._code is not None and not self._reading

    def result(self) -> Completed:
        """Wait until it has ended, and return the result.

        TimeoutError if it was ended because it took too long, ChildProcessError if its exit code is lost.
        """
        try:
            wait([self])
        except BaseException:
            self.kill()
            raise
        if self._too_late:
            raise TimeoutError(f"{self._name} has not answered within {self._timeout:.0f} s")
        if self._code == _REAPED_ELSEWHERE:
            raise ChildProcessError(f"the exit code of {self._name} was taken by another part of this process")
        out, err = (output.decode(errors="replace") for output in (self._out, self._err))
        return Completed(self._code or 0, out, err)

    def kill(self) -> None:
        """Kill it, unless it has ended. If the system does not end it in time, continue without waiting."""
        self._close()
        end = time.monotonic() + _KILL_WAIT_S
        while self._code is None:
            left = self._left()
            for pid in (self._pid, *(left or ())):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if left is not None and not left and self._reap():  # its id is unique until it is reaped
                return
            if time.monotonic() > end:
                self._code = -signal.SIGKILL
            time.sleep(_POLL_S)

    def _left(self) -> Sequence[int] | None:
        """Return its running processes (None: the host does not answer)."""
        try:
            return self._members(self._pid)
        except Unreachable:
            return None

    # -- for `wait` --------------------------------------------------------------------------------------------------

    def ends(self) -> list[int]:
        """Return the files to poll: its pipes, and the file that shows its end."""
        return [*self._reading, *([] if self._exit is None else [self._exit])]

    def timeout_left(self) -> float:
        """Return the number of seconds until it needs attention, if none of its files becomes readable."""
        return max(self._end - time.monotonic(), 0) if self._has_pidfd or self._reading else _POLL_S

    def on_readable(self, end: int) -> None:
        """Read from one of its files."""
        if end == self._exit:
            self._reap()
            return
        chunk = os.read(end, _READ_SIZE)
        self._reading[end].extend(chunk)
        if not chunk:
            del self._reading[end]
            os.close(end)

    def enforce_timeout(self, *, was_readable: bool) -> None:
        """Kill it after its timeout, but first read the output that has already arrived."""
        if not (self._has_pidfd or self._reading):
            self._reap()
        if self.has_ended:
            return
        if self._until and self._until in self._err:
            self.kill()
        elif time.monotonic() >= self._end:
            self._late += 1
            self._too_late = not was_readable or self._late > _MAX_LATE_READS
            if self._too_late:
                self.kill()

    def _reap(self) -> bool:
        """Collect its exit code if it has ended. Return whether it has ended."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # SIGCHLD is ignored in this process, or another thread waits for any child
                self._code = _REAPED_ELSEWHERE
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        if self._code is not None and self._exit is not None:
            os.close(self._exit)
            self._exit = None
        return self._code is not None

    def _close(self) -> None:
        for end in self._reading:
            os.close(end)
        self._reading.clear()


def _exit_of(pid: int) -> int | None:
    """Return a file that becomes readable when a process ends (a pidfd, from Linux 5.3 on). None on other systems."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def wait(commands: Collection[Command]) -> list[Command]:
    """Wait until at least one of these commands has ended. Return all that have ended."""
    while not (ended := [command for command in commands if command.has_ended]):
        owners = {end: command for command in commands for end in command.ends()}
        poll = select.poll()
        for end in owners:
            poll.register(end, select.POLLIN)
        timeout = min(command.timeout_left() for command in commands)
        readable = [end for end, _ in poll.poll(None if timeout == float("inf") else timeout * 1000)]
        for end in readable:
            owners[end].on_readable(end)
        ready = {owners[end] for end in readable}
        for command in commands:
            command.enforce_timeout(was_readable=command in ready)
    return ended


def run(argv: Sequence[str], *, timeout: float | None = None, env: Mapping[str, str] | None = None) -> Completed:
    """Run a command to its end. See `Command`."""
    return Command(argv, timeout=timeout, env=env).result()


def output_of(*argv: str) -> str:
    """Return the output of a system program. Unreachable if it fails. Finding nothing is not a failure."""
    try:
        done = run(argv)
    except OSError as error:
        raise Unreachable(f"this host does not answer: {argv[0]}: {error.strerror}") from None
    if done.code not in (0, 1) or (done.code and (done.err or done.out)):
        message = " ".join(done.err.split()) or f"exit code {done.code}"
        raise Unreachable(f"this host does not answer: {argv[0]}: {message}")
    return done.out
