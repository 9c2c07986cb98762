"""One suite for every adapter: what a case has to provide, and the cases that there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from maestro_es.adapters import process
from maestro_es.adapters.base import Adapter, Seen
from maestro_es.core import events as e
from maestro_es.core.evidence import Claim, Report, ReportKind
from maestro_es.core.model import Settings, StepRecord, SubmissionKind
from maestro_es.core.outcomes import Accepted
from maestro_es.poller.claims import read_claim
from maestro_es.poller.inbox import read_reports
from maestro_es.poller.open_study import OpenStudy
from maestro_es.poller.workspace import prepare
from tests.fakes.processes import end_all_under, wait_for
from tests.fakes.studies import Bench, Step


def pytest_runtest_setup() -> None:
    """Leave the tests of this directory out where there is no /proc."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")


class Stage:
    """A study with the adapter under test, whose attempts are submitted one by one, without a tick."""

    def __init__(self, root: Path, kind: str) -> None:
        self.kind = kind
        self.salt = os.urandom(4).hex()  # tests run side by side, and what carries a token is found host-wide
        adapter = {"type": kind, "folder": str(root.with_name("scheduler"))}
        self.bench = Bench(root, adapter=adapter, settings=Settings())
        self.study: OpenStudy | None = None

    @property
    def adapter(self) -> Adapter:
        """The adapter under test."""
        assert self.study
        return self.study.adapters.scheduler

    def submit(self, *commands: str, walltime: str = "") -> list[StepRecord]:
        """Submit a step for each command; returns them with their jobs."""
        steps = [
            Step(f"step {n}", cmd, walltime=walltime, scheduled=self.kind != "local")
            for n, cmd in enumerate(commands, 1)
        ]
        self.bench.create(*steps)
        self.study = self.bench.open()
        return [self._submit(number) for number in range(1, len(steps) + 1)]

    def _submit(self, number: int) -> StepRecord:
        assert self.study
        token = f"feedfeed-{number}-1-{self.salt}"
        requested = e.SubmissionRequested(attempt=1, token=token, kind=SubmissionKind.FIRST)
        self.study.log.append([(number, requested)])
        step = self.study.graph.step(number)
        job, _ = prepare(self.study.graph, step, self.study.dir, self.adapter, self.adapter, self.study.environment)
        outcome = self.adapter.submit(job)
        assert isinstance(outcome, Accepted)
        return structs.replace(step, job_id=outcome.job_id, job_host=outcome.host, job_instance=outcome.instance)

    def let_run(self) -> None:
        """Let what is submitted run, where it does not do so by itself."""
        if self.kind == "fake":
            self.bench.scheduler.start()

    def look(self, *steps: StepRecord) -> list[Seen | None]:
        """Return what the adapter says of each of these steps, with their claims as a tick reads them."""
        claims = {step.token: self.claim(step) for step in steps}
        seen = self.adapter.look(steps, claims)
        assert set(seen) <= {step.token for step in steps}
        return [seen.get(step.token) for step in steps]

    def claim(self, step: StepRecord) -> Claim:
        """Return the claim of a step's attempt."""
        return read_claim(self.bench.dir.path(step.workspace), step.token)

    def reports(self, step: StepRecord) -> dict[ReportKind, Report]:
        """Return what the runner of a step has reported."""
        return {report.kind: report for report in read_reports(self.bench.dir.inbox) if report.token == step.token}

    def report(self, step: StepRecord, kind: ReportKind) -> Report:
        """Wait for a report."""
        return wait_for(lambda: self.reports(step).get(kind))

    def file(self, step: StepRecord, name: str) -> Path:
        """Return the place of a file in a step's workspace."""
        return self.bench.dir.path(step.workspace) / name


@pytest.fixture(params=["local", "fake"])
def stage(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    stage = Stage(tmp_path / "a 'study' with \"quotes\"", request.param)
    yield stage
    if stage.study:
        stage.study.log.close()
    end_all_under(tmp_path)
    process.reap()
