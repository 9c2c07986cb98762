"""Runs one process, and says what it took."""

from __future__ import annotations

import math
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

#: How often the locks of a process are looked at, in seconds.
_LOOK = 0.02


class BenchError(Exception):
    """A process that is measured did not do what it should."""


class Use(NamedTuple):
    """What a process and the children that it has waited for took: seconds, and at most this many MiB."""

    cpu: float
    wall: float
    memory: float
    #: The longest time for which a lock was never seen free, in seconds.
    locked: float = 0.0


def run(
    *words: str | Path,
    env: Mapping[str, str],
    output: str | Path = os.devnull,
    locks: Iterable[Path] = (),
    codes: Iterable[int] = (0,),
    interrupt_after: float = 0,
) -> Use:
    """Run a command to its end. BenchError unless its exit code is one of `codes`. `locks` are the files to watch.

    After `interrupt_after` seconds, if that is given, it gets the signal of Ctrl-C.
    """
    errors = os.memfd_create("stderr")
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, errors, 2),
    ]
    watch = _Watch(locks, interrupt_after)
    began = time.perf_counter()
    pid = os.posix_spawnp(str(words[0]), [str(word) for word in words], env, file_actions=actions)
    try:
        status, usage = watch.until_end(pid)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    wall = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status) not in codes:
        message = os.pread(errors, 1000, max(os.fstat(errors).st_size - 1000, 0)).decode(errors="replace")
        raise BenchError(f"{' '.join(map(str, words))}: exit code {os.waitstatus_to_exitcode(status)}\n{message}")
    os.close(errors)
    return Use(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, watch.longest)


class _Watch:
    """Looks at /proc/locks as a process would that waits for one of the files: it sees no gap between two looks."""

    def __init__(self, files: Iterable[Path], interrupt_after: float) -> None:
        self._files = tuple(files)
        self._interrupt_after = interrupt_after
        self._since: dict[Path, float] = {}
        self.longest = 0.0

    def until_end(self, pid: int) -> tuple[int, resource.struct_rusage]:
        """Look until the process has ended; return its status and what it took."""
        interrupt_at = time.monotonic() + self._interrupt_after if self._interrupt_after else math.inf
        while self._files or interrupt_at < math.inf:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            self._look()
            if ended:
                return status, usage
            if time.monotonic() > interrupt_at:
                os.kill(pid, signal.SIGINT)
                interrupt_at = math.inf
            time.sleep(_LOOK)
        _, status, usage = os.wait4(pid, 0)
        return status, usage

    def _look(self) -> None:
        held, now = set(_write_locks()), time.perf_counter()
        for file in self._files:
            try:
                inode = file.stat().st_ino
            except FileNotFoundError:
                inode = 0
            if inode in held:
                self.longest = max(self.longest, now - self._since.setdefault(file, now))
            else:
                self._since.pop(file, None)


def _write_locks() -> Iterator[int]:
    """Yield the inodes of all files that a process of this host has locked for writing."""
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" not in words and "WRITE" in words:
            yield int(words[5].rpartition(":")[2])
