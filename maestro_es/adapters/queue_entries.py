"""Finds the jobs of attempts in the list that a scheduler returns.

The token in the command of a job identifies it. The id of the job does not, because a scheduler may assign an id
again. A job that Maestro submitted and maestro-es adopted has no token. Its id and its script identify it.

`maestro_es.adapters.batch` gets the list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence

from maestro_es.adapters.base import JobInfo, QueueEntry
from maestro_es.core.attempt_token import element_of, is_imported, study_of
from maestro_es.core.model import JobState, State, StepRecord

LIVE = (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)

#: The order of preference among several jobs with one token: running, pending, in an unknown state, and ended. Only
#: one of them runs the step. The claim refuses the others, which then count as failed. A CANCELLED job has not run.
_BELIEVED = (JobState.RUNNING, JobState.PENDING, JobState.UNKNOWN, None, JobState.FAILED, JobState.CANCELLED)

#: The characters that Maestro removes from paths, and the characters that it puts in their place.
_NO_LETTERS = re.compile(r"[\W_]+")


class AttemptsByJob:
    """Finds the attempts that a job belongs to, by the names in its command and its index in a job array."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._alone: set[str] = set()
        self._elements: dict[str, dict[int, str]] = {}
        self._studies: set[str] = set()
        for token in tokens:
            self._studies.add(study_of(token))
            element = element_of(token)
            if element:
                self._elements.setdefault(element[0], {})[element[1]] = token
            else:
                self._alone.add(token)

    def may_be_in(self, command: str) -> bool:
        """Whether a command may name one of these attempts.

        This check is quick. Most jobs of a user may belong to other studies.
        """
        return any(study in command for study in self._studies)

    def of(self, names: set[str], indexes: Iterable[int | None] = ()) -> list[str]:
        """Return the attempts of a job. The job may stand for several elements of an array, with these indexes."""
        tokens = [*self._alone.intersection(names)]
        for array in self._elements.keys() & names:
            by_index = self._elements[array]
            tokens += [by_index[index] for index in indexes if index is not None and index in by_index]
        return tokens

    def in_array(self, names: set[str]) -> list[str]:
        """Return all attempts of the arrays with these names."""
        return [token for array in self._elements.keys() & names for token in self._elements[array].values()]


def by_token(listed: Sequence[QueueEntry], steps: Sequence[StepRecord]) -> dict[str, list[QueueEntry]]:
    """Return the jobs of these attempts by token.

    If the last pending jobs of an array are cancelled, a scheduler may replace them by one cancelled job without an
    index. This job stands for all attempts of the array that are not listed and have not started.
    """
    attempts, maestros = AttemptsByJob(step.token for step in steps), imported(steps)
    jobs: dict[str, list[QueueEntry]] = {}
    ours = [row for row in listed if attempts.may_be_in(row.command)]
    for row in ours:
        for token in attempts.of(names_in(row.command), (row.index,)):
            jobs.setdefault(token, []).append(row)
    for row in listed if maestros else ():
        step = maestros.get(row.job_id)
        if step and runs_script_of(step, row.command):
            jobs.setdefault(step.token, []).append(row)
    cancelled = [row for row in ours if row.state is JobState.CANCELLED and row.index is None]
    started = {step.token for step in steps if step.state is State.RUNNING} if cancelled else set()
    for row in cancelled:
        for token in attempts.in_array(names_in(row.command)):
            if token not in started:
                jobs.setdefault(token, [row])
    return jobs


def of_runners(listed: Iterable[QueueEntry], runners: Collection[str]) -> dict[str, list[QueueEntry]]:
    """Return the jobs of these runners by token. The token is the runner's first argument, or the name of its link.

    For a job array, it is the name of the array.
    """
    jobs: dict[str, list[QueueEntry]] = {}
    folders = {(os.path.dirname(runner), os.path.basename(runner)) for runner in runners}
    for row in listed:
        for folder, name in folders:
            _, runs_it, rest = row.command.partition(f"{folder}/{name} ")
            if not runs_it:
                _, runs_it, rest = row.command.partition(f"{folder}/")
            if runs_it:
                jobs.setdefault(rest.split(" ", 1)[0], []).append(row)
    return jobs


def names_in(command: str) -> set[str]:
    """Return the words of a command that may be tokens. Of a path, only the last part may be a token."""
    return {word.rpartition("/")[2] for word in command.split()}


def believed(rows: Sequence[QueueEntry], job_id: str) -> JobInfo:
    """Return the relevant job of a token. A submission that was sent twice creates two jobs with one token."""
    if not rows:
        return JobInfo(JobState.GONE, "not in the queue")
    row = min(rows, key=lambda row: (preference(row.state), row.job_id != job_id))
    return JobInfo(
        row.state, row.raw_state, row.exit_code, row.job_id,
        delay=row.delay, began_at=row.began_at, ended_at=row.ended_at, usage=row.usage,
    )  # fmt: skip


def preference(state: JobState) -> int:
    """Return the place of a state in `_BELIEVED`. A smaller number is preferred."""
    return _BELIEVED.index(state if state in _BELIEVED else None)


def imported(steps: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """Return the steps whose jobs Maestro submitted, by job id."""
    return {step.job_id: step for step in steps if is_imported(step.token)}


def runs_script_of(step: StepRecord, command: str) -> bool:
    """Return whether a job's command or submit line names the script that Maestro wrote for a step.

    The script is in the step's workspace, or with ``--usetmp`` in another directory. Its name begins with the name of
    the step or, with ``--hashws``, with the name of the workspace.
    """
    if f"/{step.workspace}/" in command:
        return True
    script = _letters(command.rpartition("/")[2])
    names = (step.name, step.workspace.rpartition("/")[2])
    return any(script.startswith(_letters(name)) for name in names)


def _letters(text: str) -> str:
    """Return a string without the characters that Maestro removes from paths or uses as replacements."""
    return _NO_LETTERS.sub("", text)
