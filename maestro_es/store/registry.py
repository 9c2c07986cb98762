"""The registry: which studies this user has, for ``tick --all`` and ``studies``.

One small file for each study in ``~/.local/state/maestro-es/studies``, named by the study's id and holding its
directory. No file is ever written by two processes, so there is nothing to lock. `MAESTRO_ES_HOME` names another
place; XDG variables are not looked at, because cron doesn't know them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def folder() -> Path:
    """Return the registry's directory."""
    home = os.environ.get("MAESTRO_ES_HOME") or Path.home() / ".local/state/maestro-es"
    return Path(home) / "studies"


def register(study_id: str, root: Path) -> None:
    """Note where a study is. Whatever was registered in the same directory before is not there any more."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    scratch = place / f".{study_id}.{os.getpid()}"
    scratch.write_text(f"{root}\n")
    scratch.replace(place / study_id)
    for other, path in registered().items():
        if other != study_id and path == root:
            forget(other)


def forget(study_id: str) -> None:
    """Forget a study; its directory is left alone."""
    (folder() / study_id).unlink(missing_ok=True)
    _complaint(study_id).unlink(missing_ok=True)


def registered() -> dict[str, Path]:
    """Return the directories of all studies by their id, in the order in which they were registered."""
    try:
        entries = [entry for entry in os.scandir(folder()) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return {}
    found = []
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # forgotten this very moment
            found.append((entry.stat().st_mtime, entry.name, Path(Path(entry.path).read_text().strip())))
    return {study_id: root for _, study_id, root in sorted(found)}


def complaint_is_new(study_id: str, complaint: str) -> bool:
    """Keep what is wrong with a study (empty: nothing) and return whether a person has not been told of it yet.

    Where that can't be kept, because a quota is used up, it is told again.
    """
    place = _complaint(study_id)
    with contextlib.suppress(OSError):
        if place.read_text() == complaint:
            return False
    with contextlib.suppress(OSError):
        if complaint:
            place.write_text(complaint)
        else:
            place.unlink(missing_ok=True)
    return bool(complaint)


def _complaint(study_id: str) -> Path:
    return folder() / f".{study_id}.complaint"
