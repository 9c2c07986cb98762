"""What tests need to know of processes: what still runs of a test, and how nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

#: How long a test waits at most for what must happen, in seconds: far longer than it takes, even on a busy host.
DEADLINE = 60.0

#: A program whose first thread ends, and another one goes on.
TWO_THREADS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def wait_for(what: Callable[[], Found | None], seconds: float = DEADLINE) -> Found:
    """Ask until the answer is true, and return it; AssertionError if it never is."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.01)


def running_under(folder: Path) -> list[int]:
    """Return the processes that have to do with a directory: it is in their arguments, or they are in it."""
    return [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and int(entry) not in (os.getpid(), os.getppid()) and _mentions(int(entry), str(folder))
    ]


def _mentions(pid: int, folder: str) -> bool:
    with contextlib.suppress(OSError):
        if f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{folder}/"):
            return True
        for name in ("cmdline", "environ"):
            if folder.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                return True
    return False


def arguments(pid: int) -> list[bytes]:
    """Return what a process was started with; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def end_all_under(folder: Path) -> None:
    """Kill all processes that have to do with a directory."""

    def none_left() -> bool:
        found = running_under(folder)
        for pid in found:
            send(pid, signal.SIGKILL)
        return not found

    wait_for(none_left)


def send(pid: int, number: int) -> None:
    """Send a signal to a process, if there still is one."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
