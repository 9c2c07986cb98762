"""Writes the events of a study as the data of the report page: columns in JSON, compressed and base64-encoded.

Times are stored as differences. `requested` is relative to `requested` of the previous attempt. Each other time is
relative to the latest known earlier time of the same attempt (0: unknown). The name of a step is left out if it
consists of the template and the labels. So 100,000 attempts take about 0.8 MB. Everything is written in parts, which
needs little memory.
"""

from __future__ import annotations

import base64
import itertools
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from maestro_es.audit.chronicle import Chronicle
from maestro_es.audit.columns import NOTHING
from maestro_es.report.table import clean

#: How many numbers are written at a time.
_BLOCK = 50_000

#: zlib's number for a stream with the header of gzip, which browsers read. The header contains no time.
_GZIP = 31

_encode = msgspec.json.encode


def page_data(story: Chronicle, others: Mapping[str, Any]) -> Iterator[str]:
    """Yield the data of a page in parts. `others` holds additional values for the scripts of the page."""
    return _base64(_compressed(_object({**others, **_fields(story)})))


def _fields(story: Chronicle) -> dict[str, Any]:
    attempts = story.attempts
    return {
        "templates": [clean(name) for name in story.templates],
        "names": _names(story),
        "step": {"template": story.steps["template"], "added": _differences(story.steps["added"])},
        "params": [
            {
                "key": clean(key),
                "values": [[clean(value), clean(label)] for value, label in story.values[key]],
                "of": column,
            }
            for key, column in story.params.items()
        ],
        "edge": {name: _differences(column) for name, column in story.edges.items()},
        "funnels": list(story.funnels),
        "attempt": {
            "step": _differences(attempts["step"]),
            "requested": _differences(attempts["requested"]),
            "submitted": _since(attempts["submitted"], attempts["requested"]),
            "started": _since(attempts["started"], attempts["submitted"], attempts["requested"]),
            "ended": _since(attempts["ended"], attempts["started"], attempts["submitted"], attempts["requested"]),
            "job": _jobs(story.jobs),
            **{name: attempts[name] for name in ("number", "submission", "waits", "end", "host")},
        },
        "hosts": [clean(host) for host in story.hosts],
        "ends": [[name, clean(sentence), kind, code] for name, sentence, kind, code in story.ends],
        "usage": story.usage,
        "note": {
            "time": _differences(story.notes["time"]),
            **{name: story.notes[name] for name in ("step", "type", "by", "sentence", "kind")},
        },
        "types": list(story.types),
        "people": [clean(actor) for actor in story.people],
        "sentences": [clean(sentence) for sentence in story.sentences],
    }


def _names(story: Chronicle) -> dict[str, str]:
    """Return the names that do not consist of the template and the labels of the step."""
    templates = list(story.templates)
    labels = [[label for _, label in story.values[key]] for key in story.params]
    columns = list(story.params.values())
    names = {}
    for step, name in enumerate(story.names):
        own = [texts[column[step]] for texts, column in zip(labels, columns, strict=True) if column[step] != NOTHING]
        template = templates[story.steps["template"][step]]
        if name != (f"{template}_{'.'.join(own)}" if own else template):
            names[str(step)] = clean(name)
    return names


def _differences(column: Iterable[int]) -> Iterator[int]:
    """Yield the difference between each number and the previous number."""
    before = 0
    for value in column:
        yield value - before
        before = value


def _since(column: Sequence[int], *earlier: Sequence[int]) -> Iterator[int]:
    """Yield the difference between each time and the first known time in `earlier` (0: the time is unknown)."""
    for at, value in enumerate(column):
        known = next((times[at] for times in earlier if times[at] != NOTHING), 0)
        yield 0 if value == NOTHING else value - known


def _jobs(jobs: Iterable[str]) -> Iterator[int | str]:
    """Yield the ids of jobs. A numeric id is written as its difference from the last numeric id."""
    before = 0
    for job in jobs:
        if job.isascii() and job.isdigit() and job == str(int(job[:15])):
            yield int(job) - before
            before = int(job)
        else:
            yield clean(job)


def _object(fields: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the parts of a JSON object.

    A value may be an object, a column, or an iterator over the numbers of a column.
    """
    separator = b"{"
    for key, value in fields.items():
        yield separator + _encode(key) + b":"
        yield from _value(value)
        separator = b","
    yield b"}" if fields else b"{}"


def _value(value: Any) -> Iterator[bytes]:  # noqa: ANN401 - any value
    if isinstance(value, dict):
        yield from _object(value)
    elif isinstance(value, (array, Iterator)):
        yield b"["
        separator = b""
        for block in _blocks(iter(value)):
            yield separator + _encode(block)[1:-1]
            separator = b","
        yield b"]"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for at, item in enumerate(value):
            yield b"," if at else b"["
            yield from _value(item)
        yield b"]"
    else:
        yield _encode(value)


def _blocks(values: Iterator[Any]) -> Iterator[list[Any]]:
    while block := list(itertools.islice(values, _BLOCK)):
        yield block


def _compressed(parts: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    for part in parts:
        yield compressor.compress(part)
    yield compressor.flush()


def _base64(parts: Iterable[bytes]) -> Iterator[str]:
    """Yield the parts in base64. Bytes that do not fill a group of three are kept for the next part."""
    rest = b""
    for part in parts:
        rest += part
        whole = len(rest) - len(rest) % 3
        if whole:
            yield base64.b64encode(rest[:whole]).decode()
            rest = rest[whole:]
    yield base64.b64encode(rest).decode()
