"""Queries each cluster once for all studies of one ``tick --all``.

A tick may use an answer only if the query began after the tick's state was read. So the logs and the claims of
attempts in doubt are read first, and then each cluster is queried once. If a log has grown before the tick of its
study, that tick queries again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import structs

from maestro_es.adapters.base import Adapter, QueueEntry
from maestro_es.core.model import Phase, StudyStatus
from maestro_es.core.observations import Claim
from maestro_es.errors import MaestroError, Unreachable
from maestro_es.study.claims import read_claim
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session


class QueueSnapshot(msgspec.Struct, frozen=True):
    """The data that was read before a tick, in the same order as in a tick.

    First the log up to `seq` was read, then the `claims` of attempts in doubt, and then the scheduler was queried for
    its jobs. So the `answer` is valid only for this state of the log.
    """

    seq: int
    claims: Mapping[str, Claim]
    answer: Sequence[QueueEntry] | Unreachable

    def at(self, seq: int) -> QueueSnapshot | None:
        """Return this snapshot, if it is valid for the log up to `seq`.

        A missing answer is always valid, because it proves nothing.
        """
        if seq == self.seq:
            return self
        return structs.replace(self, claims={}) if isinstance(self.answer, Unreachable) else None

    def without_answer(self, error: Unreachable) -> QueueSnapshot:
        """Return a snapshot that says that the scheduler did not answer."""
        return no_answer(error)


def no_answer(error: Unreachable) -> QueueSnapshot:
    """Return a snapshot that says that a scheduler did not answer. It holds for any state of the log."""
    return QueueSnapshot(0, {}, error)


class _Read(NamedTuple):
    """A study with jobs, whose log was read up to `seq`."""

    root: Path
    seq: int
    claims: Mapping[str, Claim]
    adapter: Adapter


def prefetch(roots: Iterable[Path], runtime: Runtime) -> dict[Path, QueueSnapshot]:
    """Return the snapshots for the ticks of these studies. A study that can't be read is reported by its own tick."""
    read: list[_Read] = []
    for root in roots:
        with contextlib.suppress(MaestroError, OSError), Session.ours(root, runtime) as study:
            read.extend(_read(study))
    clusters = {one.adapter.cluster: one.adapter for one in read}
    answers = {cluster: _list_jobs(adapter) for cluster, adapter in clusters.items()}
    return {one.root: QueueSnapshot(one.seq, one.claims, answers[one.adapter.cluster]) for one in read}


def _read(study: Session) -> Iterator[_Read]:
    """Read a study that has jobs, or will submit some, in a queue that can be queried for all jobs at once."""
    graph, adapter = study.graph, study.adapters.scheduler
    if study.status is not StudyStatus.RUNNING or graph.study.settings.dry_run or not adapter.cluster:
        return
    jobs = [step for step in graph.in_flight() if step.scheduled]
    if jobs or graph.ready(scheduled=True, limit=1):
        claims = {
            step.token: read_claim(study.dir.path(step.workspace), step.token)
            for step in jobs
            if step.phase is Phase.REQUESTED
        }
        yield _Read(study.dir.root, study.log.head.seq, claims, adapter)


def _list_jobs(adapter: Adapter) -> Sequence[QueueEntry] | Unreachable:
    try:
        return adapter.list_jobs()
    except Unreachable as error:
        return error
