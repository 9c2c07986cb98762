"""Collects the observations of a tick about the attempts in flight.

The order matters. A runner reports before its job leaves the queue, so the queue is queried before the inbox is read.
If a job is gone then and has no report, it has normally ended without a report.

`maestro_es.core.verdict` decides what the observations prove. The only effect of this module is that it calls `fence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from maestro_es.adapters.base import Adapter, Adapters, CarriesOutput, JobInfo, QueueEntry
from maestro_es.adapters.local import ask_host, is_namesakes
from maestro_es.core.attempt_token import placement_of
from maestro_es.core.grace import INSIDE_GRACE, LISTED_GRACES, within_grace
from maestro_es.core.graph import Graph
from maestro_es.core.hosts import advice
from maestro_es.core.model import ENVIRONMENT, UNWATCHED, JobState, Phase, State, StepRecord
from maestro_es.core.observations import (
    Answer,
    AttemptObservation,
    Claim,
    ClaimState,
    NoAnswer,
    Observations,
    Report,
    ReportKind,
    end_of,
    of_runner,
    reports_by_token,
    stale_reports,
    without_forced_end,
)
from maestro_es.core.verdict import GIVES_UP, LISTED, Conclusion, judge
from maestro_es.errors import NotAsked, Unreachable
from maestro_es.poller.inputs import TickInputs
from maestro_es.poller.last_boot import look_back
from maestro_es.study import claims
from maestro_es.study.layout import StudyDir
from maestro_es.study.reports import read_reports

if TYPE_CHECKING:
    from maestro_es.poller.prefetch import QueueSnapshot

#: In these states, the exit code of a job is its runner's exit code. The runner may have refused to start the step.
_ENDED = (
    JobState.FINISHED, JobState.FAILED, JobState.FAILED_AGAIN, JobState.CANCELLED_ON_NODE, JobState.UNSUPERVISED,
)  # fmt: skip


class Observed(NamedTuple):
    """The result: `observations` for the rules, and the `reports` from the inbox.

    `unreachable` maps each scheduler that did not answer to its message. `last_error` is the scheduler's error, if it
    did not answer a query. `has_orphans` says whether processes are still running without their runner.
    """

    observations: Observations
    reports: Sequence[Report]
    unreachable: Mapping[str, str]
    last_error: Unreachable | None
    has_orphans: bool


class Observer:
    """Queries the schedulers and reads the inbox. `observe` can be called once.

    `fence` takes the claim of an attempt that the tick is about to abandon, and returns the claim that exists then.
    This is the only effect. `snapshot` holds the prefetched answer of the scheduler. With `local`, the scheduler is
    not queried, and its steps are left out.
    """

    #: The message about another host with the same name, if such a host runs steps of the study.
    _namesakes = ""

    def __init__(
        self,
        graph: Graph,
        study_dir: StudyDir,
        adapters: Adapters,
        inputs: TickInputs,
        fence: Callable[[Path, str], Claim],
        snapshot: QueueSnapshot | None = None,
        *,
        local: bool = False,
    ) -> None:
        self._fence = fence
        self._graph = graph
        self._study_dir = study_dir
        self._adapters = adapters
        self._inputs = inputs
        self._snapshot = snapshot
        self._local = local
        problem = inputs.no_environment
        #: The schedulers that did not answer, and their messages.
        self._unreachable: dict[str, str] = {ENVIRONMENT: problem} if problem else {}
        self._answered: set[str] = set() if problem is None else {ENVIRONMENT} if problem else {ENVIRONMENT, UNWATCHED}
        self._has_orphans = False
        self._usages = inputs.usages
        #: Whether the scheduler did not answer or was not queried. If so, the tick calls it for nothing else.
        self._scheduler_down = local
        self._last_error: Unreachable | None = None

    def observe(self) -> Observed:
        """Query the schedulers, read the inbox, and take the claims of attempts that the tick will abandon."""
        in_flight = [step for step in self._graph.in_flight() if not (self._local and step.scheduled)]
        known = self._snapshot.claims if self._snapshot else {}
        claims_read = {
            step.token: known.get(step.token) or self._claim(step)
            for step in in_flight
            if step.phase is Phase.REQUESTED
        }
        seen = self._ask(in_flight, claims_read)
        reports = read_reports(self._study_dir.inbox)
        self._usages = {**self._usages, **{each.token: each.usage for each in reports if each.usage}}
        by_token = reports_by_token(reports)
        attempts = {
            step.token: self._observe_attempt(
                step, by_token.get(step.token, ()), seen.get(step.token), claims_read.get(step.token)
            )
            for step in in_flight
        }
        self._recall(in_flight, attempts)
        for step in in_flight:
            attempts[step.token] = self._reconcile_doubt(step, attempts[step.token])
        observations = self._observations(in_flight, attempts, reports)
        if self._namesakes:  # this is not an error of the host, so there is no event
            self._unreachable.setdefault(self._adapters.local.name, self._namesakes)
        return Observed(observations, reports, self._unreachable, self._last_error, self._has_orphans)

    def _observations(
        self,
        in_flight: Sequence[StepRecord],
        attempts: Mapping[str, AttemptObservation],
        reports: Sequence[Report],
    ) -> Observations:
        inputs, host = self._inputs, self._inputs.host
        return Observations(
            now=inputs.now,
            host=host.name,
            boot_id=host.boot_id,
            token_suffix=inputs.token_suffix,
            size=host.size,
            ahead=inputs.ahead,
            attempts=attempts,
            stale_reports=stale_reports(self._graph, reports, set(attempts)),
            unreachable=dict(self._unreachable),
            scheduler_down=self._scheduler_down,
            answered=frozenset(self._answered - self._unreachable.keys()),
            last_tick=inputs.last_tick,
            machine=host.machine,
            booted_at=host.booted_at,
            last_boot=look_back(self._graph, self._study_dir, host, in_flight),
            job=host.job,
            namesake=bool(self._namesakes),
            leaving=inputs.leaving,
            brief=inputs.brief,
            usages=self._usages,
            # This comes last, because other drivers in the job may start steps while a scheduler answers slowly.
            allocation=inputs.allocation() if inputs.allocation else None,
            others=inputs.others,
        )

    def _claim(self, step: StepRecord) -> Claim:
        try:
            claim = claims.read_claim(self._study_dir.path(step.workspace), step.token)
        except OSError as error:
            self._unreachable["files"] = f"{step.workspace}: {error.strerror}"
            return Claim()
        self._answered.add("files")
        return claim

    def _ask(self, in_flight: Sequence[StepRecord], claims_read: Mapping[str, Claim]) -> dict[str, JobInfo | NoAnswer]:
        """Query the host about each local step, and the scheduler once about all its jobs."""
        scheduler = self._adapters.scheduler
        local_steps = [step for step in in_flight if not step.scheduled]
        queued = [step for step in in_flight if step.scheduled]
        answers = self._ask_host(local_steps, claims_read)
        if queued or (self._snapshot and not self._inputs.no_environment):
            try:
                answers.update(scheduler.query_queue(queued, claims_read, self._listed()))
                self._answered.update((scheduler.name, UNWATCHED))
            except Unreachable as error:
                self._scheduler_down, self._last_error = True, error
                self._unreachable[_unreachable_name(scheduler, error)] = str(error)
                answers.update((step.token, NoAnswer.UNREACHABLE) for step in queued)
        return answers

    def _ask_host(
        self, local_steps: Sequence[StepRecord], claims_read: Mapping[str, Claim]
    ) -> dict[str, JobInfo | NoAnswer]:
        """Query this host about each of its steps."""
        local, host = self._adapters.local, self._inputs.host
        answers: dict[str, JobInfo | NoAnswer] = {}
        namesakes = []
        for step in local_steps:
            try:
                seen = ask_host(local, step, claims_read, self._graph.study, host)
                self._answered.add(local.name)
            except Unreachable as error:
                self._unreachable[local.name] = str(error)
                answers[step.token] = NoAnswer.UNREACHABLE
                continue
            if seen:
                answers[step.token] = seen
            elif is_namesakes(step, host):
                namesakes.append(step.name)
        self._namesakes = advice(host.name, namesakes) if namesakes else ""
        return answers

    def _listed(self) -> Sequence[QueueEntry] | None:
        """Return the prefetched list of jobs, if there is one."""
        answer = self._snapshot.answer if self._snapshot else None
        if isinstance(answer, Unreachable):
            raise answer
        return answer

    def _recall(self, in_flight: Sequence[StepRecord], attempts: dict[str, AttemptObservation]) -> None:
        """Query the accounting, once, for jobs that are not in the queue and whose reports do not suffice."""
        gone = [
            step
            for step in in_flight
            if step.scheduled
            and step.phase is Phase.SUBMITTED
            and attempts[step.token].is_unexplained
            and not placement_of(step.token)
        ]
        if not gone:
            return
        from maestro_es.poller.unsupervised import with_reason  # noqa: PLC0415 - it is rarely needed

        try:
            answers: Mapping[str, JobInfo | NoAnswer] = self._adapters.scheduler.query_accounting(gone)
        except Unreachable as error:
            self._unreachable[_unreachable_name(self._adapters.scheduler, error)] = str(error)
            answers = {step.token: NoAnswer.UNREACHABLE for step in gone}
        for step in gone:
            observed = attempts[step.token]
            answer = answers.get(step.token, NoAnswer.NOT_ASKED)
            if isinstance(answer, JobInfo):
                if answer.may_reappear and observed.within_grace and not self._is_cancelled(step):
                    answer = structs.replace(answer, state=JobState.GONE)
                observed = structs.replace(
                    observed, accounting=answer.state, raw_state=answer.raw_state, exit_code=answer.exit_code,
                    ended_at=end_of(step, answer.ended_at, self._inputs.now),
                    within_grace=observed.within_grace
                    or (answer.state in LISTED and self._within_grace(step, LISTED_GRACES)),
                )  # fmt: skip
            else:
                observed = structs.replace(observed, accounting=answer)
            attempts[step.token] = with_reason(self._graph, step, observed)

    def _observe_attempt(
        self, step: StepRecord, reports: Sequence[Report], seen: JobInfo | NoAnswer | None, claim: Claim | None
    ) -> AttemptObservation:
        """Return the observation of one attempt. `claim` is its claim, if it was read before.

        Otherwise the claim is read now, if it is needed. It shows whether the step has started, and which job sent the
        reports.
        """
        known = step.state is State.RUNNING or (claim is not None and claim.state is ClaimState.JOB)
        if reports and claim is not None and claim.state is ClaimState.NONE:
            claim = self._claim(step)  # the claim was created after the first reading
        observed = AttemptObservation(
            claim=claim or Claim(), reports=tuple(reports), usage=self._usages.get(step.token),
            within_grace=self._within_grace(step), start_recorded=known,
            is_fragile=step.scheduled and isinstance(self._adapters.scheduler, CarriesOutput),
        )  # fmt: skip
        observed = self._with_answer(step, observed, seen)
        if isinstance(seen, JobInfo) and seen.may_reappear and not observed.end:
            observed = structs.replace(observed, queue=JobState.GONE, within_grace=True)
        begins = observed.queue is JobState.RUNNING and not (known or observed.has_started)
        if claim is None and (not observed.end or observed.interrupted) and (begins or observed.queue in _ENDED):
            claim = self._claim(step)
            observed = structs.replace(observed, claim=claim)
        if placement_of(step.token):
            observed = of_runner(observed, is_new=0 <= self._inputs.now - (step.requested_at or 0) < INSIDE_GRACE)
        if observed.queue is JobState.UNSUPERVISED:
            from maestro_es.poller.unsupervised import still_runs  # noqa: PLC0415 - it is rarely needed

            may_run, until = still_runs(self._graph, step, observed.claim, self._inputs.host, self._inputs.now)
            return structs.replace(observed, may_run=may_run, may_run_until=until)
        if not observed.is_gone or observed.report(ReportKind.EXIT):
            return observed
        if claim is None:
            observed = structs.replace(observed, claim=self._claim(step))
        return self._see_orphans(step, observed)

    def _with_answer(
        self, step: StepRecord, observed: AttemptObservation, seen: JobInfo | NoAnswer | None
    ) -> AttemptObservation:
        if isinstance(seen, JobInfo):
            return structs.replace(
                observed, queue=seen.state, raw_state=seen.raw_state, exit_code=seen.exit_code,
                job_id=seen.job_id, host=seen.host, instance=seen.instance, delay=seen.delay,
                began_at=seen.began_at, ended_at=end_of(step, seen.ended_at, self._inputs.now),
                usage=seen.usage or observed.usage,
            )  # fmt: skip
        if seen is None:
            return observed
        observed = structs.replace(observed, queue=seen)
        return observed if step.scheduled else without_forced_end(observed)

    def _see_orphans(self, step: StepRecord, observed: AttemptObservation) -> AttemptObservation:
        """Check whether processes of an attempt are still running although its job is gone."""
        queue: Answer = JobState.ORPHANED
        adapter = self._adapters.of(step)
        try:
            if step.token in self._inputs.ended or not adapter.has_orphans(_with_job(step, observed)):
                return observed
            self._has_orphans = True
        except Unreachable as error:
            self._unreachable[adapter.name] = str(error)
            queue = NoAnswer.UNREACHABLE
        return without_forced_end(structs.replace(observed, queue=queue))

    def _within_grace(self, step: StepRecord, graces: int = 1) -> bool:
        seconds = graces * self._adapters.of(step).grace_seconds
        if placement_of(step.token):
            seconds = INSIDE_GRACE / 1_000_000
        return within_grace(step, self._inputs.now, seconds, cancelling=self._is_cancelled(step))

    def _is_cancelled(self, step: StepRecord) -> bool:
        return step.cancelling or self._graph.study.cancelling

    def _reconcile_doubt(self, step: StepRecord, observed: AttemptObservation) -> AttemptObservation:
        """Take the claim of an attempt without a report before the attempt is abandoned.

        If the tick gets the claim, the attempt can never start. If the claim belongs to a job that was not in the
        queue before, the attempt has started in the meantime.
        """
        conclusion = judge(observed).conclusion
        if conclusion is not Conclusion.CLAIM and (observed.end or conclusion not in GIVES_UP):
            return observed
        try:
            claim = self._fence(self._study_dir.path(step.workspace), step.token)
        except OSError as error:
            self._unreachable["files"] = f"{step.workspace}: {error.strerror}"
            return structs.replace(observed, queue=NoAnswer.UNREACHABLE, accounting=NoAnswer.NOT_ASKED)
        if conclusion is Conclusion.CLAIM or claim.state is ClaimState.JOB:
            return structs.replace(observed, claim=claim)
        return observed


def _unreachable_name(adapter: Adapter, error: Unreachable) -> str:
    """Return the name under which an adapter that did not answer is recorded."""
    return UNWATCHED if isinstance(error, NotAsked) else adapter.name


def _with_job(step: StepRecord, observed: AttemptObservation) -> StepRecord:
    """Return a step with the job that was found for it, if the log has no job for it yet."""
    if step.job_id:
        return step
    source = observed if observed.job_id else observed.claim
    return structs.replace(step, job_id=source.job_id, job_host=source.host, job_instance=source.instance)
