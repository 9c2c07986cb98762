"""Finds out whether a cron daemon reads crontabs on this host.

On Linux, the daemon is a process with a known name in /proc. The answer is unknown in three cases: the processes of
other users are hidden (``hidepid``), systemd reads crontabs itself (systemd-cron), or the system is macOS, where
launchd starts cron when there is a crontab.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

#: The names of the daemons: cron (Debian, ISC), crond (cronie, dcron, busybox), and fcron.
_NAMES = (b"cron", b"crond", b"fcron")
#: The name of busybox if it was not started by a link with the name of the applet.
_BUSYBOX = b"busybox"

#: The programs that turn crontabs into systemd timers, in the packages of Debian, Fedora and Arch.
_GENERATORS = tuple(
    Path(folder) / "system-generators" / "systemd-crontab-generator"
    for folder in ("/lib/systemd", "/usr/lib/systemd", "/etc/systemd")
)

#: The line in /proc/PID/status with the ids of a process in this and each nested PID namespace (since Linux 4.1).
_NAMESPACES = re.compile(r"^NSpid:(.*)$", re.MULTILINE)

_HIDDEN = re.compile(r"^\S+ /proc proc \S*\bhidepid=(?!0|off)", re.MULTILINE)


def daemon_runs(proc: Path = Path("/proc")) -> bool | None:
    """Return whether a cron daemon runs on this host (None: unknown)."""
    if not sys.platform.startswith("linux"):
        return None
    depth = _depth(proc / "self")
    processes = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    if any(_is_daemon(process) and _depth(process) == depth for process in processes):
        return True
    return None if _is_hidden(proc) or any(generator.exists() for generator in _GENERATORS) else False


def _is_daemon(process: Path) -> bool:
    try:
        name = (process / "comm").read_bytes().strip()
        if name == _BUSYBOX:
            return b"crond" in (process / "cmdline").read_bytes().split(b"\0")[:2]
    except OSError:
        return False
    return name in _NAMES


def _depth(process: Path) -> int:
    """Return the depth of a process's PID namespace.

    The cron of a container reads only the crontabs of the container.
    """
    try:
        match = _NAMESPACES.search((process / "status").read_text(errors="replace"))
    except OSError:
        return 0
    return len(match[1].split()) if match else 1


def _is_hidden(proc: Path) -> bool:
    """Return whether processes of other users may be hidden. They are never hidden from root."""
    if os.geteuid() == 0:
        return False
    try:
        (proc / "1" / "comm").read_bytes()
        return bool(_HIDDEN.search((proc / "self" / "mounts").read_text()))
    except OSError:
        return True
