"""Writes the scripts in workspaces. It never overwrites a script that a user has edited without keeping a copy.

A script may differ from the expected text for two reasons. If maestro-es wrote it, before the study was moved or with
another version, then its digest is in the log. Otherwise a user has edited it. Before an edited script is overwritten,
it is copied to ``NAME.edited``.

`maestro_es.study.workspace` decides which scripts a step has, and which of them a job starts.
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

#: The mode of scripts, as in Maestro: only the owner may execute them. The umask limits the rest.
_SCRIPT_MODE = 0o764


def digest_of(content: bytes) -> str:
    """Return the digest of a script, in the form of the log."""
    return sha256()(content).hexdigest()


def written_digests(events: Iterable[e.Recorded]) -> set[str]:
    """Return the digests of the scripts that maestro-es has written, from the events of their step."""
    submitted = [recorded.event for recorded in events if isinstance(recorded.event, e.JobSubmitted)]
    return {digest for job in submitted if not job.edited for digest in (job.script_digest, job.other_digest)}


def write_new(path: Path, text: str) -> bool:
    """Write an executable script, unless a script exists. Return whether the script has this text now."""
    content = text.encode()
    try:
        _create(path, content)
    except FileExistsError:
        return files.read(path) == content
    return True


def is_edited(path: Path, text: str, ours: Callable[[], Collection[str]]) -> bool:
    """Return whether a user has edited a script: it exists, has another text, and its digest is not in `ours`."""
    try:
        content = files.read(path)
    except FileNotFoundError:
        return False
    return content != text.encode() and digest_of(content) not in ours()


def write_script(path: Path, text: str) -> None:
    """Write an executable script, atomically. If it already has this text, do nothing."""
    if not write_new(path, text):
        with making:  # not durable: a tick compares the script with the log before each submission
            files.replace_file(path, text.encode(), _SCRIPT_MODE, durable=False)


def set_aside(path: Path) -> tuple[Path, str]:
    """Copy a script to another file. Return that file and its digest."""
    content = files.read(path)
    while True:
        kept = _place_of(content, path)
        if os.path.lexists(kept):
            return kept, digest_of(content)
        with contextlib.suppress(FileExistsError):
            _create(kept, content)


def place_aside(path: Path) -> Path:
    """Return the file for a copy of a script. It is new, or it already has the same content."""
    return _place_of(files.read(path), path)


def _place_of(content: bytes, path: Path) -> Path:
    return next(kept for kept in _places(path) if not os.path.lexists(kept) or files.read(kept) == content)


def _places(path: Path) -> Iterator[Path]:
    yield path.with_name(f"{path.name}.edited")
    number = 2
    while True:
        yield path.with_name(f"{path.name}.edited.{number}")
        number += 1


def make_executable(path: Path) -> None:
    """Allow the owner to execute a script, because an editor may have written it as a new file."""
    mode = path.stat().st_mode
    if not mode & 0o100:
        path.chmod(mode | 0o100)


def _create(path: Path, content: bytes) -> None:
    """Create a file that can be executed immediately, because no process has it open for writing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with making, files.naming(path), open(os.open(path, flags, _SCRIPT_MODE), "wb") as file:
        file.write(content)
