"""Slurm's own cron, where each tick is a job.

This module makes our entry, and adds it to a user's scrontab or removes it.

As in a crontab, only the lines between our markers are changed. According to Slurm's source (scrontab.c), options in
``#SCRON`` lines apply to the next entry, even after comments. Without a scrontab, ``scrontab -l`` prints "no crontab
for ..." to standard output. After the job of an entry was cancelled, it prints ``#DISABLED:`` before each line of the
entry. On an error, some versions repeat a question on standard output until they get an answer. No scrontab was
available for tests.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from maestro_es.adapters.command import Completed, run
from maestro_es.core.model import Micros
from maestro_es.drivers.cron_tick import BY_CRON
from maestro_es.drivers.crontab import InstallState, installed_line, list_entries, with_line, without_line
from maestro_es.errors import RequestRefused
from maestro_es.files import write
from maestro_es.import_path import own_command
from maestro_es.study import registry

NAME = "scrontab"

#: The beginning of a line that Slurm has disabled, and of a line with options.
_DISABLED, _OPTIONS = "#DISABLED:", "#SCRON"

#: Characters of a path or an option that Slurm, the shell or a pattern of file names would change.
_SPECIAL = "\\\n\r%$\"' \t"

#: The time limit of the command in seconds, and the time limit of the job of a tick.
_PATIENCE, _MINUTES = 30, 15


# -- Text ------------------------------------------------------------------------------------------------------------


def entry(maestro_es: Sequence[str], home: str, options: Mapping[str, str]) -> str:
    """Return the lines that run a tick every minute for all studies that `home` (MAESTRO_ES_HOME) lists.

    `options` are options of the job, such as its partition. Its output goes to a file in `home`.
    """
    ours = {"job-name": "maestro-es-tick", "time": str(_MINUTES), "output": f"{home}/scrontab.log", **options}
    for value in (*ours.values(), *maestro_es):
        if not value or any(character in _SPECIAL for character in value):
            raise RequestRefused(f"{value!r}: a scrontab can't hold blanks, quotes, '%', '$' or a backslash here")
    lines = [f"{_OPTIONS} --{name}={value}" for name, value in (*ours.items(), ("open-mode", "append"))]
    argv = ["/usr/bin/env", f"MAESTRO_ES_HOME={home}", f"{BY_CRON}={NAME}", *maestro_es, "tick", "--all"]
    return "\n".join([*lines, f"* * * * * {shlex.join(argv)}"])


def is_disabled(block: str) -> bool:
    """Return whether Slurm has disabled our entry, because a user or the site has cancelled its job."""
    return any(line.startswith(_DISABLED) for line in block.split("\n"))


def options_in(block: str) -> dict[str, str]:
    """Return the options of an entry that a user can choose."""
    options = [line.removeprefix(_DISABLED).strip().removeprefix(f"{_OPTIONS} --") for line in block.split("\n")]
    pairs = [word.partition("=")[::2] for word in options]
    return {name: value for name, value in pairs if name in ("qos", "partition", "account")}


def check_options(text: str) -> None:
    """Refuse a scrontab in which options without an entry precede ours. Slurm would apply them to ours."""
    loose = 0
    for number, line in enumerate(with_line(text, "", NAME).split("\n"), 1):
        if line.strip() == "# maestro-es begin":
            break
        if line.strip().startswith(_OPTIONS):
            loose = loose or number
        elif line.strip() and not line.strip().startswith("#"):
            loose = 0
    else:
        return
    if loose:
        raise RequestRefused(
            f"line {loose} of your scrontab has options without an entry, which would apply to maestro-es; "
            "remove it with 'scrontab -e', then try again"
        )


# -- The scrontab of this user on this cluster -----------------------------------------------------------------------


def unavailable() -> str:
    """Return why this host has no scrontab (empty: it has one)."""
    if not shutil.which(NAME):
        return "this host has no scrontab command"
    done = list_entries(NAME)
    return "" if _is_list(done) else f"scrontab can't be used here: {_message(done)}"


def desired(options: Mapping[str, str]) -> str:
    """Return the entry for this installation and this user's studies."""
    return entry(own_command(), str(registry.folder().parent.absolute()), options)


def look() -> tuple[InstallState, str | None]:
    """Return whether the entry is in the scrontab, and its text. RequestRefused if the scrontab can't be read."""
    block = installed_line(_read(), NAME)
    if block is None:
        return InstallState.ABSENT, None
    return (InstallState.INSTALLED if block == desired(options_in(block)) else InstallState.OTHER), block


def trouble() -> str:
    """Return what keeps an installed entry from running (empty: nothing is known)."""
    block = installed_line(_read(), NAME) or ""
    if not is_disabled(block):
        return ""
    return (
        "the entry is disabled, because its job was cancelled by you or your site; "
        "'maestro-es cron install --scrontab' enables it"
    )


def install(options: Mapping[str, str], host: str, at: Micros) -> bool:
    """Add our entry to the scrontab, and return whether this changed it. Without `options`, earlier ones are kept."""
    before = _read()
    check_options(before)
    after = with_line(before, desired(options or options_in(installed_line(before, NAME) or "")), NAME)
    if after != before:
        _write(after)
    note = registry.note_name(NAME, host)
    if after != before or not registry.cron_note(note).exists():
        registry.note_cron_installed(note, at)
    return after != before


def remove(host: str) -> bool:
    """Remove our entry from the scrontab, and return whether this changed it."""
    before = _read()
    after = without_line(before, NAME)
    if after != before:
        _write(after)
    registry.cron_note(registry.note_name(NAME, host)).unlink(missing_ok=True)
    return after != before


def _is_list(done: Completed) -> bool:
    return not done.code or done.out.startswith("no crontab for ")


def _read() -> str:
    if not shutil.which(NAME):
        raise RequestRefused("this host has no scrontab command")
    done = list_entries(NAME)
    if not _is_list(done):
        raise RequestRefused(f"can't read your scrontab: {_message(done)}")
    return "" if done.code else done.out


def _write(text: str) -> None:
    """Install a scrontab, and check that it is there, because not every version reports an error by its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scrontab"
        write(file, os.fsencode(text))
        script = 'scrontab "$0" 2>&1 | head -c 2000' if text else "exec scrontab -r"
        argv = ["/bin/sh", "-c", script, str(file)]
        done = run(argv, timeout=_PATIENCE, env={**os.environ, "LC_ALL": "C"})
    if done.code or _read() != text:
        raise RequestRefused(f"can't change your scrontab: {_message(done)}")


def _message(done: Completed) -> str:
    lines = [line.strip() for line in (done.err or done.out).splitlines() if line.strip()]
    return "; ".join(lines[:3]) or f"scrontab ended with {done.code}"
