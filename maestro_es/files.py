"""Reads, creates, replaces and syncs files of maestro-es. No other module replaces or syncs a file.

A file system may write the name of a file at once and its content half a minute later. After a power cut in between,
the file is empty. The outputs of steps are not synced, because this may take very long on a busy parallel file system.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

#: The errors of file systems that can't sync directories.
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)


#: The largest number of bytes that `read` reads.
_LARGEST = 100_000_000
#: The number of bytes that `read` reads if the size of a file is unknown.
_UNKNOWN = 65_536


def read(path: Path) -> bytes:
    """Return the content of a file. Another user may have put a pipe in its place. A pipe counts as empty."""
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        size = max(os.fstat(file.fileno()).st_size, _UNKNOWN)  # `read` allocates this number of bytes
        return file.read(min(_LARGEST, size)) or b""


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add `path` to errors of the operating system. Otherwise errors of writing and syncing name no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Create or overwrite a file. Afterwards its content is on disk, but its name may not be (see `sync`)."""
    with naming(path), open(path, "wb") as file:
        file.writelines((content,) if isinstance(content, bytes) else content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes | Iterable[bytes], mode: int, *, durable: bool) -> os.stat_result:
    """Replace a file atomically. A reader finds either all of the old content or all of the new content.

    Returns the `stat` of the new file.

    The umask limits `mode` for group and others, but not for the owner. A symbolic link at `path` is replaced, not
    followed. With `durable`, content and name are on disk before this returns. Otherwise a power cut may leave the
    file empty, and the caller must have a way to write it again.

    OSError if this fails. Then the old file is unchanged, except after a failed sync. The error names `path`, and not
    the temporary file, whose name differs from tick to tick, unless the temporary file itself can't be replaced.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        written = _write_new(temporary, data, mode, durable=durable)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno and not os.path.lexists(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    if durable:
        sync(path.parent)
    return written


def replaced_by(name: str) -> str:
    """Return the name of the file that a temporary file replaces (empty: `name` is not such a temporary file)."""
    target, _, number = name.rpartition(".")
    return target[1:] if target.startswith(".") and number.isdigit() else ""


def _write_new(path: Path, data: bytes | Iterable[bytes], mode: int, *, durable: bool) -> os.stat_result:
    handle = _create(path, mode)
    with open(handle, "wb") as file:
        if mode & stat.S_IRWXU & ~os.fstat(handle).st_mode:
            os.fchmod(handle, mode & stat.S_IRWXU | stat.S_IMODE(os.fstat(handle).st_mode))
        file.writelines((data,) if isinstance(data, bytes) else data)
        file.flush()
        if durable:
            os.fsync(handle)
        return os.fstat(handle)


def _create(path: Path, mode: int) -> int:
    """Create and open a file.

    An existing file is removed: a killed process has left it, or another user has set it as a trap.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with contextlib.suppress(FileExistsError):
        return os.open(path, flags, mode)
    path.unlink()
    return os.open(path, flags, mode)


def sync(folder: Path) -> None:
    """Write the names in a directory to disk, if its file system supports this and the directory is readable."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        with naming(folder):
            os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def is_empty(path: Path) -> bool:
    """Return whether a file is missing or empty."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
