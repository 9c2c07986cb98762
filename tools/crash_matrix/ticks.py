"""Runs ticks as processes that can be frozen, and killed at any system call.

A tick is forked from a process that has loaded the program, and does the same as ``maestro-es tick``. Only its grace
time is short. To kill it at a call, `strace -e inject` sends SIGKILL on entry to the N-th call of a kind, so this call
does not happen. A tick counts as killed only if its end by SIGKILL was observed.
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
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from maestro_es.adapters.base import Adapters
from maestro_es.adapters.host import Host
from maestro_es.drivers.cron_tick import TRY_AGAIN, tick_studies
from maestro_es.errors import ConcurrentAppend, Unreachable
from maestro_es.poller import submit
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime, make_adapters
from maestro_es.study.session import Session
from tools.crash_matrix.calls import HARMLESS, JOURNAL, Call, Point, read_trace

#: The grace time of a job without a trace, in seconds. Only the duration of trials depends on it.
GRACE = 0.5

#: All calls that may matter, for strace.
EVERYTHING = f"!{','.join(HARMLESS)}"

#: Seconds after which a killed process is gone, even on a busy machine.
_MOMENT = 0.2

#: The exit code of a tick after a ConcurrentAppend.
LOST_RACE = 76

_CLONE_NEWNS, _MS_BIND = 0x20000, 0x1000


@dataclass(frozen=True)
class How:
    """The options of a tick: with the study's lock, with parallel submissions, or on a host that was rebooted.

    The tick freezes after the effect `freeze_after`, when it happens for the `freeze_count`-th time. It also freezes
    when the number of effects in `effects` (default: of all effects) reaches `since`. If it is `patient`, it waits
    until killed processes are gone. From `many` jobs on, one command submits them, if there is one. `sabotage`
    breaks the program before the tick starts.
    """

    lock: bool = True
    side_by_side: bool = True
    boot_id: Path | None = None
    freeze_after: str = ""
    freeze_count: int = 1
    since: int = 0
    effects: tuple[tuple[str, int], ...] = ()
    patient: bool = False
    grace: float = GRACE
    many: int = submit._MANY
    sabotage: Callable[[], None] | None = None


def start(root: Path, how: How, *, stopped: bool = False) -> int:
    """Start a tick. Returns its process id. With `stopped`, the tick waits for SIGCONT before it begins."""
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


class _Effects:
    """Counts the effects of a tick. Freezes it after an effect, or marks the effect in its trace."""

    def __init__(self, how: How) -> None:
        self._how = how
        self._done: Counter[str] = Counter()
        self._numbered = 0

    def after(self, name: str) -> None:
        self._done[name] += 1
        effect = (name, self._done[name])
        if self._how.patient and name == "end":
            time.sleep(_MOMENT)
        if effect == (self._how.freeze_after, self._how.freeze_count):
            os.kill(os.getpid(), signal.SIGSTOP)
        if not self._how.effects or effect in self._how.effects:
            self._numbered += 1
            os.kill(os.getpid(), signal.SIGSTOP if self._numbered == self._how.since else 0)


def _tick(root: Path, how: How) -> int:
    def adapters(batch: Mapping[str, Any], host: Host) -> Adapters:
        made = make_adapters(batch, host)
        made.scheduler.grace_seconds = made.local.grace_seconds = how.grace
        if not how.side_by_side:
            made.scheduler.max_concurrent_submissions = 1
        return made

    submit._MANY = how.many
    runtime = Runtime(adapters=adapters, on_effect=_Effects(how).after)
    if how.lock:
        outcome = tick_studies([root], runtime)
        return outcome.code
    try:
        with Session(root, runtime) as study:
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
    """Wait for the end of a tick. Returns its exit code, or as a negative number the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> bool:
    """Kill a tick. Returns whether it had still been running."""
    os.kill(pid, signal.SIGKILL)
    return wait(pid) == -signal.SIGKILL


def trace(
    root: Path, how: How, note: Path, options: Sequence[str] = ("-e", f"trace={EVERYTHING}")
) -> tuple[int, list[Call]]:
    """Run a tick under a tracer. Returns how it ended, and its calls.

    The trace begins with the tick, or at the point where `how` freezes it, if it reaches this point.
    """
    note.unlink(missing_ok=True)
    pid = start(root, how, stopped=not how.since)
    status = os.waitpid(pid, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(status):
        return os.waitstatus_to_exitcode(status), []
    argv = ["strace", "-q", "-y", "-s", "0", "-p", str(pid), "-o", str(note), *options]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        while _tracer(pid) == "0":
            time.sleep(0.001)
        os.kill(pid, signal.SIGCONT)
        code = wait(pid)
    return code, read_trace(note.read_text(errors="replace").splitlines(), str(root), how.since)


class Attacked(NamedTuple):
    """The result of an attack: how the tick ended, its calls of that name, and the call that was hit."""

    code: int
    made: list[Point]
    at: Point | None


def attack(root: Path, how: How, note: Path, point: Point, inject: str) -> Attacked:
    """Run a tick that is attacked on entry to the call at a point, if it reaches this point."""
    only = ["-P", f"{root}/events.db-journal"] if point.touches == JOURNAL else []
    options = ["-e", f"trace={point.call},kill", *only]
    options += ["-e", f"inject={point.call}:{inject.format(when=point.when)}"]
    code, made = trace(root, replace(how, since=point.since), note, options)
    hit = [call.point for call in made if (call.point.call, call.raw) == (point.call, point.when)]
    return Attacked(code, [call.point for call in made], hit[0] if hit else None)


def kill_at(root: Path, how: How, note: Path, point: Point) -> Attacked:
    """Run a tick that is killed at a point."""
    attacked = attack(root, how, note, point, "signal=KILL:when={when}")
    assert attacked.code in ((-signal.SIGKILL,) if attacked.at else (0, TRY_AGAIN)), attacked.code
    return attacked


def _tracer(pid: int) -> str:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("TracerPid:"):
                return line.split()[1]
    return "gone"
