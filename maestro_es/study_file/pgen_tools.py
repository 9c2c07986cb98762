"""The functions of ``maestrowf.utils`` that generators of parameters use: tables, paths, file names, times."""

from __future__ import annotations

import datetime as dt
import itertools
import string
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

_SAFE = frozenset(f"-_.() {string.ascii_letters}{string.digits}")


def csvtable_to_dict(fstream: TextIO) -> dict[str, list[str]]:
    """Return the columns of a comma-separated table by name. The first line has the names.

    A row may be shorter than this line. Then the other columns get no value from it.
    """
    names, *rows = [line.rstrip("\n").split(",") for line in fstream]
    table: dict[str, list[str]] = {name: [] for name in names}
    for row in rows:
        for column, value in enumerate(row):
            table[names[column]].append(value)
    return table


def make_safe_path(base_path: str, *args: str) -> str:
    """Return a path below `base_path`, without the characters that Maestro removes from names."""
    safe = ("".join(character for character in arg if character in _SAFE).replace(" ", "_") for arg in args)
    return str(Path(base_path, *safe)) if args else base_path


def create_parentdir(path: str) -> None:
    """Create a directory and its parents if they are missing."""
    Path(path).expanduser().mkdir(parents=True, exist_ok=True)


def generate_filename(path: str, append_time: bool = True) -> str:  # noqa: FBT001, FBT002 - as in Maestro
    """Return an unused path that is similar to `path`. Its name contains the time unless `append_time` is false."""
    target = Path(path).expanduser()
    stem = f"{target.stem}_{time.strftime('%Y%m%d-%H%M%S')}" if append_time else target.stem
    names = (f"{stem}{mark}{target.suffix}" for mark in itertools.chain([""], (f"_{n:05}" for n in itertools.count())))
    return str(next(candidate for candidate in map(target.with_name, names) if not candidate.exists()))


def create_dictionary(list_keyvalues: Iterable[str], token: str = ":") -> dict[str, str]:  # noqa: S107 - no password
    """Return strings of the form ``key:value`` as a mapping. ValueError if a string has another form."""
    created = {}
    for item in list_keyvalues:
        key, sign, value = item.partition(token)
        if not sign:
            raise ValueError(f"{item!r} has no {token!r}; write key{token}value")
        created[key.strip()] = value.strip()
    return created


def apply_function(item: Any, func: Callable[[str], Any]) -> Any:  # noqa: ANN401 - of any kind
    """Return an item with a function applied to each text, including those in lists and mappings."""
    if isinstance(item, str) and item:
        return func(item)
    if isinstance(item, list):
        return [apply_function(part, func) for part in item]
    if isinstance(item, dict):
        return {key: apply_function(value, func) for key, value in item.items()}
    return item


def get_duration(time_delta: dt.timedelta) -> str:
    """Return a duration as ``0d:00h:00m:00s``."""
    minutes, seconds = divmod(int(time_delta.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d:{hours:02}h:{minutes:02}m:{seconds:02}s"


def round_datetime_seconds(input_datetime: dt.datetime) -> dt.datetime:
    """Return a time, rounded to the nearest second."""
    return (input_datetime + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
