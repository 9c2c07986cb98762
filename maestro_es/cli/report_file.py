"""Writes the files of `report` and `graph`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from maestro_es.errors import RequestRefused
from maestro_es.files import replace_file


def write_report(blocks: Iterable[bytes], path: Path) -> None:
    """Write a file durably, with the permissions that the umask leaves. RequestRefused if this fails."""
    try:
        replace_file(path, blocks, 0o666, durable=True)
    except OSError as error:
        raise RequestRefused(f"{path}: can't be written: {error.strerror}; name another file with -o") from error
