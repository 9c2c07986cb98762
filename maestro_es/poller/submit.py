"""Submit steps: for each recorded request, write the script, call the scheduler, and append the outcome.

The process may die between any two of these. A request without an outcome is in doubt, and a later tick reconciles it.

`maestro_es.core.decide` decides which steps are submitted. `maestro_es.poller.submitter` decides how many calls are
made at the same time.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator, Iterable, Iterator, Sequence

from maestro_es.core.events import NewEvent
from maestro_es.core.model import Phase, StepRecord
from maestro_es.core.submission import InDoubt, ScriptFailed, outcome_events
from maestro_es.errors import StudyError, Unreachable
from maestro_es.poller.performers import LIVE, Performer
from maestro_es.poller.submitter import PreparedAttempt, Submitter
from maestro_es.study.scripts import written_digests
from maestro_es.study.session import Session, Submitted
from maestro_es.study.workspace import ScriptOf

#: How many outcomes are appended together. After a crash, these submissions and those under way are in doubt.
_GROUP = 16

#: Errors that stay until a user changes the study. Any other error of a file system may be gone at the next tick, for
#: example if it is full or hangs, or if a ticket has expired. Then the step does not fail.
_LASTING = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR)


def submit(study: Session, steps: Sequence[int], performer: Performer = LIVE) -> None:
    """Submit these steps, and append the outcomes in small groups while further submissions are under way."""
    with contextlib.closing(_submit(study, steps, performer)) as outcomes:
        for submitted in outcomes:
            study.pending.append(submitted)
            if len(study.pending) >= _GROUP:
                record_outcomes(study)
    record_outcomes(study)


def submit_and_defer(study: Session, steps: Sequence[int], performer: Performer = LIVE) -> None:
    """Submit these steps and leave the outcomes `pending`, for the next pass of this process to append with its own.

    If the process dies before that, the attempts are in doubt, and a later tick finds them by their claims.
    """
    study.pending.extend(_submit(study, steps, performer))


def record_outcomes(study: Session) -> None:
    """Append the pending outcomes; if another process has appended meanwhile, read the new state and try again."""
    if study.pending:
        study.request(lambda _graph: take_outcomes(study))
        study.pending.clear()


def take_outcomes(study: Session) -> list[NewEvent]:
    """Return the events for the pending outcomes, given the present state."""
    return [
        (sub.step, event)
        for sub in study.pending
        for event in outcome_events(study.graph, sub.step, sub.token, sub.outcome, sub.at, sub.script)
    ]


def _submit(study: Session, steps: Sequence[int], performer: Performer) -> Generator[Submitted]:
    """Write the scripts of these steps and call the schedulers; yields the outcome of each as soon as it is known."""
    requested = [study.graph.step(number) for number in steps]
    for adapter in {id(adapter): adapter for adapter in (study.adapters.local, study.adapters.scheduler)}.values():
        mine = [(step.number, step.token) for step in requested if study.adapters.of(step) is adapter]
        last_error = study.last_error if adapter is study.adapters.scheduler else None
        problem = study.environment.problem if mine else ""
        submitter = Submitter(adapter, performer, Unreachable(problem) if problem else last_error)
        with contextlib.closing(submitter.submit(_attempts(study, performer, mine))) as outcomes:
            for attempt, outcome in outcomes:
                study.runtime.on_effect("submit")
                yield Submitted(attempt.step, attempt.token, outcome, attempt.at, attempt.script)
        study.last_error = study.last_error or (None if problem else submitter.last_error)


def _attempts(study: Session, performer: Performer, requested: Iterable[tuple[int, str]]) -> Iterator[PreparedAttempt]:
    """Write the scripts of attempts, except those that another tick has reconciled by now."""
    for number, token in requested:
        step = study.graph.step(number)
        if step.token == token and step.phase is Phase.REQUESTED:
            yield _prepare(study, performer, step)


def _prepare(study: Session, performer: Performer, step: StepRecord) -> PreparedAttempt:
    at = study.runtime.now()
    try:
        where = (study.dir, study.adapters, study.environment)
        of_step = ScriptOf(study.graph, step, *where, lambda: written_digests(study.log.events_of(step.number)))
        job, script = performer.write_scripts(of_step)
    except (OSError, ValueError, StudyError) as error:
        passing = isinstance(error, OSError) and error.errno not in _LASTING
        why = f"its script can't be written: {error}"
        return PreparedAttempt(step.number, step.token, at, InDoubt(why) if passing else ScriptFailed(why))
    if step.scheduled and step.attempt > 1:
        performer.keep_outputs(job, study.log.events_of(step.number))
    for kept in script.set_aside:
        study.notices.append(
            f"{study.dir.path(kept.script)} was edited: the edit was kept as {kept.kept_as} and does not run"
        )
    study.runtime.on_effect("script")
    return PreparedAttempt(step.number, step.token, at, job, script)
