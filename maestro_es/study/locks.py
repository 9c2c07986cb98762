"""Locks of a study. The tick lock avoids needless queries.

Safety does not depend on this lock, but on the log's expected seq.

The lock is always a hard lock (flock). With a soft lock, a holder that is killed on another host would block every
other process for ever.

The callers of `hold_tick_lock` decide when to take the tick lock, and how long to wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from maestro_es.errors import StudyError
from maestro_es.files import replace_file
from maestro_es.sha256 import short_digest
from maestro_es.study.layout import StudyDir

#: The errors of a file system that is mounted without locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)

#: The errors of a file system for a lock that another process holds.
_HELD = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def hold(path: Path, seconds: float = 0) -> Iterator[bool]:
    """Hold a lock file. Yield whether it was locked within this number of seconds (negative: no limit).

    StudyError if the file system has no locks, OSError if the file can't be opened.
    """
    with contextlib.ExitStack() as stack:
        with _explained(path):
            held = _take(path, stack) or (seconds != 0 and _wait(path, seconds, stack))
        yield held


def hold_tick_lock(study_dir: StudyDir, seconds: float = 0) -> contextlib.AbstractContextManager[bool]:
    """Hold the tick lock of a study, to run or to prevent a tick. `seconds` and errors are as for `hold`.

    Cron's tick does not wait for the lock, because the holder does the same work.
    """
    return hold(study_dir.tick_lock, seconds)


@contextlib.contextmanager
def hold_job(path: Path, job: str, seconds: float) -> Iterator[None]:
    """Hold the lock of a job, so that normally only one driver in the job at a time decides which steps start.

    Each job locks a different byte of one file, so no files remain. If the lock can't be taken within this number of
    seconds, continue without it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, handle)  # this gives the lock back
            byte, end = int(short_digest(job.encode())[:8], 16), time.monotonic() + seconds
            while not _take_byte(handle, byte) and time.monotonic() < end:
                time.sleep(0.005)
        yield


def _take_byte(handle: int, byte: int) -> bool:
    """Lock a byte of a file. Return False if another process holds it."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return False
    return True


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Explain the error of a file system that has no locks."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        message = f"{path}: can't be locked ({error}); is the file system mounted without locks?"
        raise StudyError(message) from error


def _take(path: Path, stack: contextlib.ExitStack) -> bool:
    """Take the lock if it is free. This needs one system call, and is enough for most ticks."""
    path.parent.mkdir(exist_ok=True)  # a user may have removed it
    return _take_now(path, stack) is not None


def _wait(path: Path, seconds: float, stack: contextlib.ExitStack) -> bool:
    """Wait for a lock that another process holds. Return whether it was locked in time."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - its import costs as much as a tick, and waiting is rare

    lock = FileLock(path, timeout=seconds, fallback_to_soft=False, mode=0o600)
    try:
        lock.acquire(poll_interval=0.005)
    except Timeout:
        return False
    stack.callback(lock.release)
    return True


@contextlib.contextmanager
def hold_while_there(path: Path) -> Iterator[bool]:
    """Hold a lock file that exists only while it is held. Yield whether it was free.

    The previous holder may remove the file after this process has opened it. In this case the lock has no effect, so
    the file is created again. StudyError if the file system has no locks, OSError if the file can't be opened.
    """
    while True:
        with contextlib.ExitStack() as stack:
            with _explained(path):
                handle = _take_now(path, stack)
            if handle is None:
                yield False
                return
            if not _is_at(handle, path):
                continue
            stack.callback(path.unlink, missing_ok=True)  # runs before the lock is released
            yield True
            return


def _take_now(path: Path, stack: contextlib.ExitStack) -> int | None:
    """Take a lock without waiting, in an existing directory.

    Return the open file (None: another process holds the lock).
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    stack.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return None
    return handle


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock file. Return False if the file can't be opened or locked."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _HELD
    finally:
        os.close(handle)
    return False


def tick_lock_holder(study_dir: StudyDir) -> tuple[int, int] | None:
    """Return the id of the process that holds the tick lock, and the most seconds that it can have run.

    The id is 0 if the process is unknown, for example because it runs on another host. None if the lock is free.
    """
    if not is_held(study_dir.tick_lock):
        return None
    try:
        inode = os.stat(study_dir.tick_lock).st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.replace(": ->", ":").split()
            if fields[1] == "FLOCK" and int(fields[5].rpartition(":")[2]) == inode and int(fields[4]) > 0:
                started = os.stat(f"/proc/{fields[4]}").st_ctime
                return int(fields[4]), max(int(time.time() - started), 0)
    except (OSError, ValueError, IndexError):
        pass
    return 0, 0


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def waiting(study_dir: StudyDir, host: str) -> Iterator[bool]:
    """Be the only process that waits for the next tick. Yield False if another process already waits.

    The file `waiting` tells runners that a process waits, so that they need not request a tick.
    """
    with hold(study_dir.waiter_lock) as first:
        if first:
            with contextlib.suppress(OSError):  # without this file, runners request more ticks
                replace_file(study_dir.waiting, f"{host} {os.getpid()}\n".encode(), 0o600, durable=False)
        try:
            yield first
        finally:
            if first:
                with contextlib.suppress(OSError):
                    study_dir.waiting.unlink()


@contextlib.contextmanager
def queue_up(study_dir: StudyDir, host: str) -> Iterator[bool]:
    """Wait for the tick lock as the only waiting process. Yield False at once if another process already waits.

    The file `waiting` is removed before the caller reads the inbox. So no report is missed.
    """
    with contextlib.ExitStack() as stack:
        with waiting(study_dir, host) as first:
            if first:
                stack.enter_context(hold_tick_lock(study_dir, -1))
        yield first
