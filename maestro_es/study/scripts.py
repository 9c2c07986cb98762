"""Scripts in workspaces: written if they are missing, and never over an edit by a person.

If a script differs from what it should be, there are two cases. We wrote it, before the study was moved or with
another version: then its digest is in the log. Or a person has edited it: then the edit is kept beside the script that
we write.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from maestro_es import files
from maestro_es.adapters.command import making
from maestro_es.core import events as e
from maestro_es.sha256 import sha256

#: Scripts are their owner's to execute, as Maestro leaves them; all else is the umask's.
_SCRIPT_MODE = 0o764


def digest_of(content: bytes) -> str:
    """Return the digest of a script, in the form of the log."""
    return sha256()(content).hexdigest()


def written_digests(events: Iterable[e.Recorded]) -> set[str]:
    """Return the digests of the scripts that we have written, from the events of their step."""
    submitted = [recorded.event for recorded in events if isinstance(recorded.event, e.JobSubmitted)]
    return {digest for job in submitted if not job.edited for digest in (job.script_digest, job.other_digest)}


def write_new(path: Path, text: str) -> bool:
    """Write an executable script if there is none; returns whether the present script has this text."""
    content = text.encode()
    try:
        _create(path, content)
    except FileExistsError:
        return files.read(path) == content
    return True


def is_edited(path: Path, text: str, ours: Callable[[], Collection[str]]) -> bool:
    """Whether a script exists that has neither this text nor one of `ours`, the digests of what we have written."""
    try:
        content = files.read(path)
    except FileNotFoundError:
        return False
    return content != text.encode() and digest_of(content) not in ours()


def write_script(path: Path, text: str) -> None:
    """Write an executable script; leave it alone if it is right, otherwise replace it whole."""
    if not write_new(path, text):
        with making:  # not durable: a tick compares the script with the log before each submission
            files.replace_file(path, text.encode(), _SCRIPT_MODE, durable=False)


def set_aside(path: Path) -> tuple[Path, str]:
    """Keep the content of a script as another file; returns that file and its digest."""
    content = files.read(path)
    while True:
        kept = place_aside(path)
        if os.path.lexists(kept):
            return kept, digest_of(content)
        with contextlib.suppress(FileExistsError):
            _create(kept, content)


def place_aside(path: Path) -> Path:
    """Return the file that keeps the content of a script once another one is written; it may keep it already."""
    content = files.read(path)
    return next(kept for kept in _places(path) if not os.path.lexists(kept) or files.read(kept) == content)


def _places(path: Path) -> Iterator[Path]:
    yield path.with_name(f"{path.name}.edited")
    number = 2
    while True:
        yield path.with_name(f"{path.name}.edited.{number}")
        number += 1


def make_executable(path: Path) -> None:
    """Let the owner execute a script, because an editor may have written it as a new file."""
    mode = path.stat().st_mode
    if not mode & 0o100:
        path.chmod(mode | 0o100)


def _create(path: Path, content: bytes) -> None:
    """Create a file that can be executed once this returns: no process that is just starting has it open."""
    with making, open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SCRIPT_MODE), "wb") as file:
        file.write(content)
