"""Small files that are whole on disk before we go on: those that a study is made of, and that nobody writes again.

A file system may write a name at once and the content half a minute later. If the power is cut in between, the file is
there and empty. The outputs of steps are not synced: on a busy parallel file system that may take very long.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: What file systems say whose directories can't be synced.
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)


#: No file that is read by `read` is larger, in bytes.
_LARGEST = 100_000_000


def read(path: Path) -> bytes:
    """Return what a file holds. A pipe in its place holds nothing: another hand may have put it there."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb", buffering=0) as file:
        return file.read(_LARGEST) or b""


def write(path: Path, content: bytes) -> None:
    """Write a new file, or over an old one; it is on disk once this returns, but perhaps not its name: see `sync`."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put(path: Path, content: bytes, mode: int) -> None:
    """Let a file have this content, whole at any moment, and after a power cut too."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    write(scratch, content)
    scratch.chmod(mode)
    scratch.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Let the names in a directory be on disk, if its file system can do that, and if we may list it."""
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
    """Whether a file is missing, or there is nothing in it."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
