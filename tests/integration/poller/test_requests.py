"""What a person asks for while steps run: cancel, pause, resume."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.model import State, StudyStatus
from tools.testbed.processes import running_under, wait_for
from tools.testbed.studies import Bench, Step

FAMILY = "(sleep 60 & sleep 60 & wait) & echo $! >child; touch ready; sleep 60 & wait"


def cancel(bench: Bench, *patterns: str) -> None:
    with bench.open() as study:
        study.request(lambda graph: requests.cancel(graph, patterns, "a test"))


def states(bench: Bench, *names: str) -> list[State]:
    return [bench.step(name).state for name in names]


def test_a_cancelled_study_ends_its_steps_with_their_grandchildren(bench: Bench):
    bench.create(Step("a", FAMILY), Step("b", FAMILY), Step("c", parents=("a",)))
    bench.tick()
    wait_for(lambda: all((bench.root / name / "ready").exists() for name in "ab"))
    cancel(bench)

    assert bench.finish() is StudyStatus.CANCELLED
    assert states(bench, "a", "b", "c") == [State.CANCELLED] * 3
    assert bench.step("c").message == "cancelled before it ran"
    assert running_under(bench.root) == []
    bench.check()


@pytest.mark.usefixtures("hasty_runner")
def test_a_step_that_ignores_term_and_its_children_are_ended_all_the_same(bench: Bench):
    bench.create(Step("a", f"trap '' TERM; {FAMILY}"))
    bench.tick()
    wait_for((bench.root / "a/ready").exists)
    cancel(bench)

    assert bench.finish() is StudyStatus.CANCELLED
    assert running_under(bench.root) == []


def test_one_cancelled_step_takes_with_it_what_waits_for_it_and_nothing_else(bench: Bench):
    hold = f"{bench.sign}; touch ready; until [ -e '{bench.root}/go' ]; do sleep 0.01; done"
    bench.create(
        Step("a", FAMILY),
        Step("b", hold),
        Step("after_a", bench.sign, parents=("a",)),
        Step("after_b", bench.sign, parents=("b",)),
    )
    bench.tick()
    wait_for(lambda: all((bench.root / name / "ready").exists() for name in "ab"))
    cancel(bench, "a")
    bench.until(lambda: bench.step("a").state is State.CANCELLED)
    assert running_under(bench.root / "a") == []
    assert bench.step("b").state is State.RUNNING

    (bench.root / "go").touch()
    assert bench.finish() is StudyStatus.CANCELLED
    assert states(bench, "after_a", "b", "after_b") == [State.CANCELLED, State.FINISHED, State.FINISHED]
    assert bench.step("after_a").message == "a is CANCELLED"


def test_a_cancelled_step_that_ends_well_has_ended_well(bench: Bench):
    bench.create(Step("a", "trap 'exit 0' TERM; touch ready; sleep 60 & wait"), Step("b", bench.sign, parents=("a",)))
    bench.tick()
    wait_for((bench.root / "a/ready").exists)
    cancel(bench, "a")

    assert bench.finish() is StudyStatus.FINISHED
    assert states(bench, "a", "b") == [State.FINISHED, State.FINISHED]


def test_a_step_in_doubt_is_adopted_and_then_cancelled(cluster: Bench):
    cluster.create(Step("a", f"{cluster.sign}; sleep 60", scheduled=True))
    cluster.scheduler.plan("doubt")
    cluster.scheduler.switch("autostart")
    cluster.tick()
    wait_for(cluster.signed)
    cancel(cluster)

    assert cluster.finish() is StudyStatus.CANCELLED
    assert [event.adopted for event in cluster.events(e.JobSubmitted)] == [True]
    wait_for(lambda: not running_under(cluster.root))


def test_a_step_in_doubt_without_a_job_is_abandoned_and_not_submitted_again(cluster: Bench):
    cluster.create(Step("a", scheduled=True))
    cluster.scheduler.plan("deaf")
    cluster.tick()
    cancel(cluster)

    assert cluster.finish() is StudyStatus.CANCELLED
    assert len(cluster.events(e.SubmissionRequested)) == 1
    assert len(cluster.events(e.AttemptAbandoned)) == 1


def test_a_pending_job_is_cancelled_before_it_runs(cluster: Bench):
    cluster.create(Step("a", cluster.sign, scheduled=True))
    cluster.tick()
    cancel(cluster)

    assert cluster.finish() is StudyStatus.CANCELLED
    assert cluster.signed() == []


def test_a_job_that_is_lost_while_it_is_cancelled_is_not_submitted_again(bench: Bench):
    bench.create(Step("a", "kill -KILL $PPID; sleep 60"))
    bench.tick()
    cancel(bench)

    assert bench.finish() is StudyStatus.CANCELLED
    assert len(bench.events(e.SubmissionRequested)) == 1
    assert running_under(bench.root) == []


def test_a_paused_study_submits_nothing_and_concludes_what_runs(bench: Bench):
    bench.create(Step("a", f"until [ -e '{bench.root}/go' ]; do sleep 0.01; done"), Step("b", parents=("a",)))
    bench.tick()
    with bench.open() as study:
        study.request(lambda graph: requests.pause(graph, "a test"))
    (bench.root / "go").touch()
    bench.until(lambda: bench.step("a").state is State.FINISHED)
    bench.tick()
    assert len(bench.events(e.SubmissionRequested)) == 1

    with bench.open() as study:
        study.request(lambda graph: requests.resume(graph, "a test"))
    assert bench.finish() is StudyStatus.FINISHED
