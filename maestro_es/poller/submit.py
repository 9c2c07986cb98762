"""Submits steps. For each recorded request, it writes the script, calls the scheduler, and appends the outcome.

The process may die at any moment. A request without an outcome is then in doubt, and a later tick reconciles it.

`maestro_es.core.decide` decides which steps are submitted. `maestro_es.poller.submitter` decides how many calls are
made at the same time. A tick stops after some time and withdraws the requests that it has not submitted. So it
requests jobs in rounds.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import structs

from maestro_es.adapters.base import Adapter, SubmitsTogether
from maestro_es.core.arrays import Arrays, is_full_round
from maestro_es.core.attempt_token import element_of
from maestro_es.core.cascade import ended_badly, fail_descendants
from maestro_es.core.decide import start_ready, submissions
from maestro_es.core.events import NewEvent, StepDryRun, StepFailed
from maestro_es.core.model import Cause, Phase, StepRecord
from maestro_es.core.observations import Observations
from maestro_es.core.submission import InDoubt, ScriptFailed, outcome_events
from maestro_es.errors import StudyError, Unreachable
from maestro_es.poller.arrays import arrays_of
from maestro_es.poller.performers import LIVE, Performer
from maestro_es.poller.submitter import PreparedAttempt, PreparedCall, Submitter
from maestro_es.study.scripts import written_digests
from maestro_es.study.session import Session, Submitted
from maestro_es.study.workspace import ScriptOf

#: How many outcomes are appended together. If the process crashes before that, their submissions are in doubt.
_GROUP = 16

#: From this number of jobs on, one call for all of them takes less time than a call for each.
_MANY = 20

#: Errors that remain until a user changes the study. Other errors of a file system may be gone at the next tick: for
#: example, the file system was full or did not answer, or the user's Kerberos ticket for it had expired. Such an error
#: does not make the step fail.
_LASTING = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR)


def submit_in_rounds(study: Session, steps: Sequence[int], performer: Performer, seen: Observations) -> None:
    """Submit these steps. Then request and submit more, as long as there is time and the scheduler takes them.

    If the scheduler has no room for a whole job array, a smaller one follows at once.
    """
    end = time.monotonic() + study.runtime.submit_seconds
    no_room = False
    arrays = functools.cache(lambda: arrays_of(study))  # the keys of steps are the same in all rounds
    while True:
        before, graph = study.graph.study.refusal, study.graph
        jobs = [(number, graph.step(number).token) for number in steps if graph.step(number).scheduled]
        submit(study, steps, performer, lambda: time.monotonic() >= end)
        refusal = study.graph.study.refusal
        if refusal and refusal != before:
            no_room = refusal.together > 1
            if not no_room:
                return
        in_doubt = any(_is_in_doubt(study.graph.step(number), token, performer) for number, token in jobs)
        is_full = no_room or is_full_round(token for _, token in jobs)
        if in_doubt or not is_full or study.last_error or time.monotonic() >= end:
            return
        steps = _request_more(study, performer, seen, arrays)
        if not steps:
            return


def _is_in_doubt(step: StepRecord, token: str, performer: Performer) -> bool:
    return step.phase is Phase.REQUESTED and step.token == token and token not in performer.submitted


def _request_more(
    study: Session, performer: Performer, seen: Observations, arrays: Callable[[], Arrays | None]
) -> list[int]:
    """Request another round of jobs, and return their steps."""
    later = structs.replace(
        seen, ahead=0, later_round=True, submitted=performer.submitted, token_suffix=study.runtime.token_suffix()
    )
    return submissions(study.request(lambda graph: start_ready(graph, later, arrays)))


def submit(
    study: Session,
    steps: Sequence[int],
    performer: Performer = LIVE,
    is_late: Callable[[], bool] = lambda: False,
) -> None:
    """Submit these steps, and append the outcomes in small groups while further submissions are under way.

    The outcomes of a job array are appended together. Once `is_late` returns True, the remaining steps are withdrawn.
    """
    with contextlib.closing(_submit(study, steps, performer, is_late)) as outcomes:
        for submitted in outcomes:
            study.pending.extend(submitted)
            if len(study.pending) >= _GROUP:
                record_outcomes(study)
    record_outcomes(study)


def submit_and_defer(study: Session, steps: Sequence[int], performer: Performer = LIVE) -> None:
    """Submit these steps, and leave the outcomes `pending`.

    The next pass of this process appends them with its own events.

    If the process dies before that, the attempts are in doubt, and a later tick finds them by their claims.
    """
    for submitted in _submit(study, steps, performer):
        study.pending.extend(submitted)


def record_outcomes(study: Session) -> None:
    """Append the pending outcomes. If another process has appended meanwhile, read the new state and try again."""
    if study.pending:
        study.request(lambda _graph: take_outcomes(study))
        study.pending.clear()


def take_outcomes(study: Session) -> list[NewEvent]:
    """Return the events for the pending outcomes in the present state."""
    return [
        (sub.step, event)
        for sub in study.pending
        for event in outcome_events(study.graph, sub.step, sub.token, sub.outcome, sub.at, sub.script)
    ]


def _submit(
    study: Session, steps: Sequence[int], performer: Performer, is_late: Callable[[], bool] = lambda: False
) -> Generator[list[Submitted]]:
    """Write the scripts of these steps and call the schedulers. Yields the outcomes of each call that has ended."""
    requested = [study.graph.step(number) for number in steps]
    for adapter in {id(adapter): adapter for adapter in (study.adapters.local, study.adapters.scheduler)}.values():
        mine = [(step.number, step.token) for step in requested if study.adapters.of(step) is adapter]
        last_error = study.last_error if adapter is study.adapters.scheduler else None
        problem = study.environment.problem if mine else ""
        submitter = Submitter(adapter, performer, Unreachable(problem) if problem else last_error, is_late)
        with contextlib.closing(submitter.submit(_calls(study, adapter, performer, mine))) as calls:
            for outcomes in calls:
                study.runtime.on_effect("submit")
                yield [Submitted(one.step, one.token, outcome, one.at, one.script) for one, outcome in outcomes]
        study.last_error = study.last_error or (None if problem else submitter.last_error)


def _calls(
    study: Session, adapter: Adapter, performer: Performer, requested: Sequence[tuple[int, str]]
) -> Iterator[PreparedCall]:
    """Write the scripts of attempts, and yield the calls. Attempts that another tick has reconciled are left out."""
    tokens = dict(requested)
    together = isinstance(adapter, SubmitsTogether) and len(tokens) >= _MANY
    for array, numbers in _by_call(tokens, together=together):
        steps = {index: study.graph.step(number) for index, number in numbers.items()}
        attempts = {
            index: _prepare(study, performer, step)
            for index, step in steps.items()
            if step.token == tokens[step.number] and step.phase is Phase.REQUESTED
        }
        if attempts:
            title = next(iter(steps.values())).template.replace("/", "_").replace(" ", "_") if array else ""
            yield PreparedCall(attempts, array, title)


def _by_call(tokens: Mapping[int, str], *, together: bool) -> list[tuple[str, dict[int, int]]]:
    """For each call, return the name of its job array (empty: it has none) and its steps by index.

    With `together`, one call submits all jobs but the first. That job has a call of its own, because its outcome
    decides whether the others are submitted.
    """
    calls: dict[tuple[str, str], dict[int, int]] = {}
    for number, token in tokens.items():
        array, index = element_of(token) or ("", number)
        alone = "" if array or (together and calls) else token
        calls.setdefault((array, alone), {})[index] = number
    return [(array, numbers) for (array, _), numbers in calls.items()]


def _prepare(study: Session, performer: Performer, step: StepRecord) -> PreparedAttempt:
    at = study.runtime.now()
    study.log.check_place()  # after a move, the workspace would be created again, without the claim of another tick
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


def write_all_scripts(study: Session, performer: Performer) -> None:
    """Write every step's workspace and scripts, level by level, and run nothing."""
    graph = study.graph
    while True:
        new_events: list[NewEvent] = []
        for scheduled in (False, True):
            for step in graph.ready(scheduled=scheduled, limit=graph.study.steps):
                new_events.append((step.number, _write(study, performer, step)))
        if not new_events:
            break
        with study.log.transaction():
            study.log.record(new_events)
            study.log.record(fail_descendants(graph, study.runtime.now(), ended_badly(new_events)))
        study.runtime.on_effect("append")


def _write(study: Session, performer: Performer, step: StepRecord) -> StepDryRun | StepFailed:
    now = study.runtime.now()
    try:
        performer.write_scripts(ScriptOf(study.graph, step, study.dir, study.adapters))
    except (OSError, ValueError, StudyError) as error:
        return StepFailed(at=now, cause=Cause.SCRIPT, message=f"its script can't be written: {error}")
    return StepDryRun(at=now)


def job_remark(root: Path, job: str, *, brief: bool) -> str:
    """Return the remark that a tick can't start local steps.

    If `brief`, the tick runs in a job that ends with it. Otherwise the study was started in the job `job`, and the
    tick runs outside of jobs.
    """
    if brief:
        return (
            f"{root}: this job ends with the tick, so local steps can't start: run 'maestro-es drive {root}' in a job"
        )
    return (
        f"{root}: the study was started in the job {job}, so its local steps start in jobs only: run 'maestro-es tick "
        f"{root}' in a job, or 'maestro-es env {root} --refresh' on the host where they may start from now on"
    )
