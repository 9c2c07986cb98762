"""What the next tick would do: the same look and the same rules, over a replay in memory, and no effect.

Nothing is written, claimed, removed, locked, submitted or ended; schedulers are asked as a tick asks them. What they
would answer to what is not done is not known: foreseen is all up to the submissions and the ends of jobs, not what
comes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from maestro_es.adapters.base import Adapters
from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.decide import complete, decide, ended_badly, fail_descendants, submissions
from maestro_es.core.decide import look_back as decide_again
from maestro_es.core.events import NewEvent
from maestro_es.core.evidence import Claim, ClaimState
from maestro_es.core.graph import Graph, MemoryGraph
from maestro_es.core.model import Cause, StepRecord, StudyStatus
from maestro_es.core.observations import Observations
from maestro_es.core.outcomes import ScriptFailed, outcome_events
from maestro_es.core.reconcile import jobs_to_end
from maestro_es.core.reducer import apply
from maestro_es.errors import RequestRefused, StudyError, Unreachable
from maestro_es.poller import claims, last_tick
from maestro_es.poller.environment_file import environment_of
from maestro_es.poller.maestro_requests import read_request, waiting_requests
from maestro_es.poller.observe import look_back, observe, unreachable_name
from maestro_es.poller.open_study import Runtime, relocation
from maestro_es.poller.study_dir import StudyDir
from maestro_es.poller.tick_inputs import TickInputs
from maestro_es.poller.workspace import plan_job
from maestro_es.store.study_log import StudyLog

#: What stands for the random end of the tokens that the tick will make.
SUFFIX = "dry"


class Command(NamedTuple):
    """A command that would be run, as a list of arguments; `step` is the one that it submits, if any."""

    argv: list[str]
    step: int | None = None


@dataclass
class Foreseen:
    """What the next tick would do: append `new_events`, make `claims`, run `commands`.

    `graph` is the state after that. `remarks` are lines that a person must read; `unreachable` maps schedulers that
    did not answer to what they said.
    """

    graph: MemoryGraph
    new_events: list[NewEvent] = field(default_factory=list)
    claims: list[Path] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)

    def name_of(self, step: int) -> str:
        """Return the name of a step."""
        return self.graph.step(step).name


def foresee(log: StudyLog, study: StudyDir, runtime: Runtime, what_if: Mapping[str, int] | None = None) -> Foreseen:
    """Return what a tick would do now, if first the settings were as `what_if` says: see `requests.update`.

    With the name "paused" that takes 0 or 1, too. RequestRefused, StudyError and the like are what a tick would raise.
    """
    study.check_owner()
    last_tick.check(study, log)
    tick = _DryTick(log, study, runtime)
    for name, value in (what_if or {}).items():
        tick.record(_changed(tick.graph, name, value))
    tick.found.new_events.clear()  # what a person would have done before
    tick.record(relocation(study, tick.graph))
    tick.take_requests()
    if tick.graph.study.status is StudyStatus.RUNNING:
        (tick.write_scripts if tick.graph.study.settings.dry_run else tick.go)()
        tick.record(complete(tick.graph))
    else:
        tick.look_back()
    return tick.found


def _changed(graph: Graph, name: str, value: int) -> list[NewEvent]:
    if name != "paused":
        return requests.update(graph, {name: value})
    if graph.study.paused is bool(value):
        return []
    return requests.pause(graph) if value else requests.resume(graph)


class _DryTick:
    """A tick whose events go into memory, and all else into what is `found`."""

    def __init__(self, log: StudyLog, study: StudyDir, runtime: Runtime) -> None:
        self._log = log
        self._dir = study
        self._context = runtime
        self.graph = log.replay(upto=log.head.seq)
        self.found = Foreseen(self.graph)
        self._seq = log.head.seq
        self._now = max(runtime.now(), log.head.recorded_at)
        self._apply(None, log.identity)  # a tick that writes says first who it is

    def _apply(self, step: int | None, event: e.AnyEvent) -> None:
        self._seq += 1
        apply(self.graph, e.Recorded(self._seq, self._now, self._log.head.seq + 1, step, event))

    def record(self, new_events: list[NewEvent]) -> None:
        """Fold events, and note them."""
        for step, event in new_events:
            self._apply(step, event)
        self.found.new_events.extend(new_events)

    def take_requests(self) -> None:
        """Read what Maestro's client asks."""
        for path, info in waiting_requests(self._dir):
            try:
                rule = read_request(path, info, self._log)
                self.record(rule(self.graph) if rule else [])
            except RequestRefused as error:
                self.found.remarks.append(f"{path}: would be refused: {error}")
            except ValueError as error:
                self.found.remarks.append(f"{path}: {error}; it would be moved to {path.name}.bad")

    def go(self) -> None:
        """Look, decide, and say what would be run."""
        host = self._context.host
        study = self.graph.study
        environment = environment_of(self._dir, study, self._log)
        adapters = self._context.adapters(study.adapter, host._replace(environment=environment))
        last = self._dir.ticked_at()
        inputs = TickInputs(self._context.now(), host, SUFFIX, last_tick=last, no_environment=environment.problem)
        observed = observe(self.graph, self._dir, adapters, inputs, self._would_abandon)
        seen = observed.observations
        self.found.unreachable.update(observed.unreachable)
        before = len(self.found.new_events)
        decide(self.graph, seen, self.record)
        self._end_jobs(adapters, seen)
        for number in submissions(self.found.new_events[before:]):
            self._submit(adapters, self.graph.step(number))

    def look_back(self) -> None:
        """Say what would be recorded of a study that has ended."""
        host = self._context.host
        past = look_back(self.graph, self._dir, host)
        seen = Observations(
            now=self._now, host=host.name, boot_id=host.boot_id, token_suffix=SUFFIX, cores=host.cores,
            machine=host.machine, booted_at=host.booted_at, last_boot=past,
        )  # fmt: skip
        decide_again(self.graph, seen, self.record)

    def _would_abandon(self, workspace: Path, token: str) -> Claim:
        claim = claims.read_claim(workspace, token)
        if claim.state is not ClaimState.NONE:
            return claim
        self.found.claims.append(claims.claim_path(workspace, token))
        return Claim(ClaimState.ABANDONED)

    def _end_jobs(self, adapters: Adapters, seen: Observations) -> None:
        steps = jobs_to_end(self.graph, seen)
        for scheduled, adapter in ((False, adapters.local), (True, adapters.scheduler)):
            mine = [step for step in steps if step.scheduled is scheduled]
            if mine:
                try:
                    self.found.commands.extend(map(Command, adapter.cancel_commands(mine)))
                except Unreachable as error:
                    self.found.unreachable[unreachable_name(adapter, error)] = str(error)

    def _submit(self, adapters: Adapters, step: StepRecord) -> None:
        adapter = adapters.of(step)
        why = "its script can't be written: "
        try:
            job = plan_job(self.graph, step, self._dir, adapter, adapters.scheduler).job
            why = ""
            command = adapter.submission(job)
        except (ValueError, StudyError) as error:
            outcome = ScriptFailed(f"{why}{error}")
            events = outcome_events(self.graph, step.number, step.token, outcome, self._context.now())
            self._record_with_descendants([(step.number, event) for event in events])
        else:
            self.found.commands.append(Command(command, step.number))

    def _record_with_descendants(self, new_events: list[NewEvent]) -> None:
        self.record(new_events)
        self.record(fail_descendants(self.graph, self._context.now(), ended_badly(new_events)))

    def write_scripts(self) -> None:
        """Say of which steps the scripts would be written, level by level, in a study that runs nothing."""
        adapters = self._context.adapters(self.graph.study.adapter, self._context.host)
        while True:
            ready = [
                step
                for scheduled in (False, True)
                for step in self.graph.ready(scheduled=scheduled, limit=self.graph.study.steps)
            ]
            if not ready:
                return
            self._record_with_descendants([(step.number, self._write(adapters, step)) for step in ready])

    def _write(self, adapters: Adapters, step: StepRecord) -> e.AnyEvent:
        now = self._context.now()
        try:
            plan_job(self.graph, step, self._dir, adapters.of(step), adapters.scheduler)
        except (ValueError, StudyError) as error:
            return e.StepFailed(at=now, cause=Cause.SCRIPT, message=f"its script can't be written: {error}")
        return e.StepDryRun(at=now)
