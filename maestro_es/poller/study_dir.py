"""A study directory: where things are in it, and whether we may work there.

::

    STUDY/
      events.db              the log, and its projection
      status.csv             as Maestro writes it, with its .status.lock
      STEP/[COMBINATION/]    workspaces; .claim.TOKEN in them are the claims
      .maestro-es.lock       held by the process that creates a study here; there only for that time
      .maestro-es.new/       becomes .maestro-es once the earlier study has been moved into it
      .maestro-es/
        previous/TIME/       an earlier study in this directory, which `run -o` replaced at that time
        inbox/               reports of runners
        runner.sh            the runner, copied when the study was created
        TOKEN                a link to it, while an attempt is submitted
        study.ID             whose study this is, by the first part of its tokens: jobs of a replaced one don't start
        environment.DIGEST   the environment of the steps, for its owner alone
        next-tick            the command with which a runner asks for the next tick
        tick.lock            held by the process that ticks
        waiter.lock          held by the one process that waits for tick.lock
        waiting              "HOST PID" of it, for the runners
        last-tick            "SEQ DIGEST" of the last event that a tick has seen, and when that was
        diff-since-last.UID  up to which event a user has been told what is new
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from maestro_es.core.attempt_token import study_part
from maestro_es.core.model import Micros
from maestro_es.errors import NotOurs
from maestro_es.store.file_check import journals
from maestro_es.store.log_file import LOG_NAME

#: The directory of our own in a study directory.
STATE_DIR = ".maestro-es"


class StudyDir:
    """The paths of one study directory; making one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.log = self.root / LOG_NAME
        self.state = self.root / STATE_DIR
        self.creation_lock = self.root / f"{STATE_DIR}.lock"
        self.next_state = self.root / f"{STATE_DIR}.new"
        self.inbox = self.state / "inbox"
        self.runner = self.state / "runner.sh"
        self.next_tick = self.state / "next-tick"
        self.tick_lock = self.state / "tick.lock"
        self.waiter_lock = self.state / "waiter.lock"
        self.waiting = self.state / "waiting"
        self.last_tick = self.state / "last-tick"
        self.status_csv = self.root / "status.csv"
        self.status_lock = self.root / ".status.lock"

    def runner_of(self, token: str) -> Path:
        """Return the name of the runner for one attempt: there while a scheduler is asked to take it."""
        return self.state / token

    def environment(self, digest: str) -> Path:
        """Return the place of the values of an environment; see `maestro_es.poller.environment_file`."""
        return self.state / f"environment.{digest[:16]}"

    def mark_of(self, study_id: str) -> Path:
        """Return the file that says whose study this is: its tokens begin with the same part."""
        return self.state / f"study.{study_part(study_id)}"

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
        return (folder / LOG_NAME).is_file()
    except PermissionError:
        return unseen


def find_study(start: Path) -> Path:
    """Return the study directory that a path lies in: the nearest one upwards with a log, else the path itself."""
    for folder in (start, *start.parents):
        if has_log(folder, unseen=False):
            return folder
    return start
