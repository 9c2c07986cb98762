"""Runs ``maestro-es tick``, that is, one tick for each study. It prints nothing unless something needs attention.

If another process holds the lock of a study, that process is already running a tick, so there is nothing to do. A
study with a problem does not stop the others. Its problem is reported once, not every minute. `maestro_es.poller.tick`
decides what a tick does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from maestro_es.core.model import FAILED_STATES, Phase, StudyStatus
from maestro_es.errors import (
    EXIT_ERROR,
    EXIT_OK,
    EXIT_TRY_AGAIN,
    MaestroError,
    NotAStudy,
    NotOurs,
    StudyError,
    TickInProgress,
    Unreachable,
    describe_error,
    describe_os_error,
    one_line,
)
from maestro_es.execution_graph.ticking import SharedQueues, TickableGraph, state_of
from maestro_es.study import registry
from maestro_es.study.invocation import Runtime, study_id_at
from maestro_es.study.layout import StudyDir
from maestro_es.study.locks import is_held

#: The variable that cron's line sets, so that a tick knows whether cron or a user has started it. Its value is 1 in a
#: crontab; other drivers set ``scrontab`` or ``systemd``.
BY_CRON = "MAESTRO_ES_BY_CRON"

#: The exit codes: success, a problem with a study, and no answer from a scheduler or file system.
OK, WRONG, TRY_AGAIN = EXIT_OK, EXIT_ERROR, EXIT_TRY_AGAIN

#: The remedy for a registered study that does not exist.
_REMEDY = (
    "; if it was moved, tick it once where it is now, otherwise 'maestro-es studies --forget' removes it from the list"
)


class Outcome:
    """The result of a run: its exit code, the messages for users, and the first `bug` in maestro-es."""

    def __init__(self) -> None:
        self.code = OK
        self.lines: list[str] = []
        self.bug: Exception | None = None

    def note(self, code: int, line: str = "") -> None:
        """Add the result of one study. A problem takes precedence over a missing answer."""
        if self.code != WRONG:
            self.code = code or self.code
        if line:
            self.lines.append(line)


def tick_studies(roots: Iterable[Path], runtime: Runtime) -> Outcome:
    """Run a tick for each of these studies, unless another process is running one."""
    outcome = Outcome()
    for root in roots:
        came = _try(root, runtime, registered=False)
        if came:
            outcome.note(*came)
    return outcome


def tick_all(runtime: Runtime) -> Outcome:
    """Run a tick for every registered study. A problem that was reported before is not reported again.

    Each cluster is queried once for the jobs of all studies. If cron is the caller, the time is stored.
    """
    outcome = Outcome()
    driver = os.environ.pop(BY_CRON, "")
    if driver:
        registry.note_cron(registry.note_name(driver, runtime.host.name), runtime.host.boot_id, runtime.now())
    try:
        studies = registry.registered()
    except OSError as error:
        outcome.note(TRY_AGAIN, describe_os_error(error, registry.folder()))
        return outcome
    queues = SharedQueues.of(studies.values(), runtime) if len(studies) > 1 else None
    for study_id, root in studies.items():
        try:
            came = _try(root, runtime, registered=True, queues=queues)
        except Exception as error:  # noqa: BLE001 - it is shown, once the other studies had their tick
            from maestro_es.study.damage import damage  # noqa: PLC0415 - seldom needed

            cause = damage(StudyDir(root).log)
            if cause is None:
                outcome.bug = outcome.bug or error
                continue
            came = WRONG, str(cause)
        if came is None:
            continue
        code, complaint = came
        outcome.note(code)
        if registry.complaint_is_new(study_id, complaint):
            outcome.lines.append(complaint)
    return outcome


def tick_next(root: Path, runtime: Runtime) -> Outcome:
    """Run a tick after the present one, unless another process already waits to do so. Runners request this."""
    outcome = Outcome()
    try:
        with _open(root, runtime) as graph:
            outcome.note(*_outcome(graph, graph.advance_next))
    except TickInProgress:
        pass
    except (MaestroError, OSError) as error:
        outcome.note(*describe_error(error, root))
    return outcome


def _try(
    root: Path, runtime: Runtime, *, registered: bool, queues: SharedQueues | None = None
) -> tuple[int, str] | None:
    """Run a tick of a study. Returns an exit code and the messages for users.

    If the study is `registered`, and no user has named it, the messages include earlier problems.

    None if another process is running a tick.
    """
    try:
        return _tick_one(root, runtime, registered=registered, queues=queues)
    except TickInProgress:
        return None
    except (MaestroError, OSError) as error:
        if registered and isinstance(error, NotAStudy) and _is_being_created(root):
            return None
        code, line = describe_error(error, root)
        return code, f"{line}{_REMEDY}" if registered and _has_moved(error, root) else line


def _has_moved(error: MaestroError | OSError, root: Path) -> bool:
    """Return whether a study may have moved: its registered directory has no study, or one of another user."""
    if isinstance(error, NotOurs):
        with contextlib.suppress(OSError):
            return not StudyDir(root).is_ours()
    return isinstance(error, (NotAStudy, NotOurs))


def _is_being_created(root: Path) -> bool:
    """Return whether a process creates a study here, or has just done so.

    A study is registered before its log exists.
    """
    study_dir = StudyDir(root)
    return is_held(study_dir.creation_lock) or os.path.lexists(study_dir.log)


def _tick_one(root: Path, runtime: Runtime, *, registered: bool, queues: SharedQueues | None) -> tuple[int, str]:
    with _open(root, runtime) as graph:
        if graph.is_settled():
            return OK, _news(graph) if registered else ""
        return _outcome(graph, lambda: graph.advance(wait_s=0, queues=queues))


def _open(root: Path, runtime: Runtime) -> TickableGraph:
    """Open a study. If it has moved, try to register its new directory."""
    graph = TickableGraph.open_ours(root, runtime)
    study_id = state_of(graph).study.study_id
    with contextlib.suppress(OSError, StudyError):
        known = registry.registered_at(study_id)
        if known not in (None, graph.path) and not _is_at(known, study_id):
            registry.register(study_id, graph.path)
    return graph


def _is_at(root: Path, study_id: str) -> bool:
    """Return whether a directory contains a study of this user."""
    try:
        StudyDir(root).check_owner()
    except NotOurs:
        return False
    return study_id_at(root) == study_id


def _outcome(graph: TickableGraph, tick: Callable[[], object]) -> tuple[int, str]:
    """Run a tick. Returns the exit code and the messages for users."""
    try:
        tick()
    except TickInProgress:
        raise
    except Unreachable as error:
        return TRY_AGAIN, _joined([*graph.remarks, f"{graph.path}: {error}"])
    if graph.remarks:
        return WRONG, _joined(graph.remarks)
    doubt = in_doubt(graph)
    return (TRY_AGAIN, doubt) if doubt else (OK, _news(graph))


def in_doubt(graph: TickableGraph) -> str:
    """Return the messages about submissions in doubt. The next ticks will find out their outcome."""
    unresolved = (step for step in state_of(graph).in_flight() if step.phase is Phase.REQUESTED and step.message)
    return _joined(
        f"{graph.path}: {step.name}: it is not yet known whether it was submitted: {step.message}"
        for step in unresolved
    )


def _news(graph: TickableGraph) -> str:
    """Return the messages about a study after its tick."""
    lines = [*graph.notices]
    study = state_of(graph).study
    if study.status is StudyStatus.FAILURE:
        failed = sum(study.states.get(state.name, 0) for state in FAILED_STATES)
        verb = "has" if failed == 1 else "have"
        lines.append(f"{graph.path}: the study has ended, and {failed} of its steps {verb} failed")
    return _joined(lines)


def _joined(messages: Iterable[str]) -> str:
    """Join the messages of a study, one line for each."""
    return "\n".join(map(one_line, messages))
