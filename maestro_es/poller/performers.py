"""The effects of a tick. `Live` performs them, and `Preview` only notes them.

The same code runs a tick and a preview. The performers have no method for appending events, because events go to the
log of the study. In a preview, that log is a copy in memory (`store.log_copy.PreviewLog`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from maestro_es.adapters.base import Adapter, Array, Job, SubmitsArrays, SubmitsTogether, Submitting, SubmittingArray
from maestro_es.adapters.registry import jobs_of
from maestro_es.core.attempt_token import element_of
from maestro_es.core.events import Recorded
from maestro_es.core.model import StepRecord
from maestro_es.core.observations import Claim, ClaimState, Report
from maestro_es.core.submission import Outcome, Previewed, ScriptFailed, SubmittedScript
from maestro_es.errors import StudyError
from maestro_es.study import claims, last_tick
from maestro_es.study.maintenance import make_state_dir, repair_copies
from maestro_es.study.reports import remove_reports
from maestro_es.study.session import Session

if TYPE_CHECKING:
    from maestro_es.study.workspace import ScriptOf


class Performer(Protocol):
    """The effects of a tick, one method for each.

    `ended` contains the tokens of attempts whose processes count as ended in this tick, without another check.
    """

    ended: Collection[str]

    @property
    def submitted(self) -> Collection[str]:
        """The tokens of attempts that count as submitted although there is no outcome."""

    def make_state_dir(self, study: Session) -> None:
        """Create the missing parts of ``.maestro-es``."""

    def repair_copies(self, study: Session) -> None:
        """Restore the copies of the study's file that a power cut has emptied."""

    def fence(self, workspace: Path, token: str) -> Claim:
        """Take the claim of an attempt, so that it can never start. Returns the claim that exists then."""

    def remove_request(self, path: Path, info: os.stat_result) -> None:
        """Remove a request file of Maestro's client, unless it was written again."""

    def refuse_request(self, path: Path, info: os.stat_result, why: str) -> str:
        """Remove a request file, because the study refuses the request. Returns the message for users."""

    def set_request_aside(self, path: Path, why: str) -> str:
        """Rename a request file, because it can't be read. Returns the message for users."""

    def remove_reports(self, inbox: Path, reports: Iterable[Report]) -> None:
        """Remove reports whose events are committed."""

    def remove_runner(self, path: Path) -> None:
        """Remove the link to the runner by which one attempt was submitted."""

    def cancel(self, adapter: Adapter, steps: Sequence[StepRecord]) -> None:
        """Cancel jobs. The errors are those of `Adapter.cancel`."""

    def write_scripts(self, script: ScriptOf) -> tuple[Job, SubmittedScript]:
        """Create the workspace and the scripts of a step. OSError, ValueError or StudyError if this fails."""

    def keep_outputs(self, job: Job, events: Iterable[Recorded]) -> None:
        """Rename the output files of the previous attempt."""

    def submit(self, adapter: Adapter, job: Job, step: int) -> Outcome | Submitting:
        """Submit an attempt of a step, or begin to submit it."""

    def submit_array(
        self, adapter: SubmitsArrays, array: Array, steps: Sequence[int]
    ) -> dict[int, Outcome] | SubmittingArray:
        """Submit the attempts of these steps as one job array, or begin to submit it."""

    def submit_together(
        self, adapter: Adapter, jobs: Mapping[int, Job], steps: Sequence[int]
    ) -> dict[int, Outcome] | SubmittingArray:
        """Submit attempts of these steps with one command, or begin to submit them."""

    def forget_arrays(self, study: Session) -> None:
        """Remove the remaining files in ``.maestro-es`` of all job arrays that have no attempt in flight."""

    def remove_scripts(self, study_id: str) -> None:
        """Remove the scripts in the temporary directory."""

    def write_status(self, study: Session) -> None:
        """Write ``status.csv``."""

    def note(self, study: Session, note: last_tick.Note) -> None:
        """Store the last event that a tick has seen."""

    def note_tick(self, study: Session) -> None:
        """Store the time of this tick."""

    def notify(self, study: Session) -> None:
        """Request a notification if one is due, and start to send it."""


class Live:
    """Performs each effect."""

    ended: Collection[str] = ()
    submitted: Collection[str] = ()

    def make_state_dir(self, study: Session) -> None:
        make_state_dir(study.dir, jobs_of(str(study.graph.study.adapter.get("type") or "local")))

    def repair_copies(self, study: Session) -> None:
        repair_copies(study.dir, study.graph, study.log)

    def fence(self, workspace: Path, token: str) -> Claim:
        return claims.abandon(workspace, token)

    def remove_request(self, path: Path, info: os.stat_result) -> None:
        with contextlib.suppress(FileNotFoundError):
            now = path.lstat()
            if (now.st_ino, now.st_mtime_ns, now.st_size) == (info.st_ino, info.st_mtime_ns, info.st_size):
                path.unlink()

    def refuse_request(self, path: Path, info: os.stat_result, why: str) -> str:
        self.remove_request(path, info)
        return f"{path}: refused: {why}"

    def set_request_aside(self, path: Path, why: str) -> str:
        os.rename(path, f"{path}.bad")
        return f"{path}: {why}; it was moved to {path.name}.bad"

    def remove_reports(self, inbox: Path, reports: Iterable[Report]) -> None:
        remove_reports(inbox, reports)

    def remove_runner(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            os.unlink(path)

    def cancel(self, adapter: Adapter, steps: Sequence[StepRecord]) -> None:
        adapter.cancel(steps)

    def write_scripts(self, script: ScriptOf) -> tuple[Job, SubmittedScript]:
        from maestro_es.study.workspace import write_scripts  # noqa: PLC0415 - most ticks submit nothing

        return write_scripts(script)

    def keep_outputs(self, job: Job, events: Iterable[Recorded]) -> None:
        from maestro_es.study.workspace import keep_outputs  # noqa: PLC0415 - most ticks submit nothing

        keep_outputs(job.workspace, job.name, events)

    def submit(self, adapter: Adapter, job: Job, step: int) -> Outcome | Submitting:  # noqa: ARG002 - protocol
        return adapter.submit(job)

    def submit_array(
        self,
        adapter: SubmitsArrays,
        array: Array,
        steps: Sequence[int],  # noqa: ARG002 - protocol
    ) -> dict[int, Outcome] | SubmittingArray:
        return adapter.submit_array(array)

    def submit_together(
        self,
        adapter: Adapter,
        jobs: Mapping[int, Job],
        steps: Sequence[int],  # noqa: ARG002 - protocol
    ) -> dict[int, Outcome] | SubmittingArray:
        if not isinstance(adapter, SubmitsTogether):
            raise TypeError(f"{adapter.name} submits one job with each command")
        return adapter.submit_together(jobs)

    def forget_arrays(self, study: Session) -> None:
        from maestro_es.adapters.array_map import forget_arrays  # noqa: PLC0415 - few ticks need it

        def in_flight() -> set[str]:
            study.log.refresh()
            elements = (element_of(step.token) for step in study.graph.in_flight())
            return {element[0] for element in elements if element}

        forget_arrays(study.dir.state, in_flight)

    def remove_scripts(self, study_id: str) -> None:
        from maestro_es.study.workspace import remove_temporary_folder  # noqa: PLC0415 - most ticks submit nothing

        remove_temporary_folder(study_id)

    def write_status(self, study: Session) -> None:
        from maestro_es.study.status_file import write_status  # noqa: PLC0415 - most ticks change nothing

        write_status(study.dir, study.log, study.runtime.now(), study.runtime.host)

    def note(self, study: Session, note: last_tick.Note) -> None:
        last_tick.note(study.dir, note)

    def note_tick(self, study: Session) -> None:
        study.dir.note_tick(study.runtime.now())

    def notify(self, study: Session) -> None:
        from maestro_es.poller.notify import notify  # noqa: PLC0415 - most studies send none

        notify(study)


#: The performer of every tick that is not a preview.
LIVE = Live()


def show_status(study: Session, performer: Performer = LIVE) -> None:
    """Write ``status.csv``."""
    performer.write_status(study)
    study.runtime.on_effect("status")


class PreviewedCommand(NamedTuple):
    """A command that a tick would run, as a list of arguments; `step` is the step that it submits, if any.

    If the command submits a job array, `step` is the first step of the array, and `steps` holds all of its steps.
    """

    argv: list[str]
    step: int | None = None
    steps: tuple[int, ...] = ()


class Preview:
    """Notes the claims and commands of a tick, and changes nothing.

    It queries schedulers as a tick does. It makes no other calls, so the answers to such calls are unknown.
    """

    def __init__(self) -> None:
        self.claims: list[Path] = []
        self.commands: list[PreviewedCommand] = []
        self.ended: Collection[str] = frozenset()
        self.submitted: set[str] = set()

    def make_state_dir(self, study: Session) -> None:
        pass

    def repair_copies(self, study: Session) -> None:
        pass

    def fence(self, workspace: Path, token: str) -> Claim:
        claim = claims.read_claim(workspace, token)
        if claim.state is not ClaimState.NONE:
            return claim
        self.claims.append(claims.claim_path(workspace, token))
        return Claim(ClaimState.ABANDONED)

    def remove_request(self, path: Path, info: os.stat_result) -> None:
        pass

    def refuse_request(self, path: Path, info: os.stat_result, why: str) -> str:  # noqa: ARG002 - protocol
        return f"{path}: would be refused: {why}"

    def set_request_aside(self, path: Path, why: str) -> str:
        return f"{path}: {why}; it would be moved to {path.name}.bad"

    def remove_reports(self, inbox: Path, reports: Iterable[Report]) -> None:
        pass

    def remove_runner(self, path: Path) -> None:
        pass

    def cancel(self, adapter: Adapter, steps: Sequence[StepRecord]) -> None:
        self.commands.extend(map(PreviewedCommand, adapter.cancel_commands(steps)))
        self.ended = {*self.ended, *(step.token for step in steps)}

    def write_scripts(self, script: ScriptOf) -> tuple[Job, SubmittedScript]:
        from maestro_es.study.workspace import preview_scripts  # noqa: PLC0415 - most ticks submit nothing

        return preview_scripts(script)

    def keep_outputs(self, job: Job, events: Iterable[Recorded]) -> None:
        pass

    def submit(self, adapter: Adapter, job: Job, step: int) -> Outcome | Submitting:
        try:
            command = adapter.submission(job)
        except (ValueError, StudyError) as error:
            return ScriptFailed(str(error))
        self.commands.append(PreviewedCommand(command, step))
        self.submitted.add(job.token)
        return Previewed()

    def submit_array(
        self, adapter: SubmitsArrays, array: Array, steps: Sequence[int]
    ) -> dict[int, Outcome] | SubmittingArray:
        try:
            command = adapter.array_submission(array)
        except (ValueError, StudyError) as error:
            return dict.fromkeys(array.jobs, ScriptFailed(str(error)))
        self.commands.append(PreviewedCommand(command, steps[0], tuple(steps)))
        self.submitted.update(job.token for job in array.jobs.values())
        return dict.fromkeys(array.jobs, Previewed())

    def submit_together(
        self, adapter: Adapter, jobs: Mapping[int, Job], steps: Sequence[int]
    ) -> dict[int, Outcome] | SubmittingArray:
        """For each job, note a command that a user can call."""
        outcomes: dict[int, Outcome] = {}
        for (index, job), step in zip(jobs.items(), steps, strict=True):
            begun = self.submit(adapter, job, step)
            outcomes[index] = begun.outcome() if isinstance(begun, Submitting) else begun
        return outcomes

    def forget_arrays(self, study: Session) -> None:
        pass

    def remove_scripts(self, study_id: str) -> None:
        pass

    def write_status(self, study: Session) -> None:
        pass

    def note(self, study: Session, note: last_tick.Note) -> None:
        pass

    def note_tick(self, study: Session) -> None:
        pass

    def notify(self, study: Session) -> None:
        pass
