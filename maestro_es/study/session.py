"""A study directory with its log open: what ticks work on, and what `ExecutionGraph` keeps to itself.

Ticks, requests and commands decide elsewhere; a session holds what they share: the directory, the log, the adapters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from maestro_es.adapters.base import Adapters, JobInfo
from maestro_es.adapters.local import ask_host
from maestro_es.core import events as e
from maestro_es.core.decide import ended_badly, fail_descendants, waiting_in_vain
from maestro_es.core.environment import Environment
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import Micros, StepRecord, StudyStatus, is_local
from maestro_es.core.submission import NO_SCRIPT, Outcome, SubmittedScript
from maestro_es.errors import ConcurrentAppend, RequestRefused, StudyCopied, Unreachable
from maestro_es.store.projection import ProjectedGraph
from maestro_es.store.study_log import StudyLog
from maestro_es.study.invocation import Runtime, identity, study_id_at
from maestro_es.study.layout import StudyDir

#: How often a request is decided again when others append at the same time.
_TRIES = 20


class Submitted(NamedTuple):
    """What came of submitting one attempt of a step, and when that was."""

    step: int
    token: str
    outcome: Outcome
    at: Micros
    script: SubmittedScript = NO_SCRIPT


class Session:
    """A study: its directory `dir`, its `log`, the graph that this adds up to, and outcomes not appended yet.

    A caller that has opened the log, or a copy of it for a preview, passes it.

    `remarks` are lines that a person must read, `notices` such as are no fault; ticks add to them. `last_error` is
    what was said instead of an answer, if its scheduler has left a question of the last tick without one.
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
        self._environment: Environment | None = None
        self._digest = ""

    @classmethod
    def ours(cls, root: Path, runtime: Runtime | None = None) -> Session:
        """Open a study that only this user can change. NotOurs before the file is touched, if others can."""
        StudyDir(root).check_owner()
        return cls(root, runtime)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    @property
    def graph(self) -> ProjectedGraph:
        """The state."""
        return self.log.graph

    @property
    def status(self) -> StudyStatus:
        """The state of the study as a whole."""
        return self.log.graph.study.status

    @cached_property
    def adapters(self) -> Adapters:
        """The study's adapters. The local one has no use for the environment before there is a step to start."""
        batch = self.graph.study.adapter
        environment = Environment() if is_local(batch) else self.environment
        return self.runtime.adapters(batch, self.runtime.host._replace(environment=environment))

    @property
    def environment(self) -> Environment:
        """What steps start in; read when it is first asked for, and then by `check_environment`."""
        if self._environment is None:
            from maestro_es.study.environment_file import environment_of  # noqa: PLC0415 - for what is started only

            self._environment = environment_of(self.dir, self.graph.study, self.log)
            self._digest = self.graph.study.environment.digest
        return self._environment

    def check_environment(self, *, thoroughly: bool) -> str:
        """Return why no step can start, if that is so: the file of the environment is missing or has been changed.

        Unless this is done `thoroughly`, it is read for a scheduler only, and once. An adapter that was made with
        another one is made again.
        """
        recorded = self.graph.study.environment
        is_known = self._environment is None or self._digest == recorded.digest
        if not thoroughly and is_known and (not recorded.digest or self.dir.environment(recorded.digest).exists()):
            return "" if is_local(self.graph.study.adapter) else self.environment.problem
        before, self._environment = self._environment, None
        if before not in (None, self.environment):
            self.__dict__.pop("adapters", None)
        return self.environment.problem

    def ask_host(self, step: StepRecord) -> JobInfo | None:
        """Return what this host knows of a local step, None if only another one can tell. Unreachable: no answer."""
        return ask_host(self.adapters.local, step, {}, self.graph.study, self.runtime.host)

    def request(self, decide: Callable[[ProjectedGraph], list[NewEvent]]) -> list[NewEvent]:
        """Append what `decide` makes of the state; if others appended first, it decides again, on a refusal too.

        Steps that the events end badly take with them what waits for them.
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
        """Record events inside a transaction, and with them the end of what waits for a step that ends badly.

        StudyCopied, and nothing is recorded, if this is a copy of a study that is still there.
        """
        relocation(self.dir, self.graph)
        self.log.record(new_events)
        failed = [*ended_badly(new_events), *waiting_in_vain(self.graph, new_events)]
        self.log.record(fail_descendants(self.graph, self.runtime.now(), failed))

    def locate(self) -> None:
        """Note where the study is, if it has moved. StudyCopied if it is a copy."""
        new_events = relocation(self.dir, self.graph)
        if new_events:
            self.log.append(new_events)


def relocation(study_dir: StudyDir, graph: Graph) -> list[NewEvent]:
    """Return what is to be noted if a study is not where its log says. A copy must not touch the other's jobs."""
    before, root = graph.study.root, str(study_dir.root)
    if before in ("", root) or _is_same(before, root):
        return []
    if study_id_at(Path(before)) == graph.study.study_id:
        raise StudyCopied(
            f"{root}: a copy of {before}, whose log is still there; work on that one, or move it away first"
        )
    return [(None, e.StudyRelocated(before=before, after=root))]


def _is_same(before: str, root: str) -> bool:
    """Whether two paths lead to one directory: by a symbolic link, or as it is mounted at two places."""
    try:
        return os.path.samefile(before, root)
    except OSError:
        return False
