"""Starts processes that outlive the tick, and collects those that have ended: runners, and the agents of a job."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from maestro_es.adapters import proc
from maestro_es.adapters.command import start_process
from maestro_es.core.environment import Environment
from maestro_es.errors import Unreachable

#: The processes that `spawn` started, with their arguments.
_spawned: dict[int, tuple[str, ...]] = {}


def spawn(argv: Sequence[str], env: Mapping[str, str], inherited: Environment | None = None) -> tuple[int, int]:
    """Start a process in its own session, without a terminal. Don't wait for it.

    Returns its process id, and a file descriptor for its standard input, which the caller must close. Its output is
    lost. For `inherited` see `start_process`.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    its_end, our_end = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((its_end, null, null))]
        pid = start_process(argv, env, actions, session=True, inherited=inherited)
    except OSError:
        os.close(our_end)
        raise
    finally:
        os.close(null)
        os.close(its_end)
    _spawned[pid] = tuple(argv)
    try:
        _wait_for_arguments(pid, argv[-1])
    except Unreachable:
        os.close(our_end)
        raise
    return pid, our_end


def spawn_piped(
    argv: Sequence[str], env: Mapping[str, str], inherited: Environment | None = None
) -> tuple[int, int, int]:
    """Start a process in its own session, and return its id, its standard input and its standard output.

    The caller must close both, and `reap` collects the process. Its errors are part of its output.
    """
    (its_input, our_end), (our_output, its_output) = os.pipe(), os.pipe()
    try:
        ends = (its_input, its_output, its_output)
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(ends)]
        pid = start_process(argv, env, actions, session=True, inherited=inherited)
    except OSError:
        os.close(our_end)
        os.close(our_output)
        raise
    finally:
        for end in (its_input, its_output):
            os.close(end)
    return pid, our_end, our_output


def _wait_for_arguments(pid: int, last: str) -> None:
    """Wait until /proc shows the arguments of a process, which identify it.

    On Linux, `posix_spawn` returns before /proc shows them. Until then, /proc shows the arguments of the parent, or
    none. With Linux 6.18, this happened to half of the processes. Without the wait, they would count as gone.
    """
    end = time.monotonic() + 1
    while sys.platform == "linux" and last.encode() not in proc.arguments(pid) and time.monotonic() < end:
        if proc.stat(pid)[:1] in ([], ["Z"]):
            return
        os.sched_yield()


class Used(NamedTuple):
    """A process that has ended, with its CPU time in microseconds and its peak memory in bytes.

    Both include its descendants. Linux also counts the memory that it shared with its parent before its program ran.
    So `memory` is None (unknown) if the parent used as much.
    """

    argv: tuple[str, ...]
    cpu: int
    memory: int | None


#: The processes that have ended, and that `take_ended` has not returned.
_ended: list[Used] = []


def reap() -> int:
    """Collect the processes that `spawn` started and that have ended. Returns their number."""
    before = len(_spawned)
    for pid in list(_spawned):
        try:
            ended, _, used = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            del _spawned[pid]
            continue
        if ended:
            cpu = int((used.ru_utime + used.ru_stime) * 1e6)
            _ended.append(Used(_spawned.pop(pid), cpu, _memory_of(used.ru_maxrss)))
    return before - len(_spawned)


def unreaped(tokens: AbstractSet[str]) -> int:
    """Return how many started processes are not reaped, and have none of these tokens among their arguments."""
    return sum(tokens.isdisjoint(argv) for argv in _spawned.values())


#: The peak memory of this process in KiB, when it was last read. It never decreases.
_own_peak = 0


def _memory_of(largest: int) -> int | None:
    global _own_peak  # noqa: PLW0603 - there is one process
    if sys.platform == "darwin":
        return largest
    if largest > _own_peak:
        _own_peak = proc.peak_memory()
    return largest * 1024 if largest > _own_peak else None


def reap_all(seconds: float) -> bool:
    """Wait for all processes that `spawn` started, but not longer than this. Returns whether any has ended.

    Use this only if all these processes are about to end.
    """
    end = time.monotonic() + seconds
    while _spawned and not reap() and time.monotonic() < end:
        time.sleep(0.01)
    reap()
    return bool(_ended)


def take_ended() -> list[Used]:
    """Return the processes whose end `reap` has seen since the last call."""
    taken = _ended[:]
    _ended.clear()
    return taken
