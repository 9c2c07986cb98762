"""One question to each cluster for all studies that are ticked together.

A decision may only rest on an answer that was asked for after the state was read that it rests on. So the logs are
read first, and the claims of attempts in doubt; then each cluster is asked once. A study whose log has grown by the
time of its tick asks again.
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
    """What was asked ahead of a tick, in the order of a look.

    That is: the log up to `seq`, the `claims` of attempts in doubt, the scheduler for its jobs. So the `answer` is one
    for a look at the same state of the log, and no other.
    """

    seq: int
    claims: Mapping[str, Claim]
    answer: Sequence[QueueEntry] | Unreachable

    def at(self, seq: int) -> QueueSnapshot | None:
        """Return what a look at the log up to `seq` may rest on: on silence always, nothing is concluded from it."""
        if seq == self.seq:
            return self
        return structs.replace(self, claims={}) if isinstance(self.answer, Unreachable) else None


class _Read(NamedTuple):
    """A study that will want to know of its jobs: its log was read up to `seq`."""

    root: Path
    seq: int
    claims: Mapping[str, Claim]
    adapter: Adapter


def prefetch(roots: Iterable[Path], runtime: Runtime) -> dict[Path, QueueSnapshot]:
    """Return what is known ahead of the ticks of these studies. One that can't be read says so in its own tick."""
    read: list[_Read] = []
    for root in roots:
        with contextlib.suppress(MaestroError, OSError), Session.ours(root, runtime) as study:
            read.extend(_read(study))
    clusters = {one.adapter.cluster: one.adapter for one in read}
    answers = {cluster: _list_jobs(adapter) for cluster, adapter in clusters.items()}
    return {one.root: QueueSnapshot(one.seq, one.claims, answers[one.adapter.cluster]) for one in read}


def _read(study: Session) -> Iterator[_Read]:
    """Read a study that has jobs, or is about to have some, in a queue that can be asked for all jobs at once."""
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
