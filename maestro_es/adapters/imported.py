"""Jobs that Maestro submitted and that were taken over. They carry no token: their id and their script tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from maestro_es.core.attempt_token import is_imported
from maestro_es.core.model import StepRecord

_NO_LETTERS = re.compile(r"[\W_]+")


def imported(steps: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """Return those of the steps whose job is Maestro's, by the job's id."""
    return {step.job_id: step for step in steps if is_imported(step.token)}


def runs_script_of(step: StepRecord, command: str) -> bool:
    """Whether a job's command, or the line that it was submitted with, names the script that Maestro made for a step.

    It lies in the step's workspace; with ``--usetmp`` in another directory, and is called like the step or, if it was
    run with ``--hashws``, like the workspace.
    """
    if f"/{step.workspace}/" in command:
        return True
    script = _letters(command.rpartition("/")[2])
    names = (step.name, step.workspace.rpartition("/")[2])
    return any(script.startswith(_letters(name)) for name in names)


def _letters(text: str) -> str:
    """Return a text without what Maestro drops from paths, or puts in its place."""
    return _NO_LETTERS.sub("", text)
