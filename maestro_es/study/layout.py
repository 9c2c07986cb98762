"""The paths in a study directory, and the check that no other user can change it.

`maestro_es.core.file_names` has the names. `maestro_es.study.maintenance` creates the files.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from maestro_es.core import file_names
from maestro_es.core.attempt_token import study_part
from maestro_es.core.model import Micros
from maestro_es.errors import NotOurs
from maestro_es.store.file_check import journals


class StudyDir:
    """The paths of one study directory. Creating this object touches no file."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.log = self.root / file_names.LOG
        self.state = self.root / file_names.STATE_DIR
        self.creation_lock = self.root / file_names.CREATION_LOCK
        self.next_state = self.root / file_names.NEXT_STATE_DIR
        self.inbox = self.state / file_names.INBOX
        self.runner = self.state / file_names.RUNNER
        self.next_tick = self.state / file_names.NEXT_TICK
        self.tick_lock = self.state / file_names.TICK_LOCK
        self.waiter_lock = self.state / file_names.WAITER_LOCK
        self.waiting = self.state / file_names.WAITING
        self.last_tick = self.state / file_names.LAST_TICK
        self.status_blocks = self.state / file_names.STATUS_BLOCKS
        self.status_csv = self.root / file_names.STATUS_CSV
        self.status_lock = self.root / file_names.STATUS_LOCK

    def runner_of(self, token: str) -> Path:
        """Return the path of the link to the runner for an attempt with a job of its own.

        The link exists only while the attempt is submitted.
        """
        return self.state / token

    def environment(self, digest: str) -> Path:
        """Return the path of the file with the values of an environment; see `maestro_es.study.environment_file`."""
        return self.state / f"{file_names.ENVIRONMENT}{digest[:16]}"

    def mark_of(self, study_id: str) -> Path:
        """Return the file that identifies the study to its jobs.

        Its name and the study's tokens share a part of the id.
        """
        return self.state / f"{file_names.STUDY}{study_part(study_id)}"

    def path(self, recorded: str) -> Path:
        """Return the absolute path for a path from the log.

        The log has relative paths, except for those outside the study.
        """
        return self.root / recorded

    def ticked_at(self) -> Micros | None:
        """Return the time of the study's last tick; None if there was none."""
        try:
            return self.last_tick.stat().st_mtime_ns // 1000
        except FileNotFoundError:
            return None

    def note_tick(self, at: Micros) -> None:
        """Record the time of a tick. It comes from the clock of this host, not from the clock of the file system."""
        self.last_tick.touch(0o600)
        os.utime(self.last_tick, ns=(at * 1000, at * 1000))

    def is_ours(self) -> bool:
        """Return whether the directory belongs to this user."""
        return self.root.stat().st_uid == os.geteuid()

    def check_owner(self) -> None:
        """Refuse a study whose directory another user owns, or whose log, state or runner another user can change.

        The group may have write permission for the study directory, and so may replace files in it. So the log, the
        state and the runner are checked each time.
        """
        mode = _check(self.root, stat.S_IWOTH, "run this as that user")
        shared = journals(self.log) if mode & stat.S_IWGRP else ()
        for path in (self.log, self.state, self.runner, *shared):
            _check(path, stat.S_IWGRP | stat.S_IWOTH, "the study directory is yours, so see who put it there")


def _check(path: Path, forbidden: int, remedy: str) -> int:
    """Refuse a file that belongs to another user, or whose mode has one of the `forbidden` bits. Return the mode.

    The message about another owner ends with `remedy`.
    """
    try:
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode) and info.st_uid == os.geteuid():
            info = path.stat()
    except FileNotFoundError:
        return 0
    if info.st_uid != os.geteuid():
        raise NotOurs(f"{path}: belongs to another user (uid {info.st_uid}); {remedy}")
    if info.st_mode & forbidden:
        who = "go" if forbidden & stat.S_IWGRP else "o"
        raise NotOurs(f"{path}: other users can write there; run 'chmod {who}-w {path}' and check its content")
    return info.st_mode


def has_log(folder: Path, *, unseen: bool = True) -> bool:
    """Return whether a directory contains a log. If access to the directory is denied, return `unseen`."""
    try:
        return (folder / file_names.LOG).is_file()
    except PermissionError:
        return unseen
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # for example, if the command line passes SQL as a path
            return False
        raise


def find_study(start: Path) -> Path:
    """Return the study directory that contains a path, that is, the nearest parent with a log.

    If there is no such directory, return the path.
    """
    for folder in (start, *start.parents):
        if has_log(folder, unseen=False):
            return folder
    return start
