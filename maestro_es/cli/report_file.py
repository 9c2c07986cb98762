"""Writes the files of `report` and `graph`, and keeps a command from overwriting its own input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from maestro_es.errors import RequestRefused
from maestro_es.files import replace_file


def output_option(help_text: str, *, required: bool = False) -> Callable[[Any], Any]:
    """Add ``--output``, which sets the argument `output`."""
    file = click.Path(path_type=Path, dir_okay=False)
    return click.option("-o", "--output", type=file, required=required, help=help_text)


def check_output(output: Path, source: Path, what: str = "the log itself") -> None:
    """Refuse to write the file that a command reads, or to replace a device or a pipe. `what` describes `source`."""
    if os.path.realpath(output) == os.path.realpath(source):
        raise RequestRefused(f"{output}: is {what}; choose another file with -o")
    in_dev = output.absolute().parent in (Path("/dev"), Path("/dev/fd"))
    if in_dev or (output.exists() and not output.is_file() and not output.is_dir()):
        raise RequestRefused(f"{output}: is not a regular file; choose another file with -o")


def write_report(blocks: Iterable[bytes], path: Path) -> None:
    """Write a file durably, with the permissions that the umask allows. RequestRefused if this fails."""
    try:
        replace_file(path, blocks, 0o666, durable=True)
    except OSError as error:
        raise RequestRefused(f"{path}: can't be written: {error.strerror}; name another file with -o") from error
