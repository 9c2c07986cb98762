"""Makes the crontab line that runs ticks for all studies, and adds it to a crontab or removes it.

A crontab contains lines of other programs and of the user. So it is edited as text. Only the lines between our two
markers are changed, and all others are kept byte for byte. We don't use the package python-crontab: it would parse and
rewrite all lines, and this module is simpler.

``crontab -l`` prints the crontab, and ``crontab FILE`` installs one. All cron implementations share these
two commands, and bytes that are not UTF-8 survive them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from maestro_es.adapters.command import Command, Completed, run
from maestro_es.core.model import Micros
from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.drivers.cron_daemon import daemon_runs
from maestro_es.drivers.cron_tick import BY_CRON
from maestro_es.errors import MaestroError, RequestRefused
from maestro_es.files import write
from maestro_es.import_path import own_command
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime

BEGIN = "# maestro-es begin"
END = "# maestro-es end"

_MINUTE = 60_000_000
#: The time limit of the crontab command in seconds. Its files may be on a network.
_PATIENCE = 30


class InstallState(Enum):
    """Whether the line is installed in a crontab."""

    INSTALLED = "installed"
    OTHER = "another line"  # a line of another installation, or for other studies
    ABSENT = "not installed"


# -- Text ------------------------------------------------------------------------------------------------------------


def tick_line(maestro_es: Sequence[str], home: str) -> str:
    """Return the line that runs a tick every minute for all studies that `home` (MAESTRO_ES_HOME) lists.

    The paths of the command and of `home` are absolute, because cron uses another PATH and another working directory,
    and a crontab may set another HOME. ``env`` sets the variables, because the crontab may set a SHELL that does not
    support ``NAME=VALUE command``. A ``%`` would end the command, so it is escaped. A backslash would look like such
    an escape and a newline would end the line, so both are refused.
    """
    variables = [f"MAESTRO_ES_HOME={home}", f"{BY_CRON}=1"]
    argv = ["/usr/bin/env", *variables, *maestro_es, "tick", "--all"]
    command = shlex.join(argv)
    if any(character in command for character in "\\\n\r"):
        raise RequestRefused(f"{command!r}: a crontab can't hold a backslash or the end of a line; use another path")
    return f"* * * * * {command}".replace("%", r"\%")


def installed_line(text: str, name: str = "crontab") -> str | None:
    """Return the text between our markers in a crontab, or None if the markers are missing."""
    lines = text.split("\n")
    blocks = _blocks(lines, name)
    return "\n".join(lines[blocks[0][0] + 1 : blocks[0][1]]) if blocks else None


def with_line(text: str, line: str, name: str = "crontab") -> str:
    """Return a crontab with our lines.

    If the crontab already has lines of ours, the new lines take their place. Otherwise they go to the end, so that a
    MAILTO in the crontab applies to them.

    Several blocks of ours become one. If the last line has no newline, one is added, because cron would ignore such a
    line.
    """
    lines = text.split("\n")
    blocks = _blocks(lines, name)
    ours = [BEGIN, line, END]
    if not blocks:
        return (text if not text or text.endswith("\n") else f"{text}\n") + "".join(f"{own}\n" for own in ours)
    for first, last in reversed(blocks[1:]):
        del lines[first : last + 1]
    first, last = blocks[0]
    lines[first : last + 1] = ours
    return "\n".join(lines)


def without_line(text: str, name: str = "crontab") -> str:
    """Return a crontab without our lines."""
    lines = text.split("\n")
    for first, last in reversed(_blocks(lines, name)):
        del lines[first : last + 1]
    return "\n".join(lines)


def _blocks(lines: list[str], name: str = "crontab") -> list[tuple[int, int]]:
    """Return the first and the last position of our lines. RequestRefused if the markers do not form pairs."""
    marks = [(number, line.strip()) for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    for index, (number, mark) in enumerate(marks):
        if mark != (BEGIN, END)[index % 2] or (mark == BEGIN and index + 1 == len(marks)):
            raise RequestRefused(
                f"line {number + 1} of your {name}, '{mark}', has no counterpart; "
                f"remove our lines with '{name} -e', then run 'maestro-es cron install'"
            )
    return [(first, last) for (first, _), (last, _) in zip(marks[::2], marks[1::2], strict=True)]


def missed_ticks(last: Micros, now: Micros) -> int:
    """Return how many ticks were missed since the last one: one per minute.

    A tick that is due now may still be running.
    """
    return max((now - last) // _MINUTE - 1, 0)


# -- The crontab of this user on this host ---------------------------------------------------------------------------


def wanted_line() -> str:
    """Return the line for this installation and this user's studies."""
    return tick_line(own_command(), str(registry.folder().parent.absolute()))


def look() -> tuple[InstallState, str | None]:
    """Return whether the line is in the crontab, and its text. RequestRefused if the crontab can't be read."""
    line = installed_line(_read())
    if line is None:
        return InstallState.ABSENT, None
    return (InstallState.INSTALLED if line == wanted_line() else InstallState.OTHER), line


def install(host: str, at: Micros) -> bool:
    """Add our line to the crontab, and return whether this changed it.

    RequestRefused if this host has no ``crontab`` command, or if the command fails.
    """
    before = _read()
    after = with_line(before, wanted_line())
    if after != before:
        _write(after)
    if after != before or not registry.cron_note(host).exists():
        registry.note_cron_installed(host, at)
    return after != before


def remove(host: str) -> bool:
    """Remove our lines from the crontab, and return whether this changed it.

    RequestRefused if this host has no ``crontab`` command, or if the command fails.
    """
    before = _read()
    after = without_line(before)
    if after != before:
        _write(after)
    registry.cron_note(host).unlink(missing_ok=True)
    return after != before


def other_hosts(host: str) -> list[str]:
    """Return the other hosts on which the line is installed. Each host has its own crontab."""
    return [name for name in registry.cron_hosts() if name != host]


def last_run(host: str) -> tuple[Micros, bool] | None:
    """Return when cron's last tick was, on this or another host, and whether there was one since the installation."""
    notes = map(registry.cron_noted, (host, *other_hosts(host)))
    return max((note for note in notes if note), default=None)


def is_read(host: str, now: Micros) -> bool:
    """Return whether a cron daemon reads crontabs on this host. Return False only if it is certain that none does.

    If cron has run a tick in the last minutes, there is a daemon, even if it can't be seen.
    """
    run = last_run(host)
    return bool(run and run[1] and not missed_ticks(run[0], now)) or daemon_runs() is not False


def not_read(host: str) -> str:
    """Return the message that no cron daemon reads crontabs, and the remedy."""
    return (
        f"no cron daemon is running on {host}, so nothing reads your crontab: ask for one, "
        "or install the line on another login node, or use 'maestro-es run --wait'"
    )


def how_ticks_come(runtime: Runtime) -> str:
    """Return a message about how ticks will advance a study that was just started."""
    for driver in ("scrontab", "systemd"):
        if registry.cron_note(registry.note_name(driver, runtime.host.name)).exists():
            return f"{driver} runs a tick for it every minute"
    try:
        state, _ = look()
    except (MaestroError, OSError):
        return "Each 'maestro-es tick --all' advances it; no crontab can be used here, so call it every minute"
    host = runtime.host.name
    if state is InstallState.INSTALLED and not is_read(host, runtime.now()):
        return f"Each 'maestro-es tick --all' advances it; {not_read(host)}"
    if state is InstallState.INSTALLED:
        return "cron runs a tick for it every minute"
    if state is InstallState.OTHER:
        return "Each 'maestro-es tick --all' advances it; another line is installed: see 'maestro-es cron check'"
    return "Each 'maestro-es tick --all' advances it; 'maestro-es cron install' lets cron run that every minute"


def what_is_forgotten(facts: SchedulerFacts | None, cluster_info: Mapping[str, str]) -> str:
    """Return a warning if the scheduler may forget ended jobs before cron's next tick (empty: it does not)."""
    gap = facts.forgets_within(cluster_info, _MINUTE // 1_000_000) if facts else ""
    if not gap:
        return ""
    return f"{gap}: if the report of a job is lost, a tick may not see how the job ended, and then runs its step again"


def _read() -> str:
    """Return the crontab (empty: there is none).

    RequestRefused if it can't be read. If it counted as empty, the caller would overwrite it.
    """
    if unavailable():
        raise RequestRefused(f"{unavailable()}; try another login node, or use 'run --wait'")
    done = list_entries("crontab")
    if done.code and "no crontab for" not in done.err.lower():  # the message of Vixie cron, cronie and ISC cron
        raise _refused("can't read your crontab", done)
    return "" if done.code else done.out


def list_entries(command: str) -> Completed:
    """Call ``crontab -l`` or ``scrontab -l``. Bytes that are not UTF-8 survive.

    The output comes through a pipe. On a full file system, a file would contain only a part of the crontab, because
    Debian's ``crontab -l`` (3.0pl1-162) ignores errors of writing.
    """
    listing = Command([command, "-l"], timeout=_PATIENCE, env={**os.environ, "LC_ALL": "C"})
    return listing.result()._replace(out=os.fsdecode(listing.output))


def _write(text: str) -> None:
    """Install a crontab. If it is empty, remove it."""
    _refuse_carriage_returns(text)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crontab"
        write(file, os.fsencode(text))
        argv = ["crontab", str(file)] if text else ["crontab", "-r"]
        done = run(argv, timeout=_PATIENCE, env={**os.environ, "LC_ALL": "C"})
    if done.code:
        raise _refused("can't change your crontab", done)


def _refuse_carriage_returns(text: str) -> None:
    """Refuse carriage returns, because Debian's ``crontab -l`` (3.0pl1-162) shows each as a backslash and an r."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith(r"\r"):
            raise RequestRefused(
                rf"line {number} of your crontab ends with '\r', a carriage return that would be lost; "
                "remove it with 'crontab -e', then try again"
            )


def unavailable() -> str:
    """Return why this host has no crontab (empty: it has the command)."""
    return "" if shutil.which("crontab") else "this host has no crontab command"


def _refused(what: str, done: Completed) -> RequestRefused:
    message = "; ".join(line.strip() for line in done.err.splitlines() if line.strip())
    return RequestRefused(f"{what}: {message or f'crontab ended with {done.code}'}")
