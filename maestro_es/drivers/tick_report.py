"""Reports the drivers of ticks on all hosts, and when, where and by which driver each running study was ticked last.

The drivers are known from their notes (`maestro_es.study.registry`): each tick of a driver renews the note of its
host. `maestro_es.audit.checkup` checks the studies themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from maestro_es.audit.checkup import CheckResult, Level
from maestro_es.audit.status import OVERDUE, Summary
from maestro_es.audit.times import show_ago
from maestro_es.core.model import Micros, StudyStatus
from maestro_es.drivers import crontab
from maestro_es.drivers.crontab import InstallState
from maestro_es.drivers.tick_sources import SOURCES
from maestro_es.errors import MaestroError
from maestro_es.execution_graph.studies import Listed
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime

#: The names of the notes of drivers other than cron begin with a dot.
_OTHERS = ("scrontab", "systemd")


class DriverNote(NamedTuple):
    """When a driver last ran a tick on a host. If it never `ticked`, this is when it was installed.

    The `source` is a key of `SOURCES`. The host is empty for the scrontab, whose jobs may run on any host.
    """

    source: str
    host: str
    at: Micros
    ticked: bool

    @property
    def name(self) -> str:
        """The driver, and its host."""
        return f"{self.source} on {self.host}" if self.host else self.source


def driver_notes() -> list[DriverNote]:
    """Return the notes of all drivers on all hosts."""
    folder = registry.cron_note("host").parent
    notes = []
    for name in sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else ():
        noted = registry.cron_noted(name)
        if noted:
            source = next((one for one in _OTHERS if name.startswith(f".{one}")), "crontab")
            notes.append(DriverNote(source, name.removeprefix(f".{source}").removeprefix("-"), *noted))
    return notes


def report(studies: Sequence[Listed], runtime: Runtime) -> Iterator[CheckResult]:
    """Check the drivers on all hosts, what is installed here, and the last tick of each running study."""
    running = [one.summary for one in studies if one.summary and one.summary.status == StudyStatus.RUNNING.name]
    notes = driver_notes()
    yield from (_driver(note, runtime.now()) for note in notes)
    for note in notes:
        if note.host in ("", runtime.host.name):
            yield from _installed(note, runtime)
    if not notes and running:
        level = Level.WARNING if any(summary.overdue for summary in running) else Level.OK
        text = "no crontab, scrontab or timer runs ticks"
        yield CheckResult(level, "driver", text, "'maestro-es cron install' lets cron run them; see docs/ticks.md")
    yield from (_study(summary) for summary in running)
    for one in studies:
        if one.problem:
            remedy = "'maestro-es studies --forget' removes a deleted study from the list"
            yield CheckResult(Level.UNKNOWN, "ticks", f"{one.path}: {one.problem}", remedy)


def headline(results: Iterable[CheckResult]) -> str:
    """Return the line that a monitoring system shows: how many running studies are overdue or unreadable."""
    ticks = [result for result in results if result.area == "ticks"]
    overdue = sum(result.level is Level.CRITICAL for result in ticks)
    unknown = sum(result.level is Level.UNKNOWN for result in ticks)
    text = f"{overdue} of {len(ticks) - unknown} running studies overdue"
    return f"{text}, {unknown} can't be read" if unknown else text


def _driver(note: DriverNote, now: Micros) -> CheckResult:
    ago = show_ago(note.at, now)
    text = f"{note.name}: last tick {ago}" if note.ticked else f"{note.name}: no tick since its installation {ago}"
    if now - note.at <= OVERDUE:
        return CheckResult(Level.OK, "driver", text)
    again = f"'maestro-es cron install{SOURCES[note.source].option}'"
    remedy = f"run {again} there, or delete {registry.cron_note('host').parent / _file_of(note)} if that host is gone"
    return CheckResult(Level.WARNING, "driver", text, remedy)


def _file_of(note: DriverNote) -> str:
    return registry.note_name(note.source, note.host)


def _installed(note: DriverNote, runtime: Runtime) -> Iterator[CheckResult]:
    """Check whether a driver that was installed here still is, and whether it can run ticks."""
    source = SOURCES[note.source]
    again = f"'maestro-es cron install{source.option}'"
    try:
        state = source.look()[0]
        trouble = "" if state is InstallState.ABSENT else source.trouble()
    except (MaestroError, OSError) as error:
        yield CheckResult(Level.WARNING, "driver", f"{note.source} on this host: {error}")
        return
    if state is InstallState.ABSENT:
        yield CheckResult(Level.WARNING, "driver", f"maestro-es is no longer in {source.where} on this host", again)
    elif state is InstallState.OTHER:
        text = f"{source.where} has a line of another installation or for other studies"
        yield CheckResult(Level.WARNING, "driver", text, f"{again} replaces it")
    if trouble:
        yield CheckResult(Level.WARNING, "driver", f"{source.where}: {trouble}")
    if note.source == "crontab" and state is not InstallState.ABSENT:
        host = runtime.host.name
        if not crontab.is_read(host, runtime.now()):
            yield CheckResult(Level.CRITICAL, "driver", crontab.not_read(host))


def _study(summary: Summary) -> CheckResult:
    """Check when a running study was ticked last."""
    if summary.last_tick is None:
        text = f"{summary.path}: no tick has run yet"
    else:
        by = summary.last_tick_driver or "an unknown driver"
        where = f" on {summary.last_tick_host}" if summary.last_tick_host else ""
        text = f"{summary.path}: {by}{where} ticked it {show_ago(summary.last_tick, summary.at)}"
    if summary.overdue:
        remedy = f"'maestro-es tick {summary.path}' advances it once; a driver has to do so every minute"
        return CheckResult(Level.CRITICAL, "ticks", text, remedy)
    return CheckResult(Level.OK, "ticks", text)
