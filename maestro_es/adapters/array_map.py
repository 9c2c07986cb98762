"""The map of a job array: a file in the study directory that says which attempt each of its elements runs.

All jobs of an array have the same arguments, so the runner of an element finds its token, workspace and script in this
file, by its index. Each line is ``INDEX TOKEN WORKSPACE SCRIPT NAME end``, separated by tabs; NAME is the name of the
job and of its output files. Only this module and ``runner.sh`` know the format. The number of a line, from 0, is the
index. The first and the last word of a line show that this is the right line and that it is complete. A runner that
finds no such line starts nothing.

The map is written before the scheduler is called, and removed when no attempt of the array is in flight. It can't be
wrong, only missing, because no two arrays have the same name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from maestro_es.adapters.base import Array, QueueEntry
from maestro_es.core import file_names
from maestro_es.core.attempt_token import is_array
from maestro_es.files import read, replace_file, replaced_by

_END = "end"
_FIELDS = 6
_MODE, _FOLDER_MODE = 0o644, 0o755

#: The suffix of the file that receives the scheduler's own messages about the jobs of an array.
_SAID = ".err"


def can_hold(text: str) -> bool:
    """Whether a line can contain this text."""
    return bool(text) and "\t" not in text and "\n" not in text


def map_path(state: Path, array: str) -> Path:
    """Return the path of the map of an array. `state` is the directory ``.maestro-es`` of the study."""
    return state / file_names.ARRAYS / array


def said_path(state: Path, array: str) -> Path:
    """Return the path of the file that receives the scheduler's own messages about the jobs of an array."""
    return state / file_names.ARRAYS / f"{array}{_SAID}"


def write_map(array: Array) -> None:
    """Write the map of an array, durably. OSError if that fails."""
    path = map_path(array.state, array.name)
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(_FOLDER_MODE)
    lines = [b""] * (max(array.jobs) + 1)
    for index, job in array.jobs.items():
        fields = (str(index), job.token, str(job.workspace), job.script, job.name, _END)
        lines[index] = "\t".join(fields).encode(errors="surrogateescape")
    replace_file(path, b"\n".join(lines) + b"\n", _MODE, durable=True)


def read_map(path: Path) -> dict[int, str]:
    """Return the tokens of an array by index; empty if its map is gone."""
    tokens: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for number, line in enumerate(read(path).decode(errors="surrogateescape").split("\n")):
            fields = line.split("\t")
            if len(fields) == _FIELDS and fields[0] == str(number) and fields[-1] == _END:
                tokens[number] = fields[1]
    return tokens


def with_elements(jobs: Mapping[str, list[QueueEntry]], runners: Iterable[str]) -> dict[str, list[QueueEntry]]:
    """Return the jobs of these runners by token. The given jobs are keyed by token or by the name of an array.

    A job of an array whose map is gone is left out.
    """
    by_token = {token: rows for token, rows in jobs.items() if not is_array(token)}
    states = {Path(runner).parent for runner in runners}
    for array in jobs.keys() - by_token.keys():
        tokens = {index: token for state in states for index, token in read_map(map_path(state, array)).items()}
        for row in jobs[array]:
            if row.index in tokens:
                by_token.setdefault(tokens[row.index], []).append(row)
    return by_token


def forget_arrays(state: Path, read_needed: Callable[[], Collection[str]]) -> None:
    """Remove the maps of arrays that are not needed, and the links to the runner that a killed tick left for them.

    Files with a scheduler's messages are kept unless they are empty.

    `read_needed` reads the log after the maps are listed. So if another tick writes a map meanwhile, either the map is
    not listed, or the log has the requests for its array.
    """
    files: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError), os.scandir(state / file_names.ARRAYS) as entries:
        files.extend(entries)
    needed = read_needed() if files else ()
    for entry in files:
        name = (replaced_by(entry.name) or entry.name).removesuffix(_SAID)
        with contextlib.suppress(OSError):
            if name not in needed and not (entry.name.endswith(_SAID) and entry.stat().st_size):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(state / name)
                os.unlink(entry.path)


def ranges(indexes: Iterable[int]) -> str:
    """Return indexes in the notation of schedulers, such as ``0-3,7``."""
    spans: list[list[int]] = []
    for index in sorted(set(indexes)):
        if spans and spans[-1][1] == index - 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
