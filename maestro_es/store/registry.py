"""The registry: which studies this user has, for ``tick --all`` and ``studies``.

One small file for each study in ``~/.local/state/maestro-es/studies``, named by the study's id and holding its
directory. No file is ever written by two processes, so there is nothing to lock. `MAESTRO_ES_HOME` names another
place; XDG variables are not looked at, because cron doesn't know them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from maestro_es.core.model import Micros
from maestro_es.files import replace_file
from maestro_es.store.log_file import LOG_NAME

#: How the note of a host begins where cron has ticked, and what it is where cron was only told to.
_TICKED, _INSTALLED = "ticked", "installed\n"


def folder() -> Path:
    """Return the registry's directory."""
    home = os.environ.get("MAESTRO_ES_HOME") or Path.home() / ".local/state/maestro-es"
    return Path(home) / "studies"


def cron_note(host: str) -> Path:
    """Return where a host notes that cron ticks the studies there: when it did so last, or when it was told to.

    Beside the registry. A note is no proof: a host that is reinstalled loses its crontabs.
    """
    return folder().with_name("crontabs") / host


def note_cron(host: str, boot_id: str, at: Micros) -> None:
    """Note that cron has ticked on a host, and in which boot. It is left out where that can't be written."""
    with contextlib.suppress(OSError):
        before = cron_before(host, boot_id) or 0
        _note_cron(host, at, f"{_TICKED} {boot_id} {before}\n")


def note_cron_installed(host: str, at: Micros) -> None:
    """Note that cron was told to tick, and has not yet."""
    with contextlib.suppress(OSError):
        _note_cron(host, at, _INSTALLED)


def _note_cron(host: str, at: Micros, content: str) -> None:
    note = cron_note(host)
    _make_private(note.parent)
    note.write_text(content)
    os.utime(note, ns=(at * 1000, at * 1000))


def cron_noted(host: str) -> tuple[Micros, bool] | None:
    """Return when cron ticked last on a host, and whether it did at all since it was told to; None: not that we know.

    OSError if that can't be read.
    """
    note = cron_note(host)
    try:
        return note.stat().st_mtime_ns // 1000, note.read_text() != _INSTALLED
    except FileNotFoundError:
        return None


def cron_before(host: str, boot_id: str) -> Micros | None:
    """Return when cron ticked last on a host before it booted with this id; None if that is unknown."""
    try:
        noted = cron_noted(host)
        fields = cron_note(host).read_text().split() if noted else []
    except OSError:
        return None
    if fields[:2] == [_TICKED, boot_id] and fields[2:]:
        return (int(fields[2]) or None) if fields[2].isdigit() else None
    return noted[0] if noted else None


def cron_hosts() -> list[str]:
    """Return the hosts where cron was told to tick, and not yet to stop."""
    try:
        return sorted(entry.name for entry in os.scandir(cron_note("host").parent))
    except FileNotFoundError:
        return []


def register(study_id: str, root: Path) -> None:
    """Note where a study is. Whatever was registered in the same directory before is not there any more."""
    directory = folder()
    _make_private(directory)
    # durable: cron ticks no study whose entry is lost, and an empty entry names no directory
    replace_file(directory / study_id, os.fsencode(f"{root}\n"), 0o600, durable=True)
    for other, path in registered().items():
        if other != study_id and path == root:
            forget(other)


def _make_private(directory: Path) -> None:
    """Make a directory of ours, and the one that it lies in: others have no business there."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def registering(study_id: str, root: Path) -> Iterator[None]:
    """Register a study that is about to be made: once it is there, so is its entry. It goes again if that fails."""
    known = registered_at(study_id)
    register(study_id, root)
    try:
        yield
    except BaseException:
        if known is None and not os.path.lexists(root / LOG_NAME):
            forget(study_id)
        raise


def forget(study_id: str) -> None:
    """Forget a study; its directory is left alone."""
    (folder() / study_id).unlink(missing_ok=True)
    _complaint(study_id).unlink(missing_ok=True)


def registered() -> dict[str, Path]:
    """Return the directories of all studies by their id, in the order in which they were registered.

    An entry that can't be read stands for itself, and hides no other.
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
            pass  # forgotten this very moment
        except OSError:
            studies.append((0, entry.name, Path(entry.path)))
    return {study_id: root for _, study_id, root in sorted(studies)}


def registered_at(study_id: str) -> Path | None:
    """Return where a study is registered, if it is."""
    try:
        return _noted(folder() / study_id)
    except FileNotFoundError:
        return None


def _noted(entry: Path) -> Path:
    """Return the directory that an entry holds; if it holds none, the entry itself, which no study is in."""
    root = os.fsdecode(entry.read_bytes()).removesuffix("\n")
    return Path(root) if root.startswith("/") and "\0" not in root else entry


def complaint_is_new(study_id: str, complaint: str) -> bool:
    """Keep what is wrong with a study (empty: nothing) and return whether a person has not been told of it yet.

    Where that can't be kept, because a quota is used up, it is told again.
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
