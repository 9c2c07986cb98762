"""Processes that go on without us, and what the host knows of those that run.

A process id is no identity: it is used again. With the host, its boot id and a word that no other process has among
its arguments (the token of an attempt) it is one. On Linux the facts come from ``/proc``, elsewhere from ``ps``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from maestro_es.adapters.command import run, start_process

_PROC = Path("/proc")
_STATE, _SESSION = 0, 3  # fields of /proc/PID/stat behind the command's name; see proc(5)


class Host(NamedTuple):
    """This host: its name, an id that changes with every boot, and how many cores we may use.

    `environment` is what a study has recorded of the environment in which it was created; it goes before ours.
    """

    name: str
    boot_id: str
    cores: int
    environment: Mapping[str, str] = MappingProxyType({})


def this_host() -> Host:
    """Return the host that we run on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Host(os.uname().nodename, _boot_id(), cores)


#: The inode of the first PID namespace of a host: PROC_PID_INIT_INO in Linux's source.
_FIRST_NAMESPACE = 0xEFFFFFFC


def pid_namespace() -> str:
    """Return what tells our process ids from those of a container of this host, or of the host itself: there empty."""
    try:
        inode = os.stat(_PROC / "self/ns/pid").st_ino
    except OSError:
        return ""
    return "" if inode == _FIRST_NAMESPACE else str(inode)


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return run(["sysctl", "-n", "kern.bootsessionuuid"]).out.strip()


_spawned: set[int] = set()


def spawn(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, int]:
    """Start a process in a session of its own, with no terminal, and don't wait for it.

    Returns its pid and a file descriptor, to write to its standard input and to be closed. What it prints is lost.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    its_end, our_end = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((its_end, null, null))]
        pid = start_process(argv, env, actions, session=True)
    except OSError:
        os.close(our_end)
        raise
    finally:
        os.close(null)
        os.close(its_end)
    _spawned.add(pid)
    _wait_for_arguments(pid, argv[-1])
    return pid, our_end


def _wait_for_arguments(pid: int, last: str) -> None:
    """Wait until a process shows its arguments, by which it is known.

    Linux lets `posix_spawn` return a moment before: until then /proc shows those of its parent, or none (seen with
    Linux 6.18 for every second process). Somebody who looked then would take the process for gone.
    """
    end = time.monotonic() + 1
    while sys.platform == "linux" and not is_running(pid, last) and time.monotonic() < end:
        if _stat(pid)[: _STATE + 1] in ([], ["Z"]):
            return
        os.sched_yield()


def reap() -> int:
    """Take leave of the processes that `spawn` started and that have ended; returns how many they were."""
    before = len(_spawned)
    for pid in list(_spawned):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0]
        except ChildProcessError:
            ended = pid
        if ended:
            _spawned.discard(pid)
    return before - len(_spawned)


def is_running(pid: int, word: str) -> bool:
    """Whether a process runs that was started with this word among its arguments; one that has ended has none."""
    if sys.platform == "linux":
        return word.encode() in _strings(pid, "cmdline")
    return word in run(["ps", "-o", "command=", "-p", str(pid)]).out.split()


def session_members(session: int) -> list[int]:
    """Return the running processes of a session."""
    if sys.platform != "linux":
        listed = run(["ps", "-A", "-o", "pid=", "-o", "sess=", "-o", "stat="]).out.split("\n")
        rows = [line.split() for line in listed if line.strip()]
        return [int(pid) for pid, member_of, state in rows if member_of == str(session) and state[0] != "Z"]
    pids = [int(entry) for entry in os.listdir(_PROC) if entry.isdigit()]
    members = [(pid, stat) for pid in pids if (stat := _stat(pid)) and stat[_SESSION] == str(session)]
    return [pid for pid, stat in members if stat[_STATE] not in "ZX" or _other_threads(pid)]


class Running(NamedTuple):
    """A process that runs: what it was started with, and the directory that it is in (empty: nobody knows)."""

    pid: int
    arguments: tuple[str, ...]
    folder: str


def of_this_user() -> Iterator[Running]:
    """Yield the processes of this user, but for ourselves."""
    if sys.platform != "linux":
        for line in run(["ps", "-x", "-o", "pid=", "-o", "command="]).out.splitlines():
            pid, _, command = line.strip().partition(" ")
            if int(pid) != os.getpid():
                yield Running(int(pid), tuple(command.split()), "")
        return
    for entry in [entry for entry in os.scandir(_PROC) if entry.name.isdigit()]:
        if int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == os.geteuid():
                    words = [word.decode(errors="surrogateescape") for word in _strings(int(entry.name), "cmdline")]
                    yield Running(int(entry.name), tuple(words[:-1]), os.readlink(f"{entry.path}/cwd"))


def has_open(pid: int, folder: str) -> bool:
    """Whether a process has a file open in a directory or below; only Linux tells, elsewhere the answer is no."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(_PROC / str(pid) / "fd"):
            with contextlib.suppress(OSError):
                if os.readlink(entry.path).startswith(f"{folder}/"):
                    return True
    return False


def has_lost(pid: int, path: str) -> bool:
    """Whether a process still has a file open, under this path, that was removed; only Linux tells."""
    with contextlib.suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if os.readlink(entry.path) == f"{path} (deleted)":
                    return True
    return False


def is_marked(pid: int, word: str, variable: str) -> bool:
    """Whether a process has this word among its arguments or as the value of a variable in its environment."""
    if sys.platform != "linux":
        return is_running(pid, word)
    found = (_strings(pid, "cmdline"), word.encode()), (_strings(pid, "environ"), f"{variable}={word}".encode())
    return any(text in strings for strings, text in found)


def _strings(pid: int, name: str) -> list[bytes]:
    """Return what a file of a process holds; if its first thread has ended, another one shows it."""
    text = _read(_PROC / str(pid) / name)
    for thread in () if text else _other_threads(pid):
        text = text or _read(thread / name)
    return text.split(b"\0")


def _stat(pid: int) -> list[str]:
    return _read(_PROC / str(pid) / "stat").decode(errors="replace").rpartition(")")[2].split()


def _read(path: Path) -> bytes:
    """Return what a file of /proc holds; nothing if it is gone, or its process."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _other_threads(pid: int) -> list[Path]:
    """Return the threads of a process beside its first, which may end before them: then it looks like a zombie."""
    try:
        threads = os.listdir(_PROC / str(pid) / "task")
    except OSError:
        return []
    return [_PROC / str(pid) / "task" / thread for thread in threads if thread != str(pid)]


def terminate_group(leader: int) -> None:
    """Ask the process group of a session leader to end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGTERM)


def kill(pids: Sequence[int]) -> list[int]:
    """End processes at once; returns those that we may not end, as they run as another user."""
    others = []
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            others.append(pid)
    return others
