"""Runs a study in the foreground (``run --wait``): a tick whenever a step on this host has ended, and at intervals.

While this process runs, it counts as the process that waits for the next tick, so runners request no ticks. If it is
killed, cron or another driver continues the study. If it must stop inside a job, its local steps would end with the
job. So it ends them itself, and records that they will run again.

If steps take only milliseconds, writing each request to disk takes most of the time. So several of these steps are
requested ahead in one transaction, and each starts as soon as a slot is free. A step that waits too long for a slot is
withdrawn. If this process dies, the attempts of these steps are in doubt, like any others.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from maestro_es.adapters import process, spawner
from maestro_es.adapters.base import RunsInside
from maestro_es.adapters.host import Host
from maestro_es.adapters.job_questions import still_running
from maestro_es.adapters.local import take_usages
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.events import NewEvent, SubmissionWithdrawn
from maestro_es.core.fair_share import local_share
from maestro_es.core.graph import Graph
from maestro_es.core.model import SUBMITTED, Phase, StepRecord, StudyStatus
from maestro_es.core.observations import ClaimState
from maestro_es.core.throttle import count_slots
from maestro_es.errors import RequestRefused, Unreachable
from maestro_es.poller.performers import Performer, show_status
from maestro_es.poller.submit import submit_and_defer
from maestro_es.poller.tick import tick
from maestro_es.study.claims import abandon
from maestro_es.study.locks import hold_tick_lock, waiting
from maestro_es.study.session import Session

#: The shortest interval between updates of ``status.csv`` and of the progress display, in seconds.
_SHOW_SECONDS = 1.0

#: The time between two passes while steps that were requested ahead start, in seconds.
_BATCH_SECONDS = 0.5

#: If no step waits for a slot, the next pass records the outcomes of submissions after this many seconds.
_PASS_SECONDS = 0.1

#: The interval between checks of the inbox for steps that other processes have started, in seconds.
_LOOK_SECONDS = 0.25

#: The longest time between two passes while local steps wait on a host that other studies use, in seconds.
_SHARED_SECONDS = 2.0

#: Steps are requested ahead for all slots that become free before the next pass, but at most this number.
_AHEAD_MOST = 128

#: How long a step that was requested ahead may wait for a slot, in seconds.
_HELD_SECONDS = 1.0

#: How long a driver that must stop waits for its local steps to end, in seconds. Runners kill them after 10 s.
_LEAVE_SECONDS = 25.0

#: How long a driver waits, in seconds, until the runners of the last steps end. They have already reported.
_USED_SECONDS = 1.0


def _never() -> bool:
    return False


def run_until_ended(
    study: Session,
    progress: Callable[[], None],
    must_stop: Callable[[], bool] = _never,
    inside: float | None = None,
) -> StudyStatus:
    """Run ticks until the study has ended, at least as often as its settings say. `progress` is called regularly.

    It returns earlier if `must_stop` returns True. `must_stop` is called several times a second. Inside a job, the
    local steps of this host are then ended, and become ready again. Outside of jobs they keep running.

    With `inside`, steps run in the job around this process, until this many seconds before its end. RequestRefused if
    there is no such job, or if the study has another scheduler.

    Unreachable if the boot id of this host can't be read, because a tick can conclude nothing without it.
    """
    if study.runtime.host.trouble:
        raise Unreachable(study.runtime.host.trouble)
    with (
        waiting(study.dir, study.runtime.host.name),
        _child_signals() as wait,
        _inside(study, inside, must_stop) as allocation,
    ):
        run: ForegroundRun
        if allocation:
            from maestro_es.poller.inside import InsideRun  # noqa: PLC0415 - most drivers run in no allocation

            run = InsideRun(study, allocation, must_stop)
        else:
            run = ForegroundRun(study, wait, must_stop)
        try:
            run.run(progress)
        finally:
            run.withdraw()
        if study.status is StudyStatus.RUNNING and study.runtime.host.job:
            _put_back(study, allocation)
        elif study.status is not StudyStatus.RUNNING and spawner.reap_all(_USED_SECONDS):
            with hold_tick_lock(study.dir, -1):
                study.usages.update(take_usages())
                tick(study)
    show_status(study)
    progress()
    return study.status


class ForegroundRun:
    """Makes passes, that is, ticks.

    Between them, it starts the `reserved` steps: they were requested ahead and need a slot.
    """

    #: The longest time between two passes, in seconds, if the setting of the study is not shorter.
    pause = float("inf")

    #: The next pass comes when at most this part of the steps that were requested ahead still waits for a slot.
    rest = 0.0

    def __init__(self, study: Session, wait: Callable[[float], object], must_stop: Callable[[], bool]) -> None:
        self._study = study
        self._wait = wait
        self._must_stop = must_stop
        self._reserved: deque[int] = deque()
        self._busy = self._slots = 0
        self._ended = 0
        self._passed = self._shown = 0.0

    def run(self, progress: Callable[[], None]) -> None:
        """Make passes until the study has ended, or until it must stop."""
        study = self._study
        while not self._must_stop():
            show = time.monotonic() - self._shown >= _SHOW_SECONDS
            inbox = self._changed_at()
            self._pass(show=show)
            if show:
                self._shown = time.monotonic()
                progress()
            if study.status is not StudyStatus.RUNNING:
                return
            self._rest(inbox)

    def _pass(self, *, show: bool) -> None:
        now = time.monotonic()
        rate = self._ended / max(now - self._passed, 1e-3)
        ahead = min(int(rate * _BATCH_SECONDS), _AHEAD_MOST) - len(self._reserved)
        if now - self._passed > _HELD_SECONDS:
            self.withdraw()
        self._passed, self._ended = now, 0
        study = self._study
        with hold_tick_lock(study.dir, -1), contextlib.suppress(Unreachable):
            study.usages.update(take_usages())
            tick(study, show=show, ahead=max(ahead, 0), submit=self._submit)

    def _submit(self, study: Session, steps: Sequence[int], performer: Performer) -> None:
        """Submit the steps for which there is a slot, and keep the other local steps."""
        scheduled = [number for number in steps if study.graph.step(number).scheduled]
        submit_and_defer(study, scheduled, performer)
        requested = dict.fromkeys(number for number in steps if number not in scheduled)
        # A pass that came too late has withdrawn the requests of the previous pass, and requests these steps again.
        self._reserved = deque([*(number for number in self._reserved if number not in requested), *requested])
        reserved = set(self._reserved)
        local = [step for step in study.graph.in_flight() if not step.scheduled]
        # A runner may have reported its end and still be running. It is subtracted only when it has ended.
        ending = spawner.unreaped({step.token for step in local})
        self._busy = sum(step.number not in reserved for step in local) + ending
        self._slots = self._count_slots() if reserved else 0
        self._fill()

    def _fill(self) -> None:
        """Start the steps that were requested ahead, in the free slots."""
        while self._reserved and self._busy < self._slots:
            submit_and_defer(self._study, [self._reserved.popleft()])
            self._busy += 1

    def _count_slots(self) -> int:
        """Return how many local steps may run until the next pass."""
        study = self._study
        host, others = study.runtime.host, study.others()
        slots = study.graph.study.settings.local_slots or host.cores
        return min(slots, local_share(study.graph, host.size, others, study.runtime.now())) if others else slots

    def _rest(self, inbox: int) -> None:
        """Until the next pass, start a step that was requested ahead whenever another step ends."""
        if self._study.graph.study.cascading:
            return
        pause = min(max(self._study.graph.study.settings.sleep_seconds, _LOOK_SECONDS), self.pause)
        if self._waits_for_others():
            pause = min(pause, _SHARED_SECONDS)
        end = self._passed + (pause if not self._reserved else _HELD_SECONDS)
        rest = len(self._reserved) * self.rest
        while time.monotonic() < end and not self._must_stop():
            any_ended, ended = self._look(_PASS_SECONDS if self._study.pending else _LOOK_SECONDS)
            self._ended += ended
            self._fill()
            late = time.monotonic() - self._passed >= _BATCH_SECONDS
            news = any_ended or self._study.pending or self._changed_at() != inbox
            if news and (len(self._reserved) <= rest or late):
                return

    def _waits_for_others(self) -> bool:
        """Whether local steps wait although slots are free on a host that other studies use.

        False with jobs in flight, because each pass would query the scheduler about them.
        """
        study = self._study
        local, scheduled = count_slots(study.graph, study.runtime.host.cores, study.runtime.now())
        waits = local.free(1) and not scheduled.in_use and any(study.graph.ready(scheduled=False, limit=1))
        return bool(waits and study.others())

    def _look(self, seconds: float) -> tuple[bool, int]:
        """Wait for the end of a step. Returns whether any process of a step has ended, and how many steps have ended.

        A signal alone does not show this, because the commands of the last pass have sent one, too.
        """
        self._wait(seconds)
        ended = spawner.reap()
        self._busy -= ended
        return ended > 0, ended

    def withdraw(self) -> None:
        """Withdraw the requests that got no slot, after taking their claims."""
        reserved, self._reserved = list(self._reserved), deque()
        if not reserved:
            return
        study = self._study
        taken = {}
        for number in reserved:
            step = study.graph.step(number)
            claim = abandon(study.dir.path(step.workspace), step.token)
            if claim.state is ClaimState.ABANDONED:
                taken[number] = step.token

        def rule(graph: Graph) -> list[NewEvent]:
            return [
                (number, SubmissionWithdrawn(token=token))
                for number, token in taken.items()
                if graph.step(number).token == token and graph.step(number).phase is Phase.REQUESTED
            ]

        study.request(rule)

    def _changed_at(self) -> int:
        return self._study.dir.inbox.stat().st_mtime_ns


@contextlib.contextmanager
def _inside(study: Session, margin: float | None, must_stop: Callable[[], bool]) -> Iterator[RunsInside | None]:
    """Let ticks run steps in the job around this process, until `margin` seconds before its end (None: don't)."""
    if margin is None:
        yield None
        return
    adapter = study.adapters.scheduler
    if not isinstance(adapter, RunsInside):
        raise RequestRefused(f"--in-allocation can't run the steps of a study for {adapter.name}; use --wait")
    from maestro_es.adapters.job_clock import clock  # noqa: PLC0415 - most drivers run in no allocation

    adapter.enter(clock(margin).left, must_stop)
    study.allocation = adapter.allocation
    try:
        yield adapter
    finally:
        study.allocation = None
        adapter.leave()


def _put_back(study: Session, allocation: RunsInside | None) -> None:
    """End the steps in the job around us, and record their ends.

    No step starts until there is another driver. The tick lock is held from the first cancellation until the ends are
    recorded, because only this process knows that it has stopped the steps. Another tick would count their ends as
    hardware failures.
    """
    with hold_tick_lock(study.dir, -1):
        study.leaving = True
        end = time.monotonic() + _LEAVE_SECONDS
        ended: set[str] = set()
        while True:
            with contextlib.suppress(Unreachable):
                study.usages.update(take_usages())
                tick(study)
            ours = [step for step in study.graph.in_flight() if _runs_in_job(step, study.runtime.host)]
            placed = [step for step in study.graph.in_flight() if placement_of(step.token) and step.phase is SUBMITTED]
            if time.monotonic() >= end or (not ours and not (allocation and placed)):
                return
            study.adapters.local.cancel([step for step in ours if step.token not in ended])
            if allocation:
                with contextlib.suppress(Unreachable):
                    study.adapters.scheduler.cancel([step for step in placed if step.token not in ended])
                allocation.wait_inside(_PASS_SECONDS)
            ended.update(step.token for step in (*ours, *placed))
            while time.monotonic() < end and any(process.is_running(int(step.job_id), step.token) for step in ours):
                spawner.reap()
                time.sleep(_PASS_SECONDS)


def _runs_in_job(step: StepRecord, host: Host) -> bool:
    """Return whether a local step runs in the job around us. A runner in a job has an argument that names the job."""
    if step.scheduled or step.phase is not Phase.SUBMITTED or step.job_host != host.name:
        return False
    pid = int(step.job_id)
    return process.is_running(pid, step.token) and process.is_running(pid, still_running(host.job))


@contextlib.contextmanager
def _child_signals() -> Iterator[Callable[[float], object]]:
    """Yield a function that waits a number of seconds, or until a child ends. One may have ended before the call."""
    if not hasattr(signal, "sigtimedwait"):  # macOS lacks this function, so the caller polls

        def nap(_seconds: float) -> None:
            time.sleep(0.01)

        yield nap
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        yield lambda seconds: signal.sigtimedwait({signal.SIGCHLD}, seconds)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
