"""A systemd user timer that runs a tick every minute. This module makes, installs and removes the two unit files.

The directory of the files is often shared by many hosts, but a timer runs only on the host where it was enabled, and
only while the user is logged in there or lingers. With ``KillMode=process``, local steps outlive the tick that has
started them. The files were checked with ``systemd-analyze verify`` of systemd 252. No systemd user instance was
available for tests.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from maestro_es.adapters.command import Completed, run
from maestro_es.core.model import Micros
from maestro_es.drivers.cron_tick import BY_CRON
from maestro_es.drivers.crontab import InstallState
from maestro_es.errors import RequestRefused
from maestro_es.files import replace_file
from maestro_es.import_path import own_command
from maestro_es.study import registry

NAME = "systemd"

UNIT = "maestro-es-tick"
_TIMER, _SERVICE = f"{UNIT}.timer", f"{UNIT}.service"

#: The first line of our files.
_MARK = "# maestro-es cron install --systemd"

#: The time limit of systemd's commands in seconds.
_PATIENCE = 30


# -- Text ------------------------------------------------------------------------------------------------------------


def quoted(word: str, *, in_command: bool) -> str:
    """Return a word as systemd reads it in a unit file. In a command, ``$`` begins a variable."""
    if any(character in word for character in "\n\r"):
        raise RequestRefused(f"{word!r}: a unit file can't hold the end of a line; use another path")
    for special, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        word = word.replace(special, escaped)
    return f'"{word.replace("$", "$$") if in_command else word}"'


def unit_files(maestro_es: Sequence[str], home: str) -> dict[str, str]:
    """Return the names and the content of the two files that run ticks for the studies listed in `home`."""
    variables = [f"MAESTRO_ES_HOME={home}", f"{BY_CRON}={NAME}"]
    service = [
        _MARK,
        "[Unit]",
        "Description=maestro-es: one tick of all studies",
        "",
        "[Service]",
        "Type=oneshot",
        *(f"Environment={quoted(variable, in_command=False)}" for variable in variables),
        f"ExecStart={' '.join(quoted(word, in_command=True) for word in (*maestro_es, 'tick', '--all'))}",
        "TimeoutStartSec=15min",
        "KillMode=process",
        "SuccessExitStatus=75",
    ]
    timer = [
        _MARK,
        "[Unit]",
        "Description=maestro-es: a tick every minute",
        "",
        "[Timer]",
        "OnCalendar=minutely",
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {_SERVICE: "\n".join([*service, ""]), _TIMER: "\n".join([*timer, ""])}


# -- The units of this user ------------------------------------------------------------------------------------------


def unavailable() -> str:
    """Return why this host has no systemd user instance for this user (empty: it has one)."""
    if not shutil.which("systemctl"):
        return "this host has no systemctl command"
    done = _systemctl("show-environment")
    return f"no systemd runs for you here: {_message(done)}" if done.code else ""


def desired() -> str:
    """Return the two files, one after the other."""
    return "\n".join(_desired().values()).rstrip("\n")


def look() -> tuple[InstallState, str | None]:
    """Return whether our files are there, and their text. RequestRefused if files of another program are there."""
    texts = {name: _content(name) for name in _desired()}
    if not any(texts.values()):
        return InstallState.ABSENT, None
    _refuse_others(texts)
    return InstallState.INSTALLED if texts == _desired() else InstallState.OTHER, "\n".join(texts.values()).rstrip(
        "\n"
    )


def trouble() -> str:
    """Return what keeps the timer from running, and what to do (empty: nothing is known)."""
    if _systemctl("is-active", "--quiet", _TIMER).code:
        return "the timer is not running on this host; 'maestro-es cron install --systemd' starts it here"
    user = pwd.getpwuid(os.geteuid()).pw_name
    done = _run("loginctl", "show-user", user, "--property=Linger")
    if done.code or done.out.strip() != "Linger=yes":
        return "the timer ends when you log out; 'loginctl enable-linger' keeps it running, if your site allows that"
    return ""


def install(host: str, at: Micros) -> bool:
    """Write our files and start the timer. Returns whether a file changed."""
    texts = {name: _content(name) for name in _desired()}
    _refuse_others(texts)
    changed = texts != _desired()
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _desired().items():
        if texts[name] != text:
            replace_file(folder / name, os.fsencode(text), 0o644, durable=True)
    for arguments in (("daemon-reload",), ("enable", "--now", _TIMER)):
        done = _systemctl(*arguments)
        if done.code:
            raise RequestRefused(f"systemctl --user {' '.join(arguments)}: {_message(done)}")
    note = registry.note_name(NAME, host)
    if changed or not registry.cron_note(note).exists():
        registry.note_cron_installed(note, at)
    return changed


def remove(host: str) -> bool:
    """Stop the timer and remove our files. Returns whether there were any."""
    state, _ = look()
    registry.cron_note(registry.note_name(NAME, host)).unlink(missing_ok=True)
    if state is InstallState.ABSENT:
        return False
    done = _systemctl("disable", "--now", _TIMER)
    if done.code:
        raise RequestRefused(f"systemctl --user disable --now {_TIMER}: {_message(done)}")
    for name in _desired():
        (_folder() / name).unlink(missing_ok=True)
    _systemctl("daemon-reload")
    return True


def _desired() -> dict[str, str]:
    return unit_files(own_command(), str(registry.folder().parent.absolute()))


def _folder() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(config) if config.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def _content(name: str) -> str:
    try:
        return os.fsdecode((_folder() / name).read_bytes())
    except FileNotFoundError:
        return ""


def _refuse_others(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        if text and not text.startswith(_MARK):
            raise RequestRefused(f"{_folder() / name}: this file is not from 'maestro-es cron install'; move it away")


def _systemctl(*arguments: str) -> Completed:
    return _run("systemctl", "--user", *arguments)


def _run(*argv: str) -> Completed:
    """Run a command. A missing command counts as failed. Over ssh and under cron, systemctl needs XDG_RUNTIME_DIR."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    try:
        return run(argv, timeout=_PATIENCE, env={**os.environ, "LC_ALL": "C", "XDG_RUNTIME_DIR": runtime})
    except OSError as error:
        return Completed(1, "", error.strerror or str(error))


def _message(done: Completed) -> str:
    return " ".join(done.err.split()) or f"exit code {done.code}"
