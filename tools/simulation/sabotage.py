"""Breaks the program deliberately, in one place at a time. The simulated weeks must notice each defect.

This tests only the promises: a check that never reports anything would go unnoticed otherwise.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from msgspec import structs

from maestro_es.adapters.base import JobInfo
from maestro_es.adapters.local import LocalAdapter
from maestro_es.adapters.slurm import client, output
from maestro_es.core import cascade, decide, reconcile, resubmission_limits, throttle, verdict
from maestro_es.core.events import NewEvent
from maestro_es.core.model import JobState, StepRecord
from maestro_es.core.observations import AttemptObservation, Claim, ClaimState, NoAnswer, Observations
from maestro_es.core.submission import InDoubt, Outcome, Rejected
from maestro_es.core.verdict import Conclusion, Verdict
from maestro_es.poller import observe, performers, submit, tick
from maestro_es.poller.performers import LIVE
from maestro_es.poller.preview import SUFFIX
from maestro_es.store import event_log
from maestro_es.store.study_log import StudyLog
from maestro_es.study import claims, last_tick
from maestro_es.study.session import Session

#: A replacement: the owner of a name, the name, and the new value.
Replacement = tuple[object, str, object]


class Defect(NamedTuple):
    """A defect: its description, its replacements, and the first seed, from 0 on, that finds it."""

    description: str
    replacements: tuple[Replacement, ...]
    seed: int

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Break the program inside the block."""
        with contextlib.ExitStack() as stack:
            for owner, name, value in self.replacements:
                stack.enter_context(mock.patch.object(owner, name, value))
            yield


def _judging(how: Callable[[AttemptObservation, Verdict], Conclusion]) -> tuple[Replacement, ...]:
    """Replace the conclusion from the evidence."""
    judge = verdict.judge

    def broken(observed: AttemptObservation) -> Verdict:
        truth = judge(observed)
        return structs.replace(truth, conclusion=how(observed, truth))

    return (observe, "judge", broken), (reconcile, "judge", broken)


def _instead(wrong: Conclusion, right: Conclusion) -> tuple[Replacement, ...]:
    """Draw another conclusion instead of the right one."""
    return _judging(lambda _observed, truth: wrong if truth.conclusion is right else truth.conclusion)


def _gone_at_once(observed: AttemptObservation, truth: Verdict) -> Conclusion:
    doubt = not observed.job_id and not observed.has_started and observed.queue not in NoAnswer
    return Conclusion.ABANDONED if doubt and not observed.end else truth.conclusion


def _silence_is_failure(observed: AttemptObservation, truth: Verdict) -> Conclusion:
    return Conclusion.FAILED if observed.queue is NoAnswer.UNREACHABLE else truth.conclusion


def _submits_before_the_commit(study: Session, seen: Observations) -> list[NewEvent]:
    if study.runtime.token_suffix() == SUFFIX:  # a preview
        return tick_decide(study, seen)
    kept: list[NewEvent] = []
    with study.log.transaction():
        study.record(tick._take_outcomes(study))
        decide.decide(
            study.graph,
            seen,
            lambda new_events: kept.extend(tick._record(study, new_events)),
            lambda: tick._arrays(study),
        )
        for submitted in submit._submit(study, decide.submissions(kept), LIVE):
            study.pending.extend(submitted)
    return [event for event in kept if not decide.submissions([event])]


tick_decide = tick._decide


def _appends_blindly(log: StudyLog) -> None:
    log._connection.execute("BEGIN IMMEDIATE")
    log.head = event_log.Head(*event_log.head(log._connection))


def _doubt_is_refusal(done: Any) -> Outcome:
    outcome = client_read_submission(done)
    return Rejected(outcome.message, 1) if isinstance(outcome, InDoubt) else outcome


client_read_submission = output.read_submission


def _other_hosts_are_empty(
    adapter: LocalAdapter, step: StepRecord, job_id: str, host: str, instance: str
) -> JobInfo | None:
    if host != adapter._host.name:
        return JobInfo(JobState.GONE, "no such process", None, job_id, host, instance)
    return local_look(adapter, step, job_id, host, instance)


local_look = LocalAdapter._look


def _without_limit(graph: Any, cores: int, now: int, submitted: Any = ()) -> tuple[throttle.Slots, throttle.Slots]:
    local, scheduled = count_slots(graph, cores, now, submitted)
    return local, scheduled._replace(limit=None, available=None)


count_slots = throttle.count_slots


def _removes_reports_first(observer: observe.Observer) -> observe.Observed:
    seen = observer_observe(observer)
    if observer._inputs.token_suffix != SUFFIX:  # no preview
        LIVE.remove_reports(observer._study_dir.inbox, seen.reports)
    return seen


observer_observe = observe.Observer.observe


DEFECTS = {
    "submits first": Defect(
        "a tick submits before it has committed the request", ((tick, "_decide", _submits_before_the_commit),), 1
    ),
    "appends blindly": Defect(
        "a tick appends although its decision is based on an older state",
        ((StudyLog, "_begin", _appends_blindly),), 1,
    ),
    "doubt is refusal": Defect(
        "a submission without an answer counts as refused", ((client, "read_submission", _doubt_is_refusal),), 1
    ),
    "takes no claim": Defect(
        "a tick gives up an attempt without taking its claim",
        ((claims, "abandon", lambda _workspace, _token: Claim(ClaimState.ABANDONED)),), 1,
    ),
    "gone at once": Defect("an attempt is given up as soon as it is not in the queue", _judging(_gone_at_once), 1),
    "waits for ever": Defect(
        "ticks wait for ever for an attempt without a trace", _instead(Conclusion.WAIT, Conclusion.CLAIM), 1
    ),
    "lost is failed": Defect(
        "a step that has disappeared fails", _instead(Conclusion.FAILED, Conclusion.LOST), 1
    ),
    "silence is failure": Defect("a step fails if Slurm does not answer", _judging(_silence_is_failure), 1),
    "node is failure": Defect(
        "a step fails if its node fails", _instead(Conclusion.FAILED, Conclusion.NODE_FAILED), 6
    ),
    "other hosts are empty": Defect(
        "a local step of another host counts as gone", ((LocalAdapter, "_look", _other_hosts_are_empty),), 1
    ),
    "no orphans": Defect(
        "ticks do not look for the processes that a killed runner leaves behind",
        ((LocalAdapter, "has_orphans", lambda _self, _step: False),), 41,
    ),
    "restarts for ever": Defect(
        "the limit of restarts is not applied", ((resubmission_limits, "after_timeout", lambda _step: ""),), 22
    ),
    "hardware for ever": Defect(
        "the limit of hardware failures is not applied",
        ((resubmission_limits, "after_hardware_failure", lambda *_: ""),), 142,
    ),
    "no throttle": Defect("the throttle is not applied", ((decide, "count_slots", _without_limit),), 2),
    "no cancel": Defect("the jobs of cancelled steps are not ended", ((tick, "jobs_to_end", lambda *_: []),), 3),
    "no cascade": Defect(
        "steps that depend on a failed step wait for ever",
        ((decide, "fail_descendants", lambda *_: iter(())), (cascade, "fail_descendants", lambda *_: iter(()))), 0,
    ),
    "reports first": Defect(
        "reports are removed before their events are committed",
        ((observe.Observer, "observe", _removes_reports_first),), 176,
    ),
    "stale table": Defect(
        "status.csv is written only once",
        ((last_tick, "is_shown", lambda study_dir, *_: study_dir.status_csv.exists()),), 0,
    ),
    "wrong preview": Defect(
        "a dry tick expects that claims can't be taken",
        ((performers.Preview, "fence", lambda _self, _workspace, _token: Claim(ClaimState.JOB)),), 1,
    ),
}  # fmt: skip


def first_seed(defect: Defect, simulate: Callable[[int], list[str]]) -> int:
    """Return the first seed that finds a defect. Without one, this never ends."""
    with defect.planted():
        return next(seed for seed in itertools.count() if simulate(seed))
