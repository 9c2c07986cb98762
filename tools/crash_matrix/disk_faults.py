"""Faults of file systems: full, read-only, or broken under the log, the inbox and the workspaces."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

from maestro_es.drivers.cron_tick import TRY_AGAIN, WRONG
from maestro_es.study.session import Session
from tools.crash_matrix import ticks
from tools.crash_matrix.calls import CLIENT, Point
from tools.crash_matrix.kills import at_every_call
from tools.crash_matrix.scenes import Stage
from tools.crash_matrix.ticks import Attacked
from tools.crash_matrix.trial import Trial

#: The errors of calls on a file system that can't be written. All other calls return EIO.
_ERRORS = {
    "pwrite64": "ENOSPC", "write": "ENOSPC", "mkdir": "ENOSPC", "symlink": "ENOSPC", "openat": "EROFS",
    "unlink": "EROFS", "rename": "EROFS", "utimensat": "EROFS",
}  # fmt: skip


def changes_files(point: Point) -> bool:
    """Return whether a call changes a file of the study, except by writing a page, or opens the log or its journal."""
    opens = point.call == "openat" and point.touches in ("log", "journal")
    return point.touches not in ("", "scheduler", CLIENT) and (point.changes or opens) and point.call != "pwrite64"


def writes_log(point: Point) -> bool:
    """Return whether a call writes or syncs a page of the log or its journal."""
    return point.touches in ("log", "journal") and point.call in ("pwrite64", "fdatasync")


def call_fails(trial: Trial) -> None:
    """Let one call of a tick fail that writes something."""
    _fails(trial, "")


def log_fails(trial: Trial) -> None:
    """Let a call of a tick fail that writes the log, and all later calls of the same kind."""
    _fails(trial, "+")


def _fails(trial: Trial, which: str) -> None:
    note = trial.folder / "trace"

    def fail(stage: Stage, point: Point) -> Attacked:
        inject = f"error={_ERRORS.get(point.call, 'EIO')}:when={{when}}{which}"
        attacked = ticks.attack(stage.root, stage.scene.how, note, point, inject)
        assert attacked.code in (0, WRONG, TRY_AGAIN), f"{attacked.code} after {point}, {inject}"
        trial.details[f"exit code {attacked.code}"] += 1
        return attacked if "(INJECTED)" in note.read_text(errors="replace") else attacked._replace(at=None)

    at_every_call(trial, fail)


def log_full(trial: Trial) -> None:
    """Fill the file system of the log for some time. A conclusion that can't be written must have no effect."""
    trial.root.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=8m", "none", trial.root], check=True)
    ballast = trial.root / "ballast"
    trial.create()
    for seconds in trial.dice.sample((0.5, 1, 2, 3), 4):
        _tick_for(trial, trial.dice.uniform(0.2, 0.6))
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        _tick_in_vain(trial, seconds)
        ballast.unlink()
    trial.drive()


def log_read_only(trial: Trial) -> None:
    """Make the study's directory read-only on the login node for some time, as after an error of the file system."""
    trial.create()
    root = str(trial.root)
    for seconds in trial.dice.sample((0.5, 1, 2, 3), 4):
        _tick_for(trial, trial.dice.uniform(0.2, 0.6))
        subprocess.run(["mount", "--bind", root, root], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        _tick_in_vain(trial, seconds)
        subprocess.run(["umount", "--lazy", root], check=True)
    trial.drive()


def _tick_in_vain(trial: Trial, seconds: float) -> None:
    """Tick while nothing can be written. Count a tick if it had something to write and reported the error."""
    before, codes = _head(trial), set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        codes.add(trial.tick())
        time.sleep(0.1)
    assert _head(trial) == before
    if codes - {0}:
        trial.hit(f"{seconds} s")


def _head(trial: Trial) -> int:
    with Session(trial.root) as study:
        return study.log.head.seq


def inbox_full(trial: Trial) -> None:
    """Let no report be created for some time, shorter or longer than the runner tries."""
    trial.create()
    inbox = str(trial.dir.inbox)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700,nr_inodes=1000", "none", inbox], check=True)
    try:
        for seconds in trial.dice.sample((1, 2, 3, 20), 4):
            _tick_for(trial, trial.dice.uniform(0.5, 1))
            _fill(inbox)
            if trial.running():
                trial.hit(f"{seconds} s")
            _tick_for(trial, seconds)
            subprocess.run(["mount", "-o", "remount,nr_inodes=1000", inbox], check=True)
        trial.drive()
        trial.settle()
    finally:
        subprocess.run(["umount", "--lazy", inbox], check=True)


def _fill(inbox: str) -> None:
    """Keep a file system without room for another file, although files are created and removed."""
    while True:
        full = len(os.listdir(inbox)) + 1
        done = subprocess.run(["mount", "-o", f"remount,nr_inodes={full}", inbox], capture_output=True, check=False)
        if done.returncode == 0:
            return


def _tick_for(trial: Trial, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and trial.running():
        trial.tick()
        time.sleep(0.1)
