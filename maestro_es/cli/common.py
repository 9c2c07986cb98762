"""What commands share: how they name a study, and how they are told why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from maestro_es.poller.open_study import OpenStudy
from maestro_es.poller.study_dir import find_study

#: The argument of most commands: a study directory.
study_argument = click.argument("study", required=False, type=click.Path(path_type=Path))

#: The option of each command that changes something.
reason_option = click.option("--reason", default="", help="Why; kept in the log.", metavar="TEXT")


def study_path(study: Path | None) -> Path:
    """Return the directory of the study that is meant: the one named, else the one that we are in."""
    return study if study is not None else find_study(Path.cwd())


def open_study(study: Path | None) -> OpenStudy:
    """Open the study that is meant."""
    return OpenStudy(study_path(study))


def example(text: str) -> Callable[[Any], Any]:
    """Add an example to a command's help."""

    def add(command: click.Command) -> click.Command:
        command.epilog = f"Example: {text}"
        return command

    return add
