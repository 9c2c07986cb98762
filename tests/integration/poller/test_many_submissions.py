"""Many submissions of one tick: outcomes are appended while further ones are under way, and others append, too."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maestro_es.adapters.base import Adapters, Job, Submitting
from maestro_es.adapters.command import Command
from maestro_es.adapters.host import Host
from maestro_es.adapters.local import LocalAdapter
from maestro_es.core import events as e
from maestro_es.core.model import Phase
from maestro_es.core.submission import Accepted, InDoubt, Outcome
from tools.testbed.scheduler import FakeScheduler
from tools.testbed.studies import Bench, Step

STEPS = 40


class Busy(FakeScheduler):
    """A scheduler that takes four jobs at a time, and lets all but the first 20 wait until there is its `gate`."""

    max_concurrent_submissions = 4
    gate: Path
    taken: list[str]
    under_way = most = 0

    def submit(self, job: Job) -> Outcome | Submitting:
        self.taken.append(job.token)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        late = int(job.token.split("-")[1]) > STEPS // 2
        wait = f"until [ -e '{self.gate}' ]; do sleep 0.01; done" if late else "true"
        command = Command(["/bin/sh", "-c", wait], timeout=20)
        accepted = Accepted(str(1000 + len(self.taken)))
        return Submitting(command, lambda: self._outcome(command, accepted))

    def _outcome(self, command: Command, accepted: Accepted) -> Outcome:
        self.under_way -= 1
        try:
            command.result()
        except TimeoutError:
            return InDoubt("the gate stayed closed")
        return accepted


def busy(cluster: Bench) -> tuple[Busy, Any]:
    """Return such a scheduler, and what makes a study's adapters of it."""
    scheduler = Busy(cluster.scheduler.folder)
    scheduler.gate, scheduler.taken = cluster.root / "gate", []

    def adapters(batch: Mapping[str, Any], host: Host) -> Adapters:
        return Adapters(scheduler, LocalAdapter(batch, host))

    return scheduler, adapters


def test_outcomes_are_appended_while_further_submissions_are_under_way(cluster: Bench):
    cluster.create(*(Step(f"s{n}", scheduled=True) for n in range(1, STEPS + 1)))
    scheduler, adapters = busy(cluster)
    appended = itertools.count()

    def open_the_gate(effect: str) -> None:
        if effect == "append" and next(appended):  # the first append is that of the requests
            scheduler.gate.touch()

    cluster.tick(adapters=adapters, on_effect=open_the_gate)

    assert len(cluster.events(e.JobSubmitted)) == STEPS
    assert scheduler.most == scheduler.max_concurrent_submissions
    assert sorted(scheduler.taken) == sorted(event.token for event in cluster.events(e.SubmissionRequested))


def test_an_attempt_that_another_tick_has_given_up_meanwhile_is_not_submitted(cluster: Bench):
    cluster.create(*(Step(f"s{n}", scheduled=True) for n in range(1, STEPS + 1)))
    scheduler, adapters = busy(cluster)
    scheduler.gate.touch()
    appended = itertools.count()

    def give_up_the_last(effect: str) -> None:
        if effect == "append" and next(appended) == 0:
            with cluster.open() as other:
                token = other.graph.step(STEPS).token
                other.log.append([(STEPS, e.AttemptAbandoned(token=token, evidence=()))])

    cluster.tick(adapters=adapters, on_effect=give_up_the_last)

    assert cluster.step(f"s{STEPS}").phase is Phase.READY
    assert len(scheduler.taken) == len(cluster.events(e.JobSubmitted)) == STEPS - 1
    cluster.check()
