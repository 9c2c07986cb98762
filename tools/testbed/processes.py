"""Processes of tests: finds those that still run, and ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

#: The longest time that a test waits for an event, in seconds. It is far longer than needed, even on a busy host.
DEADLINE = 60.0

#: A program whose first thread ends while another one continues.
TWO_THREADS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def wait_for(what: Callable[[], Found | None], seconds: float = DEADLINE) -> Found:
    """Call a function until its result is true, and return the result. AssertionError if that takes too long."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.01)


def running_under(folder: Path, chosen: Callable[[list[bytes]], bool] = lambda _: True) -> list[int]:
    """Return the processes with a directory in their arguments or variables, or with a current directory in it.

    With `chosen`, only processes for whose arguments it returns True count.
    """
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    others = [pid for pid in pids if pid not in (os.getpid(), os.getppid()) and chosen(arguments(pid))]
    return [pid for pid in others if _mentions(pid, str(folder))]


def _mentions(pid: int, folder: str) -> bool:
    with contextlib.suppress(OSError):
        if f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{folder}/"):
            return True
        for name in ("cmdline", "environ"):
            if folder.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                return True
    return False


def arguments(pid: int) -> list[bytes]:
    """Return the arguments of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def end_all_under(folder: Path) -> None:
    """Kill all processes that `running_under` finds for a directory."""

    def none_left() -> bool:
        found = running_under(folder)
        for pid in found:
            send(pid, signal.SIGKILL)
        return not found

    wait_for(none_left)


def send(pid: int, number: int) -> None:
    """Send a signal to a process, if it still exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
