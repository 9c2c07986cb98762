"""Small files that are completely on disk before we continue: those that make up a study.

A file system may write a name at once and the content half a minute later. After a power cut in between, the file is
empty. The outputs of steps are not synced, because that may take very long on a busy parallel file system.
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
    """Return the content of a file. A pipe in its place, which another user may have made, counts as empty."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb", buffering=0) as file:
        return file.read(_LARGEST) or b""


def write(path: Path, content: bytes) -> None:
    """Create or overwrite a file. Its content is then on disk, but perhaps not its name: see `sync`."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put(path: Path, content: bytes, mode: int) -> None:
    """Replace the content of a file, so that it is whole at any moment, also after a power cut."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    write(scratch, content)
    scratch.chmod(mode)
    scratch.replace(path)
    sync(path.parent)


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
