"""One interface to the programs that can start a tick every minute: cron, Slurm's scrontab and systemd.

`maestro_es.drivers.crontab`, `maestro_es.drivers.scrontab` and `maestro_es.drivers.systemd` do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from maestro_es.core.model import Micros
from maestro_es.drivers import crontab, scrontab, systemd
from maestro_es.drivers.crontab import InstallState
from maestro_es.errors import MaestroError, RequestRefused
from maestro_es.study import registry


class TickSource(NamedTuple):
    """One of these programs. `where` completes "in ...", and `option` is the option of ``maestro-es cron``.

    `unavailable` returns why this host lacks it, and `trouble` returns what keeps it from running ticks (empty:
    nothing). `look` returns the state and the installed text, and `desired` the text that `install` would write.
    `install` takes options, the host and the time, and `remove` takes the host. Both return whether they changed
    anything.
    """

    name: str
    where: str
    option: str
    unavailable: Callable[[], str]
    look: Callable[[], tuple[InstallState, str | None]]
    desired: Callable[[], str]
    trouble: Callable[[], str]
    install: Callable[[Mapping[str, str], str, Micros], bool]
    remove: Callable[[str], bool]


def _nothing() -> str:
    return ""


SOURCES = {
    "crontab": TickSource(
        "cron", "your crontab", "", crontab.unavailable, crontab.look, crontab.wanted_line, _nothing,
        lambda _options, host, at: crontab.install(host, at), crontab.remove,
    ),
    "scrontab": TickSource(
        "scrontab", "your scrontab", " --scrontab", scrontab.unavailable, scrontab.look,
        lambda: scrontab.desired({}), scrontab.trouble, scrontab.install, scrontab.remove,
    ),
    "systemd": TickSource(
        "systemd", "your systemd units", " --systemd", systemd.unavailable, systemd.look, systemd.desired,
        systemd.trouble, lambda _options, host, at: systemd.install(host, at), systemd.remove,
    ),
}  # fmt: skip


def refuse_unavailable(name: str) -> None:
    """Refuse a source that this host lacks. The message names the sources that the host has."""
    why = SOURCES[name].unavailable()
    if not why:
        return
    able = [f"'maestro-es cron install{one.option}'" for one in SOURCES.values() if not one.unavailable()]
    always = "'maestro-es drive' (also in batch jobs) and 'run --wait'"
    raise RequestRefused(f"{why}; what runs ticks here: {', '.join([*able, always])}; or try another login node")


def installed_source() -> str:
    """Return the source that is installed, if the crontab has no line of ours (empty: none)."""
    if _is_installed("crontab"):
        return ""
    return next((name for name in ("scrontab", "systemd") if _is_installed(name)), "")


def _is_installed(name: str) -> bool:
    try:
        return not SOURCES[name].unavailable() and SOURCES[name].look()[0] is not InstallState.ABSENT
    except (MaestroError, OSError):
        return False


def noted(name: str, host: str) -> tuple[Micros, bool] | None:
    """Return when the last tick of a source was, and whether there was one since its installation."""
    return registry.cron_noted(registry.note_name(name, host))
