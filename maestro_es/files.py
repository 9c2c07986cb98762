"""Files of ours: read, created, replaced in one step, and synced to disk. No other module replaces or syncs a file.

A file system may write a name at once and the content half a minute later. After a power cut in between, the file is
empty. The outputs of steps are not synced, because that may take very long on a busy parallel file system.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

#: What file systems say whose directories can't be synced.
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)


#: No file that is read by `read` is larger, in bytes.
_LARGEST = 100_000_000
#: How much is read of a file that does not tell its size.
_UNKNOWN = 65_536


def read(path: Path) -> bytes:
    """Return the content of a file. A pipe in its place, which another user may have made, counts as empty."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb", buffering=0) as file:
        return file.read(min(_LARGEST, max(os.fstat(handle).st_size, _UNKNOWN))) or b""  # it allocates so much


def write(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Create or overwrite a file. Its content is then on disk, but perhaps not its name: see `sync`."""
    with open(path, "wb") as file:
        file.writelines((content,) if isinstance(content, bytes) else content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes | Iterable[bytes], mode: int, *, durable: bool) -> os.stat_result:
    """Replace a file in one step: at any moment, a reader finds all of the earlier content or all of the new one.

    Returns what `stat` says of the new file.

    The umask limits `mode` for group and others, but not for the owner. A symbolic link at `path` is replaced, not
    followed. With `durable`, content and name are on disk before this returns. Otherwise a power cut may leave the
    file empty, and the caller must have a way to write it again.

    OSError if this fails; then `path` is as it was before, except after a failed sync.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = _create(temporary, mode)
    try:
        with open(handle, "wb") as file:
            if mode & stat.S_IRWXU & ~os.fstat(handle).st_mode:
                os.fchmod(handle, mode & stat.S_IRWXU | stat.S_IMODE(os.fstat(handle).st_mode))
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            if durable:
                os.fsync(handle)
            written = os.fstat(handle)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync(path.parent)
    return written


def replaced_by(name: str) -> str:
    """Return the name of the file that a temporary file replaces; empty if `name` is not one of `replace_file`."""
    target, _, number = name.rpartition(".")
    return target[1:] if target.startswith(".") and number.isdigit() else ""


def _create(path: Path, mode: int) -> int:
    """Create and open a file. What exists there is a leftover of a killed process, or a trap of another user."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with contextlib.suppress(FileExistsError):
        return os.open(path, flags, mode)
    path.unlink()
    return os.open(path, flags, mode)


def sync(folder: Path) -> None:
    """Write the names in a directory to disk, if its file system can do that and we may list the directory."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def is_empty(path: Path) -> bool:
    """Whether a file is missing or empty."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
