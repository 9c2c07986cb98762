"""Fixtures of the tests that every adapter must pass: the interface of a case, and the cases.

The test sets PATH so that an adapter finds stand-ins for the commands of its scheduler, such as those in
`tests/fakes/slurm_commands.py`. The case "fake" is `tools/testbed/scheduler.py`. Other tests use it instead of a
scheduler, so it must pass the same tests.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from maestro_es.adapters import spawner
from maestro_es.adapters.base import Adapter, Job, JobInfo, Submitting
from maestro_es.adapters.host import this_host
from maestro_es.adapters.registry import ADAPTERS, jobs_of, make_adapter
from maestro_es.core import events as e
from maestro_es.core.model import Settings, StepRecord, SubmissionKind
from maestro_es.core.observations import Claim, Report, ReportKind
from maestro_es.core.submission import Accepted, Outcome
from maestro_es.study.claims import read_claim
from maestro_es.study.invocation import Runtime
from maestro_es.study.maintenance import make_state_dir
from maestro_es.study.reports import read_reports
from maestro_es.study.session import Session
from maestro_es.study.workspace import ScriptOf, write_scripts
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

if TYPE_CHECKING:
    from tests.fakes.batch_commands import BatchCommands
    from tests.fakes.slurm_commands import SlurmCommands

_CAN_SUBMIT = {kind: make_adapter({"type": kind}, this_host()).can_submit for kind in ADAPTERS}

#: The adapters that submit jobs. Each must pass all tests.
SUBMITTING = (*(kind for kind in ADAPTERS if _CAN_SUBMIT[kind]), "fake")


def stand_in(kind: str, folder: Path) -> SlurmCommands | BatchCommands | None:
    """Return stand-ins for the commands of a scheduler: `COMMANDS` of ``tests/fakes/KIND_commands.py``."""
    if kind in {"local", "fake"}:
        return None
    made: SlurmCommands | BatchCommands = importlib.import_module(f"tests.fakes.{kind}_commands").COMMANDS(folder)
    return made


def pytest_runtest_setup() -> None:
    """Leave the tests of this directory out where there is no /proc."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")


class Stage:
    """A study with the adapter under test, whose attempts are submitted one by one, without a tick."""

    def __init__(self, root: Path, kind: str) -> None:
        self.kind = kind
        self.salt = os.urandom(
            4
        ).hex()  # tests run in parallel, and processes with a token are found on the whole host
        adapter = {"type": kind, "folder": str(root.with_name("scheduler"))}
        self.commands = stand_in(kind, root.with_name("commands"))
        self.bench = (
            Bench(root, Runtime(), adapter, Settings())
            if self.commands
            else Bench(root, adapter=adapter, settings=Settings())
        )
        self.study: Session | None = None

    @property
    def adapter(self) -> Adapter:
        """The adapter under test."""
        assert self.study
        return self.study.adapters.scheduler

    def submit(self, *commands: str, walltime: str = "") -> list[StepRecord]:
        """Submit a step for each command. Returns the steps with their jobs."""
        return [self.accepted(number) for number in self.create(*commands, walltime=walltime)]

    def create(self, *commands: str, walltime: str = "") -> range:
        """Create the study, with a step for each command. Returns the numbers of the steps."""
        steps = [
            Step(f"step {n}", cmd, walltime=walltime, scheduled=self.kind != "local")
            for n, cmd in enumerate(commands, 1)
        ]
        self.bench.create(*steps)
        if self.kind in ADAPTERS:
            make_state_dir(self.bench.dir, jobs_of(self.kind))  # as each tick does
        self.study = self.bench.open()
        return range(1, len(steps) + 1)

    def accepted(self, number: int) -> StepRecord:
        """Submit a step successfully. Returns the step with its job."""
        step, job = self.request(number)
        outcome = self.send(job)
        assert isinstance(outcome, Accepted)
        return structs.replace(step, job_id=outcome.job_id, job_host=outcome.host, job_instance=outcome.instance)

    def request(self, number: int) -> tuple[StepRecord, Job]:
        """Request the first attempt of a step. Returns the step and the job to submit."""
        assert self.study
        token = f"feedfeed-{number}-1-{self.salt}"
        requested = e.SubmissionRequested(attempt=1, token=token, kind=SubmissionKind.FIRST)
        self.study.log.append([(number, requested)])
        step = self.study.graph.step(number)
        study = self.study
        job, _ = write_scripts(ScriptOf(study.graph, step, study.dir, study.adapters, study.environment))
        return step, job

    def send(self, job: Job) -> Outcome:
        """Submit a job, and wait for the outcome."""
        begun = self.adapter.submit(job)
        return begun.outcome() if isinstance(begun, Submitting) else begun

    # -- the operator's console of the scheduler --------------------------------------------------------------------

    def plan(self, answer: str) -> None:
        """Choose the outcome of the next submission, by a word of the scheduler's stand-in."""
        (self.commands or self.bench.scheduler).plan(answer)

    def let_run(self) -> None:
        """Let submitted jobs run, if they do not run by themselves."""
        if self.kind != "local":
            (self.commands or self.bench.scheduler).start()

    def deliver(self) -> None:
        """Show the jobs that were accepted late."""
        (self.commands or self.bench.scheduler).deliver()

    def silence(self) -> None:
        """Let the scheduler answer no query from now on."""
        self.commands.query("silent") if self.commands else self.bench.scheduler.switch("unreachable")

    # -- what there is to see ---------------------------------------------------------------------------------------

    def query_queue(self, *steps: StepRecord) -> list[JobInfo | None]:
        """Return the adapter's answer for each of these steps, with their claims as a tick reads them."""
        claims = {step.token: self.claim(step) for step in steps}
        seen = self.adapter.query_queue(steps, claims)
        assert set(seen) <= {step.token for step in steps}
        return [seen.get(step.token) for step in steps]

    def claim(self, step: StepRecord) -> Claim:
        """Return the claim of a step's attempt."""
        return read_claim(self.bench.dir.path(step.workspace), step.token)

    def reports(self, step: StepRecord) -> dict[ReportKind, Report]:
        """Return the reports of a step's runner."""
        return {report.kind: report for report in read_reports(self.bench.dir.inbox) if report.token == step.token}

    def report(self, step: StepRecord, kind: ReportKind) -> Report:
        """Wait for a report."""
        return wait_for(lambda: self.reports(step).get(kind))

    def file(self, step: StepRecord, name: str) -> Path:
        """Return the path of a file in a step's workspace."""
        return self.bench.dir.path(step.workspace) / name


@pytest.fixture(params=SUBMITTING)
def stage(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    stage = Stage(tmp_path / "a 'study' with \"quotes\"", request.param)
    if stage.commands:
        monkeypatch.setenv("PATH", f"{stage.commands.path}:{os.environ['PATH']}")
    yield stage
    if stage.study:
        stage.study.log.close()
    end_all_under(tmp_path)
    spawner.reap()
