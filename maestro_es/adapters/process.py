"""Finds out about running processes, and ends them.

A process id alone does not identify a process, because it is reused. So the host, its boot id, and a unique argument
(the token of an attempt) are also compared. On Linux the facts come from ``/proc``, on other systems from ``ps``. A
system error proves nothing, so it is raised as `Unreachable`.

`maestro_es.adapters.spawner` starts the processes.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # `signal` is slow to import
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from maestro_es.adapters import proc
from maestro_es.adapters.command import output_of

_STATE, _SESSION = 0, 3  # fields of /proc/PID/stat behind the command's name; see proc(5)


def is_running(pid: int, word: str) -> bool:
    """Return whether a process is running and has this word among its arguments. An ended process has no arguments."""
    if sys.platform == "linux":
        return word.encode() in proc.strings(pid, "cmdline")
    return word in output_of("ps", "-o", "command=", "-p", str(pid)).split()


def session_members(session: int) -> list[int]:
    """Return the running processes of a session."""
    if sys.platform != "linux":
        listed = output_of("ps", "-A", "-o", "pid=", "-o", "sess=", "-o", "stat=").split("\n")
        rows = [line.split() for line in listed if line.strip()]
        return [int(pid) for pid, member_of, state in rows if member_of == str(session) and state[0] != "Z"]
    stats = ((pid, proc.stat(pid)) for pid in proc.pids())
    members = [(pid, stat[_STATE]) for pid, stat in stats if stat and stat[_SESSION] == str(session)]
    return [pid for pid, state in members if state not in "ZX" or proc.other_threads(pid)]


class Running(NamedTuple):
    """A running process: its id, its arguments, and its current directory (empty: unknown)."""

    pid: int
    arguments: tuple[str, ...]
    folder: str


def of_this_user() -> Iterator[Running]:
    """Yield the processes of this user, except this one."""
    if sys.platform != "linux":
        for line in output_of("ps", "-x", "-o", "pid=", "-o", "command=").splitlines():
            pid, _, command = line.strip().partition(" ")
            if int(pid) != os.getpid():
                yield Running(int(pid), tuple(command.split()), "")
        return
    for number in proc.pids():
        if number != os.getpid() and proc.owner(number) == os.geteuid():
            argv = [word.decode(errors="surrogateescape") for word in proc.strings(number, "cmdline")]
            yield Running(number, tuple(argv[:-1]), proc.folder(number))


def has_open(pid: int, folder: str) -> bool:
    """Return whether a process has a file open in or below a directory.

    Only Linux shows this. Elsewhere the result is False.
    """
    return sys.platform == "linux" and any(path.startswith(f"{folder}/") for path in proc.open_files(pid))


def has_lost(pid: int, path: str) -> bool:
    """Return whether a process still has a file open that was removed from this path. Only Linux shows this."""
    return sys.platform == "linux" and f"{path} (deleted)" in proc.open_files(pid)


def is_marked(pid: int, word: str, variable: str) -> bool:
    """Return whether a process has this word among its arguments, or as the value of a variable in its environment."""
    if sys.platform != "linux":
        return is_running(pid, word)
    if word.encode() in proc.strings(pid, "cmdline"):
        return True
    return f"{variable}={word}".encode() in proc.strings(pid, "environ")


def marked(word: str, variable: str) -> list[int]:
    """Return the processes of this user for which `is_marked` returns True. This process is left out."""
    if sys.platform != "linux":
        return [running.pid for running in of_this_user() if word in running.arguments]
    ours = (pid for pid in proc.pids() if pid != os.getpid() and proc.owner(pid) == os.geteuid())
    return [pid for pid in ours if is_marked(pid, word, variable)]


def carriers(word: str, variable: str) -> list[int]:
    """Return the processes of this user whose environment has the variable with this value.

    This process is left out. Only Linux shows environments. A process that has cleared its environment is not found.
    """
    if sys.platform != "linux":
        return []
    text = f"{variable}={word}".encode()
    ours = (pid for pid in proc.pids() if pid != os.getpid() and proc.owner(pid) == os.geteuid())
    return [pid for pid in ours if proc.carries(pid, text)]


def terminate_group(leader: int) -> None:
    """Send SIGTERM to the process group of a session leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGTERM)


def kill(pids: Sequence[int]) -> list[int]:
    """Kill processes. Returns those that can't be killed because they run as another user."""
    others = []
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            others.append(pid)
    return others
