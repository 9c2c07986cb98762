"""The common base of the adapters whose submit commands take options with a single dash.

The header of a script consists of `directives`, which the submit command also accepts on its command line. The adapter
of a scheduler decides which directives a job has.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from maestro_es.adapters.base import Job, Submitting, noting, stop_if
from maestro_es.adapters.batch import BatchAdapter, BatchJobs
from maestro_es.adapters.script import (
    Directive,
    arguments,
    embedded,
    header,
    names_beaten,
    passed_through,
    refusals,
    shebang,
)
from maestro_es.core.model import is_scheduled
from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.core.submission import Outcome, ScriptFailed


class OneDashJobs(BatchJobs):
    """The jobs of a scheduler whose submit command takes options with a single dash."""

    @abstractmethod
    def submission(self, job: Job, options: Sequence[str]) -> list[str]:
        """Return the command that submits the runner with these options. ValueError if no command can do this."""

    @abstractmethod
    def submit(self, job: Job, argv: Sequence[str]) -> Outcome | Submitting:
        """Begin to submit a job with a command that `submission` returned."""


class OneDashAdapter(BatchAdapter, ABC):
    """Writes scripts, and submits their jobs with the same options."""

    facts: ClassVar[SchedulerFacts]
    #: Options that users can't set, because maestro-es decides what runs, where, how often, and under which name.
    refused: ClassVar[frozenset[str]]
    #: The subset of these options that may appear in a script, because the options of maestro-es override them.
    harmless: ClassVar[frozenset[str]]
    #: The options with the same meaning as a key of a step.
    by_key: ClassVar[Mapping[str, tuple[str, ...]]]
    #: Options whose value is the name of a file.
    of_files: ClassVar[tuple[str, ...]]
    #: Whether option names may have several letters. If so, a value is never joined to its name.
    has_long_names: ClassVar[bool]
    _jobs: OneDashJobs

    def __init__(self, batch: Mapping[str, Any], jobs: OneDashJobs) -> None:
        self._batch = dict(batch)
        super().__init__(jobs)

    @abstractmethod
    def directives(self, job_name: str, run: Mapping[str, Any]) -> list[Directive]:
        """Return the options of a step's job. ValueError names the values that no option can express."""

    def shell(self) -> str:
        """Return the first line of a script."""
        return shebang(self._batch.get("shell"))

    def passed(self, run: Mapping[str, Any]) -> list[Directive]:
        """Return the options that the batch block and the step pass through with `args`."""
        sources, beaten = (self._batch.get("args"), run.get("args")), names_beaten(self.by_key, run)
        return passed_through(sources, self.refused, single_dash=True, beaten=beaten)

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:  # noqa: ARG002 - protocol
        """Return the header. ValueError names all problems, also in the options of the step's `cmd` and `restart`."""
        options: list[Directive] = []
        wrong: list[str] = []
        if is_scheduled(run):
            with noting(wrong):
                options = self.directives(job_name, run)
            for key in ("cmd", "restart"):
                with noting(wrong):
                    self._embedded(str(run.get(key) or ""))
        stop_if(wrong)
        return header([self.shell()], self.facts.directive, options)

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def submission(self, job: Job) -> list[str]:
        """Return the command for the runner, with the options in the step's script."""
        options = [] if job.edited else arguments(self.directives(job.name, job.run))
        return self._jobs.submission(job, self._anchored(options + self._embedded(job.edited or job.command), job))

    def submit(self, job: Job) -> Outcome | Submitting:
        try:
            argv = self.submission(job)
        except ValueError as error:
            return ScriptFailed(str(error))
        return self._jobs.submit(job, argv)

    def _embedded(self, command: str) -> list[str]:
        refused = self.refused - self.harmless
        return embedded(
            command, self.facts.directive, lambda options: refusals(options, refused, single_dash=self.has_long_names)
        )

    def _anchored(self, options: Sequence[str], job: Job) -> list[str]:
        """Return the options, with the paths of files made absolute.

        The command would resolve relative ones against the directory in which it is called.
        """
        before = ["", *options]
        return [
            os.path.join(job.workspace, word) if previous in self.of_files else word
            for previous, word in zip(before, options, strict=False)
        ]
