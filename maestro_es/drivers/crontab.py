"""The crontab's line that ticks all studies: what it is, and how it comes into a user's crontab and out of it.

A crontab is text, and all of it but our lines belongs to somebody else. So it is edited as text: what stands between
our two markers is ours, everything else is kept byte for byte. The package python-crontab would parse the lines of
others and write them again; the few lines that are needed here cost less than to make it leave them alone.

``crontab -l`` writes to a file, and ``crontab FILE`` installs one: that is the part of the command that all crons
share, and bytes that are no UTF-8 survive it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from maestro_es.adapters.command import Completed, run
from maestro_es.core.model import Micros
from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.drivers.cron_daemon import daemon_runs
from maestro_es.drivers.cron_tick import BY_CRON
from maestro_es.errors import MaestroError, RequestRefused
from maestro_es.import_path import own_command
from maestro_es.store import registry
from maestro_es.study.invocation import Runtime

BEGIN = "# maestro-es begin"
END = "# maestro-es end"

_MINUTE = 60_000_000
#: Seconds for which the crontab command may keep us waiting; its files may lie on a network.
_PATIENCE = 30


class InstallState(Enum):
    """What a crontab says about us."""

    INSTALLED = "installed"
    OTHER = "another line"  # of another installation, or for other studies
    ABSENT = "not installed"


# -- Text ------------------------------------------------------------------------------------------------------------


def tick_line(maestro_es: Sequence[str], home: str) -> str:
    """Return the line that ticks all studies each minute: those that `home` (MAESTRO_ES_HOME) lists.

    The command `maestro_es` and home are absolute, for cron knows neither our PATH nor our directory, and a crontab
    may set another HOME. `env` sets the variables, because the crontab may name a SHELL that has no ``NAME=VALUE
    command``. A ``%`` would end the command, so it is escaped; a backslash would be taken for such an escape and a
    newline ends the line, so they are refused.
    """
    variables = [f"MAESTRO_ES_HOME={home}", f"{BY_CRON}=1"]
    argv = ["/usr/bin/env", *variables, *maestro_es, "tick", "--all"]
    command = shlex.join(argv)
    if any(character in command for character in "\\\n\r"):
        raise RequestRefused(f"{command!r}: a crontab can't hold a backslash or the end of a line; use another path")
    return f"* * * * * {command}".replace("%", r"\%")


def installed_line(text: str) -> str | None:
    """Return what stands between our markers in a crontab (empty: nothing), or None if they are not there."""
    lines = text.split("\n")
    blocks = _blocks(lines)
    return "\n".join(lines[blocks[0][0] + 1 : blocks[0][1]]) if blocks else None


def with_line(text: str, line: str) -> str:
    """Return a crontab with our lines: in the place where they are, else at the end, so that its MAILTO holds for us.

    More blocks of ours than one become one. A last line that lacks its newline is given one; cron would not have it
    otherwise.
    """
    lines = text.split("\n")
    blocks = _blocks(lines)
    ours = [BEGIN, line, END]
    if not blocks:
        return (text if not text or text.endswith("\n") else f"{text}\n") + "".join(f"{own}\n" for own in ours)
    for first, last in reversed(blocks[1:]):
        del lines[first : last + 1]
    first, last = blocks[0]
    lines[first : last + 1] = ours
    return "\n".join(lines)


def without_line(text: str) -> str:
    """Return a crontab without our lines."""
    lines = text.split("\n")
    for first, last in reversed(_blocks(lines)):
        del lines[first : last + 1]
    return "\n".join(lines)


def _blocks(lines: list[str]) -> list[tuple[int, int]]:
    """Return from where to where our lines stand. RequestRefused if the markers make no pairs."""
    marks = [(number, line.strip()) for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    for index, (number, mark) in enumerate(marks):
        if mark != (BEGIN, END)[index % 2] or (mark == BEGIN and index + 1 == len(marks)):
            raise RequestRefused(
                f"line {number + 1} of your crontab, '{mark}', has no counterpart; "
                "remove our lines with 'crontab -e', then run 'maestro-es cron install'"
            )
    return [(first, last) for (first, _), (last, _) in zip(marks[::2], marks[1::2], strict=True)]


def missed_ticks(last: Micros, now: Micros) -> int:
    """Return how many minutes have gone without a tick since the last one; the one that is due may be under way."""
    return max((now - last) // _MINUTE - 1, 0)


# -- The crontab of this user on this host ---------------------------------------------------------------------------


def wanted_line() -> str:
    """Return the line for this installation and this user's studies."""
    return tick_line(own_command(), str(registry.folder().parent.absolute()))


def look() -> tuple[InstallState, str | None]:
    """Return whether the line is in the crontab, and what stands in its place. RequestRefused if it can't be read."""
    line = installed_line(_read())
    if line is None:
        return InstallState.ABSENT, None
    return (InstallState.INSTALLED if line == wanted_line() else InstallState.OTHER), line


def install(host: str, at: Micros) -> bool:
    """Put our line into the crontab, and return whether it was changed. RequestRefused if there is no crontab."""
    before = _read()
    after = with_line(before, wanted_line())
    if after != before:
        _write(after)
    if after != before or not registry.cron_note(host).exists():
        registry.note_cron_installed(host, at)
    return after != before


def remove(host: str) -> bool:
    """Take our lines out of the crontab, and return whether it was changed. RequestRefused if there is no crontab."""
    before = _read()
    after = without_line(before)
    if after != before:
        _write(after)
    registry.cron_note(host).unlink(missing_ok=True)
    return after != before


def other_hosts(host: str) -> list[str]:
    """Return the other hosts where the line was installed and not removed: each host has a crontab of its own."""
    return [name for name in registry.cron_hosts() if name != host]


def last_run(host: str) -> tuple[Micros, bool] | None:
    """Return when cron ticked last, here or else on another host, and whether it did at all since it was told to."""
    notes = map(registry.cron_noted, (host, *other_hosts(host)))
    return max((note for note in notes if note), default=None)


def is_read(host: str, now: Micros) -> bool:
    """Whether crontabs are read on this host, as far as we can see: only if it is certain that they are not, it is no.

    Where cron has ticked in the last minutes there is one, whether we see it or not.
    """
    run = last_run(host)
    return bool(run and run[1] and not missed_ticks(run[0], now)) or daemon_runs() is not False


def not_read(host: str) -> str:
    """Return in one line what is wrong if crontabs are not read, and what to do."""
    return (
        f"no cron daemon is running on {host}, so nothing reads your crontab: have one started, "
        "or install the line on another login node, or use 'maestro-es run --wait'"
    )


def how_ticks_come(runtime: Runtime) -> str:
    """Return in one line how a study that was just started will be ticked."""
    try:
        state, _ = look()
    except (MaestroError, OSError):
        return "It advances with each 'maestro-es tick --all'; no crontab can be used here, so call that every minute"
    host = runtime.host.name
    if state is InstallState.INSTALLED and not is_read(host, runtime.now()):
        return f"It advances with each 'maestro-es tick --all'; {not_read(host)}"
    if state is InstallState.INSTALLED:
        return "cron runs a tick for it every minute"
    if state is InstallState.OTHER:
        return "It advances with each 'maestro-es tick --all'; your crontab has another one: 'maestro-es cron check'"
    return "It advances with each 'maestro-es tick --all'; 'maestro-es cron install' lets cron call that every minute"


def what_is_forgotten(facts: SchedulerFacts | None, cluster_info: Mapping[str, str]) -> str:
    """Return in one line what ticks of cron's may not see, by what a scheduler said of itself; otherwise nothing."""
    gap = facts.forgets_within(cluster_info, _MINUTE // 1_000_000) if facts else ""
    if not gap:
        return ""
    return (
        f"{gap}: of a job whose report is lost, a tick every minute may not see how it ended, and runs its step again"
    )


def _read() -> str:
    """Return the crontab, empty if there is none. RequestRefused if that can't be known: one unread would be lost."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crontab"
        done = _crontab(["/bin/sh", "-c", 'exec crontab -l >"$0"', str(file)])
        if done.code and "no crontab for" not in done.err.lower():  # so say Vixie cron, cronie and ISC cron
            raise _refused("can't read your crontab", done)
        return "" if done.code else os.fsdecode(file.read_bytes())


def _write(text: str) -> None:
    """Install a crontab; an empty one is removed."""
    _refuse_carriage_returns(text)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crontab"
        file.write_bytes(os.fsencode(text))
        done = _crontab(["crontab", str(file)] if text else ["crontab", "-r"])
    if done.code:
        raise _refused("can't change your crontab", done)


def _refuse_carriage_returns(text: str) -> None:
    """Refuse what ``crontab -l`` has not shown as it is: Debian's (3.0pl1-162) makes a backslash and an r of them."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith(r"\r"):
            raise RequestRefused(
                rf"line {number} of your crontab ends with '\r', a carriage return that would be lost; "
                "remove it with 'crontab -e', then try again"
            )


def _crontab(argv: list[str]) -> Completed:
    if not shutil.which("crontab"):
        raise RequestRefused("this host has no crontab command; try another login node, or use 'run --wait'")
    return run(argv, timeout=_PATIENCE, env={**os.environ, "LC_ALL": "C"})


def _refused(what: str, done: Completed) -> RequestRefused:
    message = "; ".join(line.strip() for line in done.err.splitlines() if line.strip())
    return RequestRefused(f"{what}: {message or f'crontab ended with {done.code}'}")
