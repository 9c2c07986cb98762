"""Submit: for each submission on record write the script, call the scheduler, append the outcome.

The process may die between any two of these. A request without an outcome is in doubt, and a later tick settles it.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from maestro_es.core.events import Draft
from maestro_es.core.model import Phase, StepRecord
from maestro_es.core.outcomes import InDoubt, Outcome, Unwritable, outcome_events
from maestro_es.errors import StudyError
from maestro_es.poller.caller import Caller
from maestro_es.poller.open_study import OpenStudy, Submitted
from maestro_es.poller.workspace import prepare

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

#: How many outcomes are appended together. A crash puts these in doubt, and what is under way.
_GROUP = 16

#: Errors that stay until somebody changes the study. Any other one of a file system may be gone at the next tick: it
#: is full, or hangs, or does not let us in because a ticket has expired. Then the step is not to blame.
_LASTING = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR)


def submit(study: OpenStudy, steps: Sequence[int]) -> None:
    """Submit these steps, and append the outcomes in small groups while further submissions are under way."""
    for submitted in _submit(study, steps):
        study.pending.append(submitted)
        if len(study.pending) >= _GROUP:
            record_outcomes(study)
    record_outcomes(study)


def submit_and_defer(study: OpenStudy, steps: Sequence[int]) -> None:
    """Submit these steps and leave the outcomes `pending`, for the next pass of this process to append with its own.

    If the process dies before that, the attempts are in doubt, and a later tick finds them by their claims.
    """
    study.pending.extend(_submit(study, steps))


def record_outcomes(study: OpenStudy) -> None:
    """Append the pending outcomes; if somebody else appended meanwhile, look at the new state and try again."""
    if study.pending:
        study.request(lambda _graph: take_outcomes(study))
        study.pending.clear()


def take_outcomes(study: OpenStudy) -> list[Draft]:
    """Return the events of the pending outcomes, as the state is now."""
    return [
        (sub.step, event)
        for sub in study.pending
        for event in outcome_events(study.graph, sub.step, sub.token, sub.outcome, sub.at, sub.script_digest)
    ]


def _submit(study: OpenStudy, steps: Sequence[int]) -> Iterator[Submitted]:
    """Write the scripts of these steps and call the schedulers; yields what came of each as soon as it is known."""
    requested = [study.graph.step(number) for number in steps]
    for adapter in {id(adapter): adapter for adapter in (study.adapters.local, study.adapters.scheduler)}.values():
        mine = [(step.number, step.token) for step in requested if study.adapters.of(step) is adapter]
        caller = Caller(adapter, study.silence if adapter is study.adapters.scheduler else None)
        for submitted in _results(_calls(study, caller, mine), min(adapter.at_once, len(mine))):
            study.context.after("submit")
            yield submitted
        study.silence = study.silence or caller.silence


def _results(calls: Iterator[Callable[[], Submitted]], at_once: int) -> Iterator[Submitted]:
    """Make calls, so many at the same time; yields what they return, in order, as soon as it is known.

    As many again are kept waiting, so that there is something to do while the caller deals with a result.
    """
    if at_once <= 1:
        yield from (call() for call in calls)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not for ticks that submit nothing

    under_way: deque[Future[Submitted]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for call in calls:
            under_way.append(_start(pool, call))
            while under_way and (len(under_way) >= 2 * at_once or under_way[0].done()):
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _start(pool: ThreadPoolExecutor, call: Callable[[], Submitted]) -> Future[Submitted]:
    """Have a call made by a thread of the pool; here and now if this process may have no more of them.

    A pool that can't start another thread has taken the call all the same, and those that it has may get to it first.
    """
    from concurrent.futures import Future  # noqa: PLC0415 - likewise

    lock = threading.Lock()
    made: list[Submitted] = []

    def once() -> Submitted:
        with lock:
            if not made:
                made.append(call())
            return made[0]

    try:
        return pool.submit(once)
    except RuntimeError:
        done: Future[Submitted] = Future()
        done.set_result(once())
        return done


def _calls(study: OpenStudy, caller: Caller, attempts: Iterable[tuple[int, str]]) -> Iterator[Callable[[], Submitted]]:
    """Write the scripts of attempts, but for those that somebody else has settled by now; yields what submits each."""
    for number, token in attempts:
        step = study.graph.step(number)
        if step.token == token and step.phase is Phase.REQUESTED:
            yield _prepare(study, caller, step)


def _prepare(study: OpenStudy, caller: Caller, step: StepRecord) -> Callable[[], Submitted]:
    at = study.context.now()
    number, token = step.number, step.token
    try:
        job, digest = prepare(study.graph, step, study.dir, caller.adapter, study.adapters.scheduler)
    except (OSError, ValueError, StudyError) as error:
        passing = isinstance(error, OSError) and error.errno not in _LASTING
        outcome: Outcome = (InDoubt if passing else Unwritable)(f"its script can't be written: {error}")
        return lambda: Submitted(number, token, outcome, at)
    study.context.after("script")
    return lambda: Submitted(number, token, caller.submit(job), at, digest)
