"""A study directory with its log open, for ticks, requests, commands and `ExecutionGraph`.

A session has the directory, the log and the adapters of a study. It decides when a request is tried again, and whether
a study directory is a copy. It decides nothing about steps.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maestro_es.core import events as e
from maestro_es.core.cascade import Part, ended_badly, fail_descendants, waiting_in_vain
from maestro_es.core.environment import Environment
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord, StudyStatus, is_local
from maestro_es.core.step_keys import Allocation
from maestro_es.core.submission import NO_SCRIPT, Outcome, SubmittedScript
from maestro_es.core.usage import Usage
from maestro_es.errors import ConcurrentAppend, RequestRefused, StudyCopied, Unreachable
from maestro_es.store.projection import ProjectedGraph
from maestro_es.store.study_log import StudyLog
from maestro_es.study.invocation import Runtime, identity, study_id_at
from maestro_es.study.layout import StudyDir

if TYPE_CHECKING:
    from maestro_es.adapters.base import Adapters, JobInfo
    from maestro_es.core.observations import OtherStudy

#: How long an observation of the other studies can be used, in microseconds.
_FRESH = 1_000_000

#: How many times a request is tried if other processes append at the same time.
_TRIES = 20


class Submitted(NamedTuple):
    """The outcome of submitting one attempt of a step, and its time."""

    step: int
    token: str
    outcome: Outcome
    at: Micros
    script: SubmittedScript = NO_SCRIPT


class Session:
    """An open study: its directory `dir`, its `log`, its state `graph`, and the `pending` outcomes to record.

    A caller that has already opened the log, or a copy of it for a preview, passes it as `log`.

    Ticks add lines for the user: `remarks` need attention, and `notices` do not. If the scheduler did not answer a
    query of the last tick, `last_error` is the error. If `leaving`, the job that contains this process is about to
    end: ticks start no step, and a stopped local step does not count towards its limit. `usages` holds the usage of
    local steps until the next tick. If steps run inside the job that contains this process, `allocation` returns the
    resources of this job.
    """

    def __init__(self, root: Path, runtime: Runtime | None = None, log: StudyLog | None = None) -> None:
        self.runtime = runtime or Runtime()
        self.dir = StudyDir(root)
        self.log = log or StudyLog.open(
            self.dir.log, self.runtime.now, identity(self.runtime.host, self.runtime.driver)
        )
        self.pending: list[Submitted] = []
        self.remarks: list[str] = []
        self.notices: list[str] = []
        self.last_error: Unreachable | None = None
        self.usages: dict[str, Usage] = {}
        self.leaving = False
        self.allocation: Callable[[], Allocation] | None = None
        self._environment: Environment | None = None
        self._digest = ""
        self._others: tuple[Micros, Sequence[OtherStudy]] | None = None

    @classmethod
    def ours(cls, root: Path, runtime: Runtime | None = None) -> Session:
        """Open a study that only this user can change. If others can, raise NotOurs and don't open the log."""
        StudyDir(root).check_owner()
        return cls(root, runtime)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    @property
    def graph(self) -> ProjectedGraph:
        """The present state."""
        return self.log.graph

    @property
    def status(self) -> StudyStatus:
        """The state of the study as a whole."""
        return self.log.graph.study.status

    @cached_property
    def adapters(self) -> Adapters:
        """The study's adapters. That of a local study reads the environment of the steps only if it needs it."""
        from maestro_es.adapters.local import LocalAdapter  # noqa: PLC0415 - commands that only read need no adapter

        batch = self.graph.study.adapter
        environment = Environment() if is_local(batch) else self.environment
        adapters = self.runtime.adapters(batch, self.runtime.host._replace(environment=environment))
        if isinstance(adapters.local, LocalAdapter):
            adapters.local.environment = lambda: self.environment
        return adapters

    @property
    def environment(self) -> Environment:
        """The environment of the steps. It is read on first use, and again by `check_environment`."""
        if self._environment is None:
            from maestro_es.study.environment_file import environment_of  # noqa: PLC0415 - needed only to start steps

            self._environment = environment_of(self.dir, self.graph.study, self.log)
            self._digest = self.graph.study.environment.digest
        return self._environment

    def check_environment(self, *, thoroughly: bool) -> str:
        """Return why no step can start, if the environment file is missing or was changed (empty: steps can start).

        The file is always read if this is done `thoroughly`. Otherwise it is read only if it has changed, or on first
        use if the study has a scheduler. If the environment has changed, the adapters are created again.
        """
        recorded = self.graph.study.environment
        is_known = self._environment is None or self._digest == recorded.digest
        if not thoroughly and is_known and (not recorded.digest or self.dir.environment(recorded.digest).exists()):
            return "" if is_local(self.graph.study.adapter) else self.environment.problem
        before, self._environment = self._environment, None
        if before not in (None, self.environment):
            self.__dict__.pop("adapters", None)
        return self.environment.problem

    def others(self) -> Sequence[OtherStudy]:
        """Return the other studies of this user that share this host, or a queue. The answer may be a second old."""
        now = self.runtime.now()
        if self._others is None or not 0 <= now - self._others[0] < _FRESH:
            from maestro_es.study.other_studies import other_studies  # noqa: PLC0415 - needed only to start steps

            self._others = now, other_studies(self.graph.study.study_id, self.dir.root, self.runtime)
        return self._others[1]

    def ask_host(self, step: StepRecord) -> JobInfo | None:
        """Return the state of a local step on this host (None: only another host knows it).

        Unreachable if there is no answer.
        """
        from maestro_es.adapters.local import ask_host  # noqa: PLC0415 - likewise

        return ask_host(self.adapters.local, step, {}, self.graph.study, self.runtime.host)

    def request(self, decide: Callable[[ProjectedGraph], list[NewEvent]]) -> list[NewEvent]:
        """Append the events that `decide` returns for the state.

        If another process has appended in the meantime, `decide` is called again for the new state, even after a
        refusal. If the events end steps without success, the steps that depend on them fail too.
        """
        relocation(self.dir, self.graph)
        for remaining in reversed(range(_TRIES)):
            head = self.log.head
            try:
                with self.log.transaction():
                    new_events = decide(self.graph)
                    self.record(new_events)
            except (ConcurrentAppend, RequestRefused):
                if not remaining or self.log.head == head:
                    raise
                self.log.refresh()
            else:
                break
        if new_events:
            self.runtime.on_effect("append")
        return new_events

    def record(self, new_events: list[NewEvent]) -> None:
        """Record events inside a transaction. If steps end without success, the steps that depend on them fail too.

        If very many steps depend on them, later ticks end some of these.

        If this is a copy of a study that still exists, raise StudyCopied and record nothing.
        """
        relocation(self.dir, self.graph)
        self.log.record(new_events)
        failed = [*ended_badly(new_events), *waiting_in_vain(self.graph, new_events)]
        part = Part()
        self.log.record(part.take(fail_descendants(self.graph, self.runtime.now(), failed)))
        self.log.record(part.mark_rest(self.graph.study))

    def locate(self) -> None:
        """Record the path of the study, if it has moved. StudyCopied if it is a copy."""
        new_events = relocation(self.dir, self.graph)
        if new_events:
            self.log.append(new_events)


def relocation(study_dir: StudyDir, graph: Graph) -> list[NewEvent]:
    """Return the event to record if a study is not where its log says. StudyCopied if it is a copy.

    A copy must not touch the jobs of the original.
    """
    before, root = graph.study.root, str(study_dir.root)
    if before in ("", root) or _is_same(before, root):
        return []
    study_id = graph.study.study_id
    for original in (Path(before), _registered(study_id)):
        if original and not _is_same(original, root) and study_id_at(original) == study_id:
            raise StudyCopied(
                f"{root}: a copy of {original}, whose log is still there; work on the original, or move it away first"
            )
    return [(None, e.StudyRelocated(before=before, after=root))]


def _registered(study_id: str) -> Path | None:
    """Return the directory of a study in this user's list. The original may have moved since a copy was made."""
    from maestro_es.study.registry import registered_at  # noqa: PLC0415 - few studies are moved

    with contextlib.suppress(OSError, RuntimeError):  # this user has no home directory
        return registered_at(study_id)
    return None


def _is_same(before: str | Path, root: str) -> bool:
    """Return whether two paths lead to the same directory, through a symbolic link or two mounts."""
    try:
        return os.path.samefile(before, root)
    except OSError:
        return False
