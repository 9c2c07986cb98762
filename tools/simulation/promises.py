"""Checks every promise of docs/reliability.md after each event of a simulated week.

The log is compared with the ledger, which knows what has really happened. The files are compared with the log.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from maestro_es.core import events as e
from maestro_es.core.events import NewEvent, Recorded
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import IN_FLIGHT, Phase, StudyStatus
from maestro_es.core.reducer import apply
from maestro_es.errors import InvalidTransition, MaestroError
from maestro_es.poller.preview import Prediction
from maestro_es.store.study_log import StudyLog
from maestro_es.store.verification import verify
from maestro_es.study.invocation import Runtime, identity
from maestro_es.study.status_csv import maestro_text
from tools.simulation.cluster import Cluster
from tools.simulation.ledger import Ledger, step_of
from tools.simulation.runner import Site
from tools.simulation.truth import Truth
from tools.testbed.foreseen import told

#: The events that record the outcome of a submission. A prediction can't know them.
_OUTCOMES = (
    e.JobSubmitted, e.SubmissionRejected, e.SubmissionUncertain, e.SubmissionWithdrawn, e.ScriptSetAside,
    e.InvocationStarted,
)  # fmt: skip

#: The number of cores of each host.
_CORES = 4


class Promises:
    """Follows the log with a graph of its own. `counts` has the number of events of each type."""

    def __init__(self, site: Site, runtime: Runtime, ledger: Ledger, cluster: Cluster) -> None:
        self.graph = MemoryGraph()
        self.counts: Counter[str] = Counter()
        self._truth = Truth(self.graph, site, ledger)
        self._site = site
        self._ledger = ledger
        self._cluster = cluster
        self._runtime = runtime
        self._log = self._open()
        self._seq, self._digest = 0, b""
        self._must_fail: int | None = None

    def _open(self) -> StudyLog:
        who = identity(self._runtime.host, self._runtime.driver)
        return StudyLog.open(self._site.root / "events.db", self._runtime.now, who, fold=False, migrate=False)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def is_current(self, token: str) -> bool:
        """Return whether the log has this attempt in flight."""
        self.look()
        step = self.graph.step(step_of(token))
        return step.token == token and step.phase in IN_FLIGHT

    def moved(self) -> None:
        """Follow the study to its new directory."""
        self._log.close()
        self._log = self._open()

    def look(self) -> None:
        """Check the new events, and that the old ones are unchanged."""
        self._log.refresh_head()
        head = self._log.head
        if head.seq < self._seq or (self._seq and not self._log.holds(self._seq, self._digest)):
            self._ledger.blame("the log is not append-only")
        if head.seq <= self._seq:
            return
        for recorded in [*self._log.events(after=self._seq)]:
            self._take(recorded)
        self._seq, self._digest = head.seq, head.digest

    def _take(self, recorded: Recorded) -> None:
        event = recorded.event
        self.counts[type(event).__name__] += 1
        step = self.graph.step(recorded.step) if recorded.step and recorded.step <= self.graph.study.steps else None
        if self._must_fail is not None:
            if not (isinstance(event, (e.StepFailed, e.StepCancelled)) and recorded.step == self._must_fail):
                self._ledger.blame(f"step {self._must_fail} goes on beyond its limit of hardware failures")
            self._must_fail = None
        for problem in self._truth.problems(step, event):
            self._ledger.blame(f"event {recorded.seq}, {type(event).__name__} of step {recorded.step}: {problem}")
        try:
            apply(self.graph, recorded)
        except InvalidTransition as error:
            self._ledger.blame(f"event {recorded.seq} can't follow: {error}")
        by_user = isinstance(event, e.HardwareFailed) and event.evidence and event.evidence[0].source == "user"
        if isinstance(event, e.HardwareFailed) and event.limit and event.number > event.limit and not by_user:
            self._must_fail = recorded.step
        if isinstance(event, e.SubmissionRequested):
            self._check_throttle(recorded.seq, is_job=self.graph.step(recorded.step or 0).scheduled)

    def _check_throttle(self, seq: int, *, is_job: bool) -> None:
        """Check the number of attempts in flight after the request of one. Others may have begun at a higher limit."""
        settings, in_flight = self.graph.study.settings, [*self.graph.in_flight()]
        scheduled = sum(step.scheduled for step in in_flight)
        local = len(in_flight) - scheduled
        if is_job and settings.submission_throttle and scheduled > settings.submission_throttle:
            self._ledger.blame(f"event {seq}: {scheduled} jobs, but the throttle is {settings.submission_throttle}")
        if not is_job and local > (settings.local_slots or _CORES):
            self._ledger.blame(f"event {seq}: {local} local steps are more than the slots")

    # -- files --------------------------------------------------------------------------------------------------------

    def after_tick(self, *, clean: bool) -> None:
        """Check the log, and after an undisturbed tick also what the tick should have done."""
        self.look()
        if clean:
            self._check_status()
            self._check_cancels()

    def _check_status(self) -> None:
        """Compare the columns of ``status.csv`` that do not depend on the time."""
        path = self._site.root / "status.csv"
        text = path.read_text() if path.exists() else ""
        expected = maestro_text(self.graph.steps(), 0)
        if _columns(text) != _columns(expected) and not self.graph.study.cascading:
            self._ledger.blame(f"status.csv differs from the log:\n{text}\n-- expected:\n{expected}")

    def _check_cancels(self) -> None:
        """After a tick to which everybody has answered, each job of a cancelled step was told to end."""
        for step in self.graph.in_flight():
            if step.phase is not Phase.SUBMITTED or not (step.cancelling or self.graph.study.cancelling):
                continue
            run = self._ledger.last(step.token)
            told_to = self._ledger.cancelled | self._ledger.signalled | self._ledger.hurt | self._ledger.excused
            if run and run.is_alive and step.scheduled and step.token not in told_to:
                self._ledger.blame(f"{step.name} is cancelled, and nobody has told its job to end")

    def compare(self, prediction: Prediction, seq: int, suffixes: set[str]) -> None:
        """Compare the prediction of a tick with its events, up to the first outcome of a submission."""
        actual: list[NewEvent] = []
        for recorded in self._log.events(after=seq):
            if isinstance(recorded.event, _OUTCOMES) and not _is_adopted(recorded.event):
                if isinstance(recorded.event, e.InvocationStarted):
                    continue
                break
            actual.append((recorded.step, recorded.event))
        foreseen, real = told(prediction.new_events, set()), told(actual, suffixes)
        if foreseen[: len(real)] != real:
            self._ledger.blame(f"a dry tick predicts {foreseen}, and the tick writes {real}")

    def verify(self) -> None:
        """Check that the projections equal a replay, and that the chain of digests is complete."""
        with StudyLog.open(self._log.path, self._runtime.now, self._log.identity) as log:
            try:
                verify(log)
            except MaestroError as error:
                self._ledger.blame(f"verify: {error}")

    def shape(self) -> str:
        """Return a fingerprint of the log, without the directory and the writers, which differ from run to run."""
        digest = hashlib.sha256()
        for recorded in self._log.events():
            if not isinstance(recorded.event, e.InvocationStarted):
                text = repr((recorded.seq, recorded.recorded_at, recorded.step, recorded.event))
                digest.update(text.replace(str(self._site.root.parent), "").encode())
        return digest.hexdigest()[:16]

    def is_over(self) -> bool:
        """Return whether the study has ended."""
        self.look()
        return self.graph.study.status is not StudyStatus.RUNNING

    def check_end(self) -> None:
        """Check that a study that has ended has no step left."""
        for step in self.graph.steps():
            if step.phase is not Phase.DONE:
                self._ledger.blame(f"the study has ended, but {step.name} is {step.state.name}, {step.phase.name}")
            if any(run.is_alive and run.token not in self._ledger.excused for run in self._ledger.alive(step.number)):
                self._ledger.blame(f"the study has ended, but {step.name} still runs")


def _is_adopted(event: e.AnyEvent) -> bool:
    return isinstance(event, e.JobSubmitted) and event.adopted


def _columns(text: str) -> list[tuple[str, ...]]:
    """Return the columns with the name, the job, the workspace, the state and the restarts of each step."""
    rows = (line.split(",") for line in text.splitlines())
    return [(*row[:4], row[9]) for row in rows]
