"""Ticks as processes of their own that can be frozen, and killed at any system call.

A tick is forked from a process that has the program loaded, and does what ``maestro-es tick`` does; only the time
after which it gives up an attempt without a trace is short. To be killed at a call it is traced: `strace -e inject`
sends SIGKILL on entry to the N-th call of a kind, so that this call does not happen any more. What counts as killed
is a tick whose end by SIGKILL was seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maestro_es.adapters.process import Host
from maestro_es.drivers.cron_tick import TRY_AGAIN, tick_studies
from maestro_es.errors import ConcurrentAppend, Unreachable
from maestro_es.poller.observe import Adapters
from maestro_es.poller.open_study import Context, OpenStudy, make_adapters
from maestro_es.poller.tick import tick
from tests.crash.matrix.calls import HARMLESS, Point, read_trace

#: Seconds without a trace after which an attempt is given up. Nothing but waiting depends on it.
GRACE = 0.5

#: For strace: all calls that may matter.
EVERYTHING = f"!{','.join(HARMLESS)}"

#: The exit code of a tick that lost against another one.
LOST_RACE = 76

_CLONE_NEWNS, _MS_BIND = 0x20000, 0x1000


@dataclass(frozen=True)
class How:
    """How a tick is made: with the study's lock, by threads that submit side by side, on a host that was rebooted.

    It freezes after an effect that has happened so often; `sabotage` breaks the program before it starts.
    """

    lock: bool = True
    threads: bool = True
    boot_id: Path | None = None
    freeze_after: str = ""
    freeze_count: int = 1
    grace: float = GRACE
    sabotage: Callable[[], None] | None = None


def start(root: Path, how: How, *, stopped: bool = False) -> int:
    """Start a tick; returns its process id. With `stopped` it waits for SIGCONT before it does anything."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
        if how.boot_id:
            _pretend_reboot(how.boot_id)
        if how.sabotage:
            how.sabotage()
        os._exit(_tick(root, how))
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(70)


def _tick(root: Path, how: How) -> int:
    frozen: list[str] = []

    def after(effect: str) -> None:
        frozen.extend([effect] if effect == how.freeze_after else ())
        if effect == how.freeze_after and len(frozen) == how.freeze_count:
            os.kill(os.getpid(), signal.SIGSTOP)

    def adapters(batch: Mapping[str, Any], host: Host) -> Adapters:
        made = make_adapters(batch, host)
        made.scheduler.grace_seconds = made.local.grace_seconds = how.grace
        if not how.threads:
            made.scheduler.at_once = 1
        return made

    context = Context(adapters=adapters, after=after)
    if how.lock:
        outcome = tick_studies([root], context)
        return outcome.code
    try:
        with OpenStudy(root, context) as study:
            tick(study)
    except Unreachable:
        return TRY_AGAIN
    except ConcurrentAppend:
        return LOST_RACE
    return 0


def _pretend_reboot(boot_id: Path) -> None:
    """Let this process and its children read another boot id."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = b"/proc/sys/kernel/random/boot_id"
    if libc.unshare(_CLONE_NEWNS) or libc.mount(os.fsencode(boot_id), place, None, _MS_BIND, None):
        raise OSError(ctypes.get_errno(), "no false boot id can be had here")


def wait(pid: int) -> int:
    """Wait for the end of a tick; returns its exit code, or the signal that killed it as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> bool:
    """Kill a tick now; returns whether it had not ended before."""
    os.kill(pid, signal.SIGKILL)
    return wait(pid) == -signal.SIGKILL


def trace(root: Path, how: How, note: Path, inject: str = "", calls: str = EVERYTHING) -> tuple[int, list[Point]]:
    """Make a tick under a tracer that injects something. Returns how it ended, and the calls that it made."""
    note.unlink(missing_ok=True)
    pid = start(root, how, stopped=True)
    os.waitpid(pid, os.WUNTRACED)
    argv = ["strace", "-q", "-f", "-b", "execve", "-y", "-s", "0", "-p", str(pid), "-o", str(note)]
    argv += ["-e", f"trace={calls}", *(["-e", f"inject={inject}"] if inject else [])]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        while _tracer(pid) == "0":
            time.sleep(0.001)
        os.kill(pid, signal.SIGCONT)
        code = wait(pid)
    return code, read_trace(note.read_text(errors="replace"), str(pid), str(root))


def kill_at(root: Path, how: How, note: Path, point: Point) -> tuple[int, Point | None]:
    """Make a tick that is killed at a point. Returns how it ended, and the call at which it was killed."""
    calls = f"{point.call},clone,clone3"
    code, made = trace(root, how, note, f"{point.call}:signal=KILL:when={point.number}", calls)
    at = [call for call in made if (call.call, call.number) == (point.call, point.number)]
    return code, at[0] if code == -signal.SIGKILL and at else None


def _tracer(pid: int) -> str:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("TracerPid:"):
                return line.split()[1]
    return "gone"
