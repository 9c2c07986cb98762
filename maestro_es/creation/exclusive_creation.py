"""Ensures that only one process creates a study in a directory.

The lock is a file in the study directory. A creating process may move or remove other files, but the lock file stays
until the end. If the process has created the directory and must remove it, it removes the lock file first, and then
the directory by ``rmdir``. If another process had opened the lock file before, it notices that the file is unlinked,
and starts again.

So the lock needs no write permission in the parent directory. It is the same lock for all paths to the directory, and
for all hosts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from maestro_es.core import file_names
from maestro_es.errors import RequestRefused
from maestro_es.store.log_file import LOG_NAME
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import hold_while_there

#: The directory is created at most this many times. Each time, another process may remove it before this process has
#: locked it.
_TRIES = 100

#: The maximum number of bytes in the path of a log. SQLite allows 512 (MAX_PATHNAME), including the suffix of a
#: journal. The temporary name of a new log has another suffix.
_LONGEST = 512 - len("-journal") - len(".new")

#: The names that are added to the directory of a new study. `OURS` holds the names that only maestro-es uses, and
#: `CREATED` holds all of them, except copies of the user's files.
OURS = (file_names.STATE_DIR, f"{LOG_NAME}.new", f"{LOG_NAME}.new-journal")
CREATED = (*OURS, file_names.BATCH_INFO, "meta", "logs")


class Site:
    """A directory in which only this process creates a study. If `is_new`, this process has created the directory."""

    def __init__(self, study_dir: StudyDir, *, is_new: bool) -> None:
        self.study_dir = study_dir
        self.is_new = is_new
        self._identity = _identity(study_dir.root)
        self.note_entries()

    def entries(self) -> set[str]:
        """Return the names in the directory, without the lock file."""
        return {*os.listdir(self.study_dir.root)} - {self.study_dir.creation_lock.name}

    def note_entries(self) -> None:
        """Note the present entries of the directory.

        `remove` keeps them, because this process has not created them.
        """
        self._before = self.entries()

    def forget_entries(self) -> None:
        """Let `remove` also remove entries that another process has created."""
        self._before = set()

    def check(self) -> None:
        """Raise RequestRefused if the directory was moved away, or replaced by another one."""
        if not self._is_here():
            raise RequestRefused(
                f"{self.study_dir.root}: another process has moved or replaced this directory; try again"
            )

    def has_study(self) -> bool:
        """Whether the directory contains a log now."""
        return os.path.lexists(self.study_dir.log)

    def remove(self, names: Iterable[str]) -> None:
        """Remove the entries that this process has created. Do nothing if there is a study now."""
        if not self._is_here() or self.has_study():
            return
        for name in {*names} - self._before:
            path = self.study_dir.root / name
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()

    def close(self) -> None:
        """Remove the content of a directory that this process has created, unless it contains a study."""
        if self.is_new:
            self.remove(self.entries() if self._is_here() else ())

    def _is_here(self) -> bool:
        try:
            return _identity(self.study_dir.root) == self._identity
        except OSError:
            return False


def _identity(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_dev, info.st_ino


@contextlib.contextmanager
def creating(root: Path) -> Iterator[Site]:
    """Let only this process create a study in `root`, and create the directory if it is missing.

    If the directory is new and contains no study at the end, it is removed. RequestRefused if another process is
    creating a study there.
    """
    with _exclusive_creation(StudyDir(root), must_be_new=False) as site:
        if site is None:
            raise RequestRefused(
                f"{root}: another process is creating a study here; wait for it, or choose another directory with -o"
            )
        yield site


@contextlib.contextmanager
def creating_named(stem: str) -> Iterator[Site]:
    """Let this process create a study in a new directory. The directory is named as in Maestro: `stem` and the time.

    If that directory exists, the name contains the next second. So runs in the same second have different names.
    """
    for second in itertools.count(int(time.time())):
        name = stem + time.strftime("%Y%m%d-%H%M%S", time.localtime(second))
        with _exclusive_creation(StudyDir(Path(name)), must_be_new=True) as site:
            if site is not None:
                yield site
                return


def remove_abandoned(stem: str, copies: Collection[str]) -> None:
    """Remove what killed processes have left in directories that `creating_named` made with this `stem`.

    A directory is removed only if it has no study, if it contains only our files and `copies` of the user's files, and
    if the process that held its lock has ended.
    """
    parent, names = Path(stem).parent, {*CREATED, *copies}
    for name in os.listdir(parent) if parent.is_dir() else ():
        study_dir = StudyDir(parent / name)
        if not re.fullmatch(re.escape(Path(stem).name) + r"\d{8}-\d{6}", name):
            continue
        if os.path.lexists(study_dir.creation_lock) and not os.path.lexists(study_dir.log):
            with contextlib.suppress(OSError), hold_while_there(study_dir.creation_lock) as is_free:
                site = Site(study_dir, is_new=False)
                if is_free and not site.has_study() and site.entries() <= names:
                    site.forget_entries()
                    site.remove(names)
            with contextlib.suppress(OSError):
                study_dir.root.rmdir()


def check_path(study_dir: StudyDir) -> None:
    """Refuse a path under which SQLite can't open a log, or which a log can't record."""
    root = study_dir.root
    if os.fsencode(root) != str(root).encode("utf-8", "replace"):
        raise RequestRefused(
            f"{root}: the log can only contain UTF-8, and this path is not UTF-8; choose another directory with -o"
        )
    excess = len(os.path.realpath(study_dir.log).encode()) - _LONGEST
    if excess > 0:
        raise RequestRefused(f"{root}: SQLite can't open a file with such a long path; make it {excess} bytes shorter")


@contextlib.contextmanager
def _exclusive_creation(study_dir: StudyDir, *, must_be_new: bool) -> Iterator[Site | None]:
    """Hold the lock of a directory, and create the directory if needed. Yield None if another process was faster."""
    check_path(study_dir)
    with contextlib.ExitStack() as stack:
        is_new = held = False
        with _refusing(study_dir.root):
            for _ in range(_TRIES):
                is_new = _make(study_dir.root, stack)
                if must_be_new and not is_new:
                    break
                with contextlib.suppress(FileNotFoundError):  # another process has removed the directory
                    held = stack.enter_context(hold_while_there(study_dir.creation_lock))
                    break
        if not held:
            yield None
            return
        site = Site(study_dir, is_new=is_new)
        stack.callback(site.close)
        yield site


@contextlib.contextmanager
def _refusing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or root
        raise RequestRefused(f"{where}: the study directory can't be created: {error.strerror}") from error


def _make(root: Path, stack: contextlib.ExitStack) -> bool:
    """Create a directory and its parents. Return whether this process created it. `stack` removes empty ones."""
    if root.is_dir():
        return False
    if os.path.lexists(root):
        raise RequestRefused(f"{root}: exists and is not a directory; choose a directory with -o")
    if root.parent != root:
        _make(root.parent, stack)
    try:
        root.mkdir(0o775)  # not writable by all users, whatever the umask
    except FileExistsError:
        return False
    stack.callback(_remove_if_empty, root, _identity(root))
    return True


def _remove_if_empty(folder: Path, identity: tuple[int, int]) -> None:
    with contextlib.suppress(OSError):
        if _identity(folder) == identity:
            folder.rmdir()
