"""The registry of this user's studies, for ``tick --all`` and ``studies``. Also keeps notes about cron.

Each study has a small file in ``~/.local/state/maestro-es/studies``. Its name is the study's id, and it contains the
path of the study directory. No two processes write the same file, so no lock is needed. `MAESTRO_ES_HOME` replaces
``~/.local/state/maestro-es``. XDG variables are not read, because cron does not set them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from maestro_es.core.model import Micros
from maestro_es.files import replace_file
from maestro_es.store.log_file import LOG_NAME

#: The first word of a host's file after cron has run a tick on the host, and the content of the file before that.
_TICKED, _INSTALLED = "ticked", "installed\n"


def folder() -> Path:
    """Return the registry's directory."""
    home = os.environ.get("MAESTRO_ES_HOME") or Path.home() / ".local/state/maestro-es"
    return Path(home) / "studies"


def job_lock() -> Path:
    """Return the file that the drivers inside a job lock while they make a pass (see `locks.hold_job`)."""
    return folder().with_name("inside.lock")


def cron_note(host: str) -> Path:
    """Return the file that records cron's last tick on a host, or the installation of the line.

    The file does not prove that the line is still there, because a host that is reinstalled loses its crontabs.
    """
    return folder().with_name("crontabs") / host


def note_name(driver: str, host: str) -> str:
    """Return the name of the note about another driver than cron. Scrontab's jobs may run on any host."""
    return {"scrontab": ".scrontab", "systemd": f".systemd-{host}"}.get(driver, host)


def note_cron(host: str, boot_id: str, at: Micros) -> None:
    """Record that cron has run a tick on a host, and during which boot. Do nothing if the file can't be written."""
    with contextlib.suppress(OSError):
        before = cron_before(host, boot_id) or 0
        _note_cron(host, at, f"{_TICKED} {boot_id} {before}\n")


def note_cron_installed(host: str, at: Micros) -> None:
    """Record that the line is installed and that cron has run no tick yet."""
    with contextlib.suppress(OSError):
        _note_cron(host, at, _INSTALLED)


def _note_cron(host: str, at: Micros, content: str) -> None:
    note = cron_note(host)
    _make_private(note.parent)
    note.write_text(content)
    os.utime(note, ns=(at * 1000, at * 1000))


def cron_noted(host: str) -> tuple[Micros, bool] | None:
    """Return the time of a host's note, and whether cron has run a tick since the installation.

    None if there is no note.

    It is the time of cron's last tick or, before the first tick, of the installation. OSError if the note can't be
    read.
    """
    note = cron_note(host)
    try:
        return note.stat().st_mtime_ns // 1000, note.read_text() != _INSTALLED
    except FileNotFoundError:
        return None


def cron_before(host: str, boot_id: str) -> Micros | None:
    """Return the time of cron's last tick on a host before the boot with this id (None: unknown)."""
    try:
        noted = cron_noted(host)
        fields = cron_note(host).read_text().split() if noted else []
    except OSError:
        return None
    if fields[:2] == [_TICKED, boot_id] and fields[2:]:
        return (int(fields[2]) or None) if fields[2].isdigit() else None
    return noted[0] if noted else None


def cron_hosts() -> list[str]:
    """Return the hosts on which the crontab line is installed."""
    try:
        names = (entry.name for entry in os.scandir(cron_note("host").parent))
        return sorted(name for name in names if not name.startswith("."))
    except FileNotFoundError:
        return []


def register(study_id: str, root: Path) -> None:
    """Record the directory of a study. An earlier entry with the same directory is removed."""
    directory = folder()
    _make_private(directory)
    # durable: cron ticks no study whose entry is lost, and an empty entry names no directory
    replace_file(directory / study_id, os.fsencode(f"{root}\n"), 0o600, durable=True)
    for other, path in registered().items():
        if other != study_id and path == root:
            forget(other)


def _make_private(directory: Path) -> None:
    """Create a private directory, and its parent."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def registering(study_id: str, root: Path) -> Iterator[None]:
    """Register a study before it is created, so that it always has an entry.

    If the creation fails, remove the entry.
    """
    known = registered_at(study_id)
    register(study_id, root)
    try:
        yield
    except BaseException:
        if known is None and not os.path.lexists(root / LOG_NAME):
            forget(study_id)
        raise


def forget(study_id: str) -> None:
    """Remove a study from the registry. Its directory stays."""
    (folder() / study_id).unlink(missing_ok=True)
    _complaint(study_id).unlink(missing_ok=True)


def registered() -> dict[str, Path]:
    """Return the directories of all studies by their id, in the order in which they were registered.

    If an entry can't be read, its own path is returned instead of a directory. Such an entry does not hide others.
    """
    try:
        entries = [entry for entry in os.scandir(folder()) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return {}
    studies = []
    for entry in entries:
        try:
            if entry.is_file():
                studies.append((entry.stat().st_mtime, entry.name, _noted(Path(entry.path))))
        except FileNotFoundError:
            pass  # it was removed at this moment
        except OSError:
            studies.append((0, entry.name, Path(entry.path)))
    return {study_id: root for _, study_id, root in sorted(studies)}


def registered_at(study_id: str) -> Path | None:
    """Return the directory that is registered for a study (None: the study is not registered)."""
    try:
        return _noted(folder() / study_id)
    except FileNotFoundError:
        return None


def _noted(entry: Path) -> Path:
    """Return the directory in an entry.

    If there is none, return the path of the entry itself, which contains no study.
    """
    root = os.fsdecode(entry.read_bytes()).removesuffix("\n")
    return Path(root) if root.startswith("/") and "\0" not in root else entry


def complaint_is_new(study_id: str, complaint: str) -> bool:
    """Store the problem of a study (empty: none), and return whether it is new.

    If it can't be stored, for example because a quota is exceeded, it counts as new.
    """
    file = _complaint(study_id)
    with contextlib.suppress(OSError):
        if file.read_bytes() == os.fsencode(complaint):
            return False
    with contextlib.suppress(OSError):
        if complaint:
            file.write_bytes(os.fsencode(complaint))
        else:
            file.unlink(missing_ok=True)
    return bool(complaint)


def _complaint(study_id: str) -> Path:
    return folder() / f".{study_id}.complaint"
