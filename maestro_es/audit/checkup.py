"""Checks whether ticks can advance a study: its lock, environment and scheduler, the file system and the clocks.

`maestro_es.drivers.tick_report` checks the drivers that start the ticks.
"""

from __future__ import annotations

import enum
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from maestro_es.audit.status import summarise
from maestro_es.audit.times import show_span
from maestro_es.core.model import Micros, StudyStatus, is_local
from maestro_es.errors import MaestroError, Unreachable
from maestro_es.files import read
from maestro_es.study.file_probe import PROBE, mount_of, probe
from maestro_es.study.locks import tick_lock_holder
from maestro_es.study.session import Session

#: Clocks may differ by this much, in seconds.
_CLOCK_SECONDS = 5


class Level(enum.IntEnum):
    """The severity of a result. The values are the exit codes of monitoring plugins, such as those of Nagios."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class CheckResult(NamedTuple):
    """The result of one check: what was checked, what was seen, and what to do about it (empty: nothing)."""

    level: Level
    area: str
    text: str
    remedy: str = ""


def worst(results: Iterable[CheckResult]) -> Level:
    """Return the worst level. Something critical takes precedence over something unknown."""
    order = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.CRITICAL)
    return max((result.level for result in results), key=order.index, default=Level.OK)


def checkup(study: Session, checked: set[str]) -> Iterator[CheckResult]:
    """Check a study. `checked` holds the file systems and clusters that were checked before; new ones are added."""
    yield from check_folder(study.dir.state if study.dir.state.is_dir() else study.dir.root, checked)
    if study.status is not StudyStatus.RUNNING:
        return
    root, summary = study.dir.root, summarise(study)
    yield _lock(study)
    problem = study.check_environment(thoroughly=True)
    if problem:
        yield CheckResult(Level.CRITICAL, "environment", f"{root}: {problem}")
    else:
        yield CheckResult(Level.OK, "environment", f"{root}: the file with the variables of the steps is intact")
    if summary.last_tick is not None:
        yield from _clock_of_last_tick(root, summary.last_tick, summary.last_tick_host, summary.at)
    if not problem:
        yield from _scheduler(study, checked)


def check_folder(folder: Path, checked: set[str]) -> Iterator[CheckResult]:
    """Check the file system of a directory, and its clock, unless its device was checked before."""
    try:
        device = f"device {folder.stat().st_dev}"
        if device in checked:
            return
        checked.add(device)
        problems, behind = probe(folder), _clock_error(folder)
    except OSError as error:
        yield CheckResult(Level.CRITICAL, "files", f"{folder}: {error.strerror}", "check permissions and free space")
        return
    yield _files(folder, problems)
    if abs(behind) > _CLOCK_SECONDS:
        seconds = f"{abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'}"
        text = f"the clock of this host is {seconds} the clock of the file system of {folder}"
        yield CheckResult(
            Level.WARNING, "clock", text, "let NTP set both clocks; until then, times in the log are wrong"
        )
    else:
        yield CheckResult(Level.OK, "clock", f"this host and the file system of {folder} agree")


def _files(folder: Path, problems: list[str]) -> CheckResult:
    """Return the result for a file system. `problems` holds what the probing processes have seen."""
    try:
        mount = mount_of(folder.resolve(), read(Path("/proc/self/mountinfo")).decode(errors="replace"))
    except OSError:
        mount = None
    place_of = f"{folder} ({mount.kind if mount else 'unknown type'})"
    if problems:
        remedy = "don't keep studies here; use a file system without these problems"
        return CheckResult(Level.CRITICAL, "files", f"{place_of}: {'; '.join(problems)}", remedy)
    if mount and mount.local_locks:
        return CheckResult(
            Level.CRITICAL,
            "files",
            f"{place_of}: locks hold on this host only, because the file system is mounted with {mount.local_locks}",
            "don't keep studies here, or call maestro-es on one host only",
        )
    if mount and mount.in_memory:
        remedy = "keep studies on a disk"
        return CheckResult(Level.WARNING, "files", f"{place_of}: a reboot deletes everything here", remedy)
    return CheckResult(Level.OK, "files", f"{place_of}: locks, symbolic links and renames work")


def _clock_error(folder: Path) -> float:
    """Return how many seconds the clock of this host is behind the clock of a file system."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=PROBE) as file:
        before = time.time()
        file.write(b"x")
        file.flush()
        written, after = Path(file.name).stat().st_mtime, time.time()
    return min(written - before, 0) if written < before else max(written - after, 0)


def _clock_of_last_tick(root: Path, last: Micros, host: str, now: Micros) -> Iterator[CheckResult]:
    ahead = (last - now) // 1_000_000
    if ahead > _CLOCK_SECONDS:
        text = f"{root}: the last tick, on {host or 'an unknown host'}, is {show_span(ahead)} in the future"
        yield CheckResult(Level.WARNING, "clock", text, "let NTP set the clocks of both hosts")


def _lock(study: Session) -> CheckResult:
    holder = tick_lock_holder(study.dir)
    if holder is None:
        return CheckResult(Level.OK, "lock", f"{study.dir.root}: the tick lock is free")
    process_id, seconds = holder
    if not process_id:
        text, remedy = "a process holds the tick lock", "if this lasts, find it on the hosts that run ticks"
        return CheckResult(Level.OK, "lock", f"{study.dir.root}: {text}", remedy)
    text = f"{study.dir.root}: process {process_id} has held the tick lock for up to {show_span(seconds)}"
    if seconds < _LONG_TICK:
        return CheckResult(Level.OK, "lock", text)
    remedy = f"if the process is stuck, 'kill {process_id}': another tick continues"
    return CheckResult(Level.WARNING, "lock", text, remedy)


#: A process that holds the tick lock and has run for this many seconds may be stuck.
_LONG_TICK = 600


def _scheduler(study: Session, checked: set[str]) -> Iterator[CheckResult]:
    """Query the scheduler of a study, unless its cluster was queried before."""
    if is_local(study.graph.study.adapter):
        return
    adapter = study.adapters.scheduler
    key = f"cluster {adapter.cluster or study.dir.root}"
    if key in checked:
        return
    checked.add(key)
    try:
        jobs = adapter.list_jobs()
    except (Unreachable, MaestroError) as error:
        remedy = "ticks try again; if this lasts, try its commands by hand, or ask your administrators"
        yield CheckResult(Level.CRITICAL, "scheduler", f"{adapter.name} does not answer: {error}", remedy)
    else:
        yield CheckResult(Level.OK, "scheduler", f"{adapter.name} answers, and lists {len(jobs)} of your jobs")
