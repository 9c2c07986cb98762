"""Finds the files with the output of a step, and reads their last lines.

`maestro_es.audit.step_details` finds the files of each attempt. `maestro_es.cli.logs` prints them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from maestro_es.audit.step_details import StepDetails, find_files
from maestro_es.core.file_names import RUNNER, STATE_DIR
from maestro_es.core.model import StepRecord
from maestro_es.study.session import Session

#: The names of the two streams, which are also the suffixes of their files.
STREAMS = {"out": ".out", "err": ".err"}

_BLOCK = 64 * 1024

#: How much of a file is read in search of its last lines. Progress bars write very long lines.
_MOST = 512 * 1024

#: The longest line of a failure, in characters.
_LONGEST = 1000

#: The codes with which programs set colours (CSI) and titles (OSC), from ECMA-48.
_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")

#: The end of the runner's path, in the command of a job.
_RUNNER = f"/{STATE_DIR}/{RUNNER} "


class OutputFile(NamedTuple):
    """A file with one stream ("out" or "err") of an attempt. `attempt` is None if it is unknown."""

    path: Path
    stream: str
    attempt: int | None


def output_files(details: StepDetails, streams: Collection[str], attempt: int | None = None) -> list[OutputFile]:
    """Return the output files of an attempt, standard output first. The default is the last attempt with output.

    If none of the files belongs to a known attempt, return all of them. They were written by Maestro, or by a
    scheduler that names files in another way.
    """
    written = [one for one in details.attempts if one.outputs]
    chosen = written[-1:] if attempt is None else [one for one in written if one.number == attempt]
    paths: list[tuple[str, int | None]] = [(path, one.number) for one in chosen for path in one.outputs]
    if not written and attempt is None and details.files:
        paths = [(path, None) for path in (*details.files.outputs, *details.files.errors)]
    return [
        OutputFile(Path(path), stream, number)
        for stream, end in STREAMS.items()
        if stream in streams
        for path, number in paths
        if path.endswith(end)
    ]


def last_lines(file: BinaryIO, count: int, most: int | None = None) -> bytes:
    """Return the last lines of a file, at most `count`. Only the end of the file is read, at most `most` bytes."""
    position = end = file.seek(0, os.SEEK_END)
    text = b""
    while position and text.count(b"\n") <= count and (most is None or end - position < most):
        step = min(max(_BLOCK, len(text)), position)
        position -= step
        file.seek(position)
        text = file.read(step) + text
    return b"".join(text.splitlines(keepends=True)[-count:]) if count else b""


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file, block by block."""
    while block := file.read(_BLOCK):
        yield block


def end_of_errors(details: StepDetails, count: int) -> list[str]:
    """Return the last non-empty lines that the last attempt wrote to standard error.

    The list is empty if there is no such file, or if it can't be read.
    """
    return [line for output in output_files(details, ["err"])[-1:] for line in _end(output.path, count)]


def last_error(study: Session, step: StepRecord) -> str:
    """Return the last non-empty line of a step's standard error, or an empty string if there is none."""
    return "".join(line for path in find_files(study, step).errors[-1:] for line in _end(Path(path), 1))


def _end(path: Path, count: int) -> list[str]:
    """Return the last lines of a file, without empty ones. The list is empty if it can't be read.

    They are as a terminal shows them. Lines about the runner are left out, because some schedulers write into this
    file how the runner has ended.
    """
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            text = last_lines(file, 5 * count, _MOST).decode(errors="replace")
    except OSError:
        return []
    lines = (_as_shown(line) for line in text.split("\n") if _RUNNER not in line)
    return [line for line in lines if line][-count:]


def _as_shown(line: str) -> str:
    """Return a line without codes for colours and titles. Of a progress bar, only the last state remains.

    A very long line is cut.
    """
    shown = _CODES.sub("", line).rstrip().rpartition("\r")[-1]
    return f"{shown[:_LONGEST]}..." if len(shown) > _LONGEST else shown
