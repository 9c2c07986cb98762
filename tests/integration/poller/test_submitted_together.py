"""Steps that are submitted with one command, on one that stands in for Flux's; the runners are the real ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from maestro_es.adapters import batch, spawner
from maestro_es.core import events as e
from maestro_es.core.model import Settings, StudyStatus
from maestro_es.study.invocation import Runtime
from tests.fakes.flux_commands import FluxCommands
from tools.testbed.foreseen import foreseen
from tools.testbed.processes import end_all_under
from tools.testbed.studies import Bench, Step, hasty_adapters

STEPS = 24

#: How many commands run at the same time.
AT_ONCE = 8


@pytest.fixture
def flux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FluxCommands]:
    commands = FluxCommands(tmp_path / "flux")
    monkeypatch.setenv("PATH", f"{commands.path}:{os.environ['PATH']}")
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("maestro_es.core.throttle.BACKOFF", (1, 1))
    yield commands
    end_all_under(tmp_path)
    spawner.reap()


@pytest.fixture
def bench(tmp_path: Path, flux: FluxCommands) -> Bench:
    made = Bench(tmp_path / "my study", Runtime(adapters=hasty_adapters), {"type": "flux"}, Settings())
    made.create(*(Step(f"sim_{n}", made.sign, template="sim", scheduled=True) for n in range(STEPS)))
    return made


def submissions(flux: FluxCommands) -> list[str]:
    words = [" ".join(call.split()[1:3]) for call in flux.calls()]
    return [word.partition(" /")[0] for word in words if word.startswith(("job submit", "python"))]


def ended(bench: Bench, flux: FluxCommands) -> StudyStatus:
    """Let all jobs run, and tick to the end. Each step must have run once."""

    def over() -> bool:
        flux.start()
        return bench.status is not StudyStatus.RUNNING

    bench.until(over)
    bench.check()
    assert len(bench.signed()) == len(set(bench.signed()))
    return bench.status


def outcomes(bench: Bench) -> Counter[type[e.AnyEvent]]:
    with bench.open() as study:
        return Counter(type(item.event) for item in study.log.events())


def test_the_first_job_has_a_command_of_its_own_and_the_others_share_one(bench: Bench, flux: FluxCommands):
    bench.tick()

    assert submissions(flux) == ["job submit", "python"]
    assert len({bench.step(f"sim_{n}").job_id for n in range(STEPS)}) == STEPS
    assert ended(bench, flux) is StudyStatus.FINISHED
    assert len(bench.signed()) == STEPS


def test_each_of_them_is_accepted_refused_or_in_doubt_by_its_own_answer(bench: Bench, flux: FluxCommands):
    flux.plan("accept", "refuse", "accept", "doubt", "late")
    bench.tick()
    seen = outcomes(bench)

    assert seen[e.SubmissionRejected] == 1
    assert seen[e.SubmissionUncertain] == 2
    assert seen[e.JobSubmitted] == STEPS - 3
    flux.deliver()
    assert ended(bench, flux) is StudyStatus.FAILURE  # of the step that was refused
    assert len(bench.signed()) == STEPS - 1
    assert outcomes(bench)[e.AttemptAbandoned] == 0


def test_a_queue_that_is_full_in_the_middle_keeps_what_it_has_taken(bench: Bench, flux: FluxCommands):
    flux.plan(*["accept"] * 10, *["full"] * (STEPS - 10))
    bench.tick()
    seen = outcomes(bench)

    assert (seen[e.JobSubmitted], seen[e.SubmissionWithdrawn]) == (10, STEPS - 10)
    assert ended(bench, flux) is StudyStatus.FINISHED
    assert len(bench.signed()) == STEPS


def test_a_program_that_dies_leaves_the_rest_in_doubt_and_a_list_finds_their_jobs(bench: Bench, flux: FluxCommands):
    flux.plan(*["accept"] * 5, "killed")
    bench.tick()
    seen = outcomes(bench)

    assert (seen[e.JobSubmitted], seen[e.SubmissionUncertain]) == (5, STEPS - 5)
    assert ended(bench, flux) is StudyStatus.FINISHED
    assert len(bench.signed()) == STEPS
    assert outcomes(bench)[e.AttemptAbandoned] == 0


def test_a_program_that_hangs_is_ended_and_a_list_finds_its_jobs(
    bench: Bench, flux: FluxCommands, monkeypatch: pytest.MonkeyPatch
):
    flux.plan("accept", "accept", "hang")
    with monkeypatch.context() as patched:
        patched.setattr(batch, "TIMEOUT", 2.0)
        bench.tick()

    assert outcomes(bench)[e.SubmissionUncertain] == STEPS - 1
    assert ended(bench, flux) is StudyStatus.FINISHED
    assert len(bench.signed()) == STEPS


def test_without_a_python_of_flux_each_job_has_a_command_of_its_own(bench: Bench, flux: FluxCommands):
    flux.lack_python()
    bench.tick()

    assert submissions(flux) == ["job submit", "python", *["job submit"] * (STEPS - 1)]
    assert outcomes(bench)[e.JobSubmitted] == STEPS


@pytest.mark.parametrize("answer", ["doubt", "full", "deaf"])
def test_without_a_python_of_flux_no_more_jobs_are_submitted_after_a_bad_answer(
    bench: Bench, flux: FluxCommands, answer: str
):
    flux.lack_python()
    flux.plan("accept", *[answer] * STEPS)
    bench.tick()

    assert len(submissions(flux)) <= 2 + AT_ONCE
    assert outcomes(bench)[e.SubmissionWithdrawn] >= STEPS - 1 - AT_ONCE
    (flux.folder / "answers").unlink()
    assert ended(bench, flux) is StudyStatus.FINISHED
    assert len(bench.signed()) == STEPS


def test_without_a_python_of_flux_no_more_jobs_are_submitted_once_the_tick_is_late(
    bench: Bench, flux: FluxCommands, monkeypatch: pytest.MonkeyPatch
):
    flux.lack_python()
    with monkeypatch.context() as patched:
        clock = SimpleNamespace(monotonic=lambda: 1000.0 * ("python" in submissions(flux)))
        patched.setattr("maestro_es.poller.submit.time", clock)
        bench.tick()

    assert submissions(flux) == ["job submit", "python"]
    assert outcomes(bench)[e.SubmissionWithdrawn] == STEPS - 1
    assert ended(bench, flux) is StudyStatus.FINISHED


def test_a_dry_tick_shows_a_command_for_each_of_them(bench: Bench, flux: FluxCommands):
    before = flux.specs()
    prediction = foreseen(bench.root, bench.runtime)

    assert len(prediction.commands) == STEPS
    assert all(command.argv[:2] == ["flux", "batch"] for command in prediction.commands)
    assert flux.specs() == before
