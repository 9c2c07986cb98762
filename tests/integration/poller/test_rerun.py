"""Steps that have ended run again, in their workspaces, with tokens of their own; and others may append meanwhile."""

from __future__ import annotations

import os

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests, rerun
from maestro_es.core.events import NewEvent
from maestro_es.core.graph import Graph
from maestro_es.core.model import State, StudyStatus, SubmissionKind
from maestro_es.errors import InvalidTransition, RequestRefused
from tools.testbed.studies import Bench, Step


def make_failed(bench: Bench) -> None:
    """Make a study whose first step has failed, because a file was not there."""
    bench.create(
        Step("a", f"{bench.sign}; test -e '{bench.root}/mended'"),
        Step("b", bench.sign, parents=("a",)),
        Step("c", bench.sign),
    )
    assert bench.finish() is StudyStatus.FAILURE
    (bench.root / "mended").touch()


def test_a_failed_step_runs_again_in_its_workspace_with_a_token_of_its_own(bench: Bench):
    make_failed(bench)
    before = bench.step("a")
    kept = set(os.listdir(bench.root / "a"))

    with bench.open() as study:
        study.request(lambda graph: rerun.retry(graph, failed=True))
    assert bench.finish() is StudyStatus.FINISHED

    after = bench.step("a")
    assert (after.attempt, after.kind, after.workspace) == (2, SubmissionKind.RETRY, before.workspace)
    assert after.token != before.token
    assert kept <= set(os.listdir(bench.root / "a"))
    assert len(bench.signed()) == 4
    bench.check()


def test_a_request_is_decided_anew_on_what_others_appended_meanwhile(bench: Bench):
    make_failed(bench)
    seen: list[State] = []

    def decide(graph: Graph) -> list[NewEvent]:
        seen.append(graph.step(1).state)
        if len(seen) == 1:
            with bench.open() as other:
                other.request(lambda graph: rerun.skip(graph, ["a"], "another"))
        return rerun.retry(graph, ["a"])

    with bench.open() as study:
        study.request(decide)

    assert seen == [State.FAILED, State.FINISHED]
    assert [event.by for event in bench.events(e.StepSkipped)] == ["another"]
    assert bench.finish() is StudyStatus.FINISHED
    assert len(bench.events(e.StudyReopened)) == 1
    bench.check()


def test_a_request_that_makes_no_sense_any_more_is_refused_and_nothing_is_written(bench: Bench):
    make_failed(bench)
    rivals = [lambda graph: rerun.retry(graph, ["a"])]

    def decide(graph: Graph) -> list[NewEvent]:
        while rivals:
            with bench.open() as other:
                other.request(rivals.pop())
            bench.tick()
        return rerun.retry(graph, ["a"])

    with bench.open() as study, pytest.raises(RequestRefused, match=r"^a (is in flight|has not ended)|^b ran after a"):
        study.request(decide)

    assert len(bench.events(e.StepReset, "a")) == 1
    assert bench.finish() is StudyStatus.FINISHED
    bench.check()


def test_a_request_is_recorded_whole_or_not_at_all(bench: Bench):
    make_failed(bench)
    with bench.open() as study:
        head = study.log.head
        with pytest.raises(InvalidTransition):
            study.request(lambda graph: [*rerun.retry(graph, ["a"]), (1, e.StepReleased())])

        assert study.log.head == head
        assert study.status is StudyStatus.FAILURE


def test_nothing_is_refused_for_what_others_have_changed_meanwhile(bench: Bench):
    make_failed(bench)
    with bench.open() as slow:
        assert slow.graph.step(2).state is State.FAILED
        with bench.open() as quick:
            quick.request(lambda graph: rerun.retry(graph, failed=True))
        slow.request(lambda graph: requests.hold(graph, ["b"]))

    bench.until(lambda: bench.step("a").state is State.FINISHED)
    bench.tick()
    assert (bench.status, bench.step("b").attempt) == (StudyStatus.RUNNING, 0)
    with bench.open() as study:
        study.request(lambda graph: requests.release(graph, ["b"]))
    assert bench.finish() is StudyStatus.FINISHED


def test_a_held_step_in_flight_goes_on_and_is_not_submitted_again(bench: Bench):
    bench.create(Step("a", f"{bench.sign}; kill -TERM $PPID; sleep 60"))
    bench.tick()
    with bench.open() as study:
        study.request(lambda graph: requests.hold(graph, ["a"]))

    bench.until(lambda: bench.events(e.HardwareFailed))
    for _ in range(3):
        bench.tick()
    assert len(bench.events(e.SubmissionRequested)) == 1
    assert bench.status is StudyStatus.RUNNING

    with bench.open() as study:
        study.request(lambda graph: requests.release(graph, ["a"]))
    bench.tick()
    assert len(bench.events(e.SubmissionRequested)) == 2
    with bench.open() as study:
        study.request(lambda graph: requests.cancel(graph, ["a"]))
    bench.finish()
