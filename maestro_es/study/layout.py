"""A study directory: the paths in it, named by `maestro_es.core.file_names`, and whether we may work there."""

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
    """The paths of one study directory; making one touches nothing."""

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
        """Return the name of the runner for one attempt: there while a scheduler is asked to take it."""
        return self.state / token

    def environment(self, digest: str) -> Path:
        """Return the place of the values of an environment; see `maestro_es.study.environment_file`."""
        return self.state / f"{file_names.ENVIRONMENT}{digest[:16]}"

    def mark_of(self, study_id: str) -> Path:
        """Return the file that says whose study this is: its tokens begin with the same part."""
        return self.state / f"{file_names.STUDY}{study_part(study_id)}"

    def path(self, recorded: str) -> Path:
        """Return the place of a path as the log has it: relative to the study, or absolute if it lies elsewhere."""
        return self.root / recorded

    def ticked_at(self) -> Micros | None:
        """Return when the study was ticked last; None if it never was."""
        try:
            return self.last_tick.stat().st_mtime_ns // 1000
        except FileNotFoundError:
            return None

    def note_tick(self, at: Micros) -> None:
        """Note when the study is ticked, by the clock of this host and not of its file system."""
        self.last_tick.touch(0o600)
        os.utime(self.last_tick, ns=(at * 1000, at * 1000))

    def is_ours(self) -> bool:
        """Whether the directory belongs to this user."""
        return self.root.stat().st_uid == os.geteuid()

    def check_owner(self) -> None:
        """Refuse a study whose directory another user owns, or whose log, state or runner another user can change.

        Its group may write in its directory, and rename what is there. So these are looked at each time.
        """
        mode = _check(self.root, stat.S_IWOTH, "run this as that user")
        shared = journals(self.log) if mode & stat.S_IWGRP else ()
        for path in (self.log, self.state, self.runner, *shared):
            _check(path, stat.S_IWGRP | stat.S_IWOTH, "the study directory is yours, so look who put it there")


def _check(path: Path, forbidden: int, remedy: str) -> int:
    """Refuse what belongs to another user, or what others can write by these bits of its mode; returns the mode.

    The `remedy` is what to do about another owner.
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
    """Whether there is a log in a directory; `unseen` if we may not look into it."""
    try:
        return (folder / file_names.LOG).is_file()
    except PermissionError:
        return unseen
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # SQL, say, which the command line has taken for a path
            return False
        raise


def find_study(start: Path) -> Path:
    """Return the study directory that a path lies in: the nearest one upwards with a log, else the path itself."""
    for folder in (start, *start.parents):
        if has_log(folder, unseen=False):
            return folder
    return start
