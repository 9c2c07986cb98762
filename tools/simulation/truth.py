"""Compares each event of the log with what has really happened, and with the limits of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from maestro_es.core import events as e
from maestro_es.core.graph import MemoryGraph
from maestro_es.core.model import BAD_ENDS, Cause, State, StepRecord
from maestro_es.core.observations import ClaimState
from maestro_es.study.claims import read_claim
from tools.simulation.ledger import Ledger
from tools.simulation.runner import Site
from tools.testbed.attempt_truth import AttemptTruth, objection


class Truth:
    """Says what is wrong with an event. `graph` is the state of the study before it."""

    def __init__(self, graph: MemoryGraph, site: Site, ledger: Ledger) -> None:
        self.graph = graph
        self._site = site
        self._ledger = ledger
        self._checks: dict[type, Callable[[StepRecord, Any], Iterator[str]]] = {
            e.SubmissionRequested: self._submission,
            e.StepFailed: self._failure,
            e.StepCancelled: self._cancel,
            e.StepTimedOut: self._timeout,
            e.StepRestarted: self._restart,
            e.HardwareFailed: self._hardware,
            e.JobStarted: self._start,
        }

    def problems(self, step: StepRecord | None, event: e.AnyEvent) -> Iterator[str]:
        """Yield what is wrong with an event. `step` is its step before the event."""
        if step is None:
            return
        wrong = objection(event, self._truth(step, getattr(event, "token", "")))
        if wrong:
            yield wrong
        check = self._checks.get(type(event))
        if check:
            yield from check(step, event)

    def _truth(self, step: StepRecord, token: str) -> AttemptTruth:
        """Return what has really happened to an attempt."""
        run = self._ledger.last(token)
        exit_code = run.code if run and run.end == "exit" else None
        claim = read_claim(self._site.root / step.workspace, token).state
        return AttemptTruth(
            runs=run is not None and run.is_alive,
            exit_code=exit_code,
            was_killed=run is not None and run.end not in ("", "exit"),
            has_told=exit_code == 0 and token not in self._ledger.hurt,
            is_fenced=run is None and claim in (ClaimState.ABANDONED, ClaimState.JOB),
            is_misled=token in self._ledger.excused,
        )

    def _submission(self, step: StepRecord, _event: e.SubmissionRequested) -> Iterator[str]:
        study = self.graph.study
        if step.held or study.paused or study.cancelling or step.cancelling:
            yield "it is held, paused or cancelled"
        parents = {*self.graph.parents(step.number)}
        for template in self.graph.funnels(step.number):
            parents.update(self.graph.instances(template))
        if any(self.graph.step(parent).state not in (State.FINISHED, State.DRYRUN) for parent in parents):
            yield "a step on which it depends has not finished"

    def _failure(self, step: StepRecord, event: e.StepFailed) -> Iterator[str]:
        run, settings = self._ledger.last(event.token or step.token), self.graph.study.settings
        match event.cause:
            case Cause.UPSTREAM:
                is_true = event.blocker is not None and self.graph.step(event.blocker).state in BAD_ENDS
            case Cause.EXIT_CODE:
                is_true = run is not None and run.end == "exit" and run.code == event.exit_code != 0
            case Cause.SCHEDULER:  # the queue does not tell the exit code
                is_true = run is not None and (run.code or 0) > 0
            case Cause.OUT_OF_MEMORY:
                is_true = run is not None and run.end == "memory"
            case Cause.REJECTED:
                enough = step.rejections >= settings.submission_attempts
                is_true = enough and self._ledger.refused[event.token or step.token] > 0
            case Cause.HARDWARE | Cause.LOST:
                hardware = settings.hardware_limit and step.hardware_failures > settings.hardware_limit
                is_true = bool(hardware or (settings.abandon_limit and step.abandoned > settings.abandon_limit))
            case _:
                is_true = False
        if not is_true:
            yield f"it has no cause: {event.cause.value}: {event.message}: {run}"

    def _cancel(self, step: StepRecord, event: e.StepCancelled) -> Iterator[str]:
        if event.blocker is not None:
            asked = self.graph.step(event.blocker).state is State.CANCELLED
        else:
            asked = step.cancelling or self.graph.study.cancelling or event.token in self._ledger.cancelled
        if not asked:
            yield "nobody has cancelled it"

    def _timeout(self, step: StepRecord, event: e.StepTimedOut) -> Iterator[str]:
        run = self._ledger.last(event.token)
        if not run or run.end != "timeout":
            yield f"its walltime was not over: {run}"
        restart = self.graph.template(step.template).run.get("restart")
        may_restart = restart and (not step.restart_limit or step.restarts < step.restart_limit)
        if event.final and may_restart and not (step.cancelling or self.graph.study.cancelling):
            yield f"it could be restarted: {event.final}"

    def _hardware(self, _step: StepRecord, event: e.HardwareFailed) -> Iterator[str]:
        run = self._ledger.last(event.token)
        if run and run.end in ("exit", "timeout", "memory") and event.token not in self._ledger.hurt:
            yield f"nothing was wrong with the hardware: {run}"

    def _restart(self, _step: StepRecord, event: e.StepRestarted) -> Iterator[str]:
        if event.limit and event.number > event.limit:
            yield f"restart {event.number} of at most {event.limit}"

    def _start(self, step: StepRecord, event: e.JobStarted) -> Iterator[str]:
        if read_claim(self._site.root / step.workspace, event.token).state is not ClaimState.JOB:
            yield "it has not started"
