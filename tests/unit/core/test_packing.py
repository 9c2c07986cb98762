"""Which local steps run at the same time, by what they need."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core.attempt_token import Placement, placed_suffix, placement_of
from maestro_es.core.decide import submissions
from maestro_es.core.model import Param
from maestro_es.core.packing import Packing, obstacle
from maestro_es.core.step_keys import PLAIN, Allocation, Need, amounts, exceeds, megabytes, need_of
from tests.unit.core.making import Study


def end(study: Study, number: int) -> None:
    study.do(e.StepFinished(token=study.step(number).token, at=1), number)


def started(*runs: dict[str, Any], **host: Any) -> list[int]:
    """Return the steps with these keys that the first tick starts, on a host of 4 cores."""
    study = Study()
    for index, run in enumerate(runs):
        study.add(f"s{index}", run={"cmd": "run", **run})
    return submissions(study.tick(size=Need(4)._replace(**host)))


@pytest.mark.parametrize(
    ("runs", "host", "steps"),
    [
        ([{}] * 5, {}, [1, 2, 3, 4]),
        ([{"procs": 2}] * 3, {}, [1, 2]),
        ([{"procs": 3}, {"procs": 2}, {}], {}, [1]),  # the last core is left for the second step
        ([{"procs": 2}, {"procs": 4}, {}], {}, [1]),
        ([{"procs": 2, "cores per task": 2}, {}], {}, [1]),
        ([{"procs": 64}, {}], {}, [1]),
        ([{}, {"procs": 64}, {}], {}, [1]),
        ([{"memory": "6G"}, {"memory": "6G"}, {}], {"memory": 8192}, [1, 3]),
        ([{"memory": "6G"}, {"memory": "6G"}], {}, [1, 2]),
        ([{"gpus": 1}, {"gpus": 2}, {}], {"gpus": 2}, [1, 3]),
        ([{"gpus": 1}] * 3, {}, [1, 2, 3]),
    ],
    ids=[
        "plain", "procs", "reserved", "whole host", "cores per task", "more than the host", "more than the host later",
        "memory", "unknown memory", "gpus", "unknown gpus",
    ],
)  # fmt: skip
def test_local_steps_share_a_host_by_what_they_need(
    runs: list[dict[str, Any]], host: dict[str, Any], steps: list[int]
):
    assert started(*runs, **host) == steps


def test_a_large_step_does_not_wait_for_ever_behind_small_ones():
    """Small steps that become ready one after the other would otherwise fill each core that becomes free."""
    study = Study()
    for index in range(4):
        study.add(f"small{index}")
    big = study.add("big", run={"cmd": "run", "procs": 4})
    for index in range(9):
        study.add(f"later{index}")
    for number in range(1, 5):
        study.start(number)
    for number in range(1, 4):
        end(study, number)
        assert submissions(study.tick()) == []
    end(study, 4)
    assert submissions(study.tick()) == [big]


def test_steps_are_only_requested_ahead_if_none_says_what_it_needs():
    study = Study()
    for index in range(9):
        study.add(f"s{index}", run={"cmd": "run", "procs": 2})
    assert submissions(study.tick(ahead=5)) == [1, 2]


@pytest.mark.parametrize(
    ("run", "need"),
    [
        ({"cmd": "x"}, PLAIN),
        ({"procs": 4, "nodes": 2}, Need(4)),
        ({"nodes": 2}, Need(2)),
        ({"procs": "$(P)", "memory": "$(P)GB", "gpus": "$(P)"}, Need(3, 3072, 3)),
        ({"procs": "2-4", "memory": "much", "gpus": None}, PLAIN),
        ({"memory": "1.5g"}, Need(1, 1536)),
        ({"memory": "1k"}, Need(1, 1)),
    ],
    ids=["nothing", "procs and nodes", "nodes", "parameters", "can't be read", "a fraction", "rounded up"],
)
def test_what_a_step_needs_is_read_from_its_keys(run: dict[str, Any], need: Need):
    assert need_of(run, [Param("P", "3", "P.3", "P")]) == need


def test_the_needs_of_a_step_on_several_nodes_are_those_on_each():
    run = {"nodes": 2, "procs": 5, "cores per task": 2, "memory": 100, "gpus": 1}
    assert need_of(run, (), spread=True) == Need(6, 100, 1, 2)


@pytest.mark.parametrize("size", ["", "4 Q", "-1", "GB"], ids=str)
def test_a_size_that_is_none_is_not_read(size: str):
    assert megabytes(size) is None


def test_the_first_step_that_waits_gets_the_host_that_is_most_free():
    packing = Packing([Need(4), Need(4), Need(2)])
    assert [packing.fit(Need(cpus)) for cpus in (2, 1, 4, 4, 3, 2)] == [(0, 0), (0, 0), (1, 0), None, None, (2, 0)]
    assert packing.fit(Need(1)) is None


def test_amounts_are_words():
    assert amounts(Need(1)) == "1 slot"
    assert amounts(Need(2, 100)) == "2 slots and 100 MB of memory"
    assert amounts(Need(2, 100, 1)) == "2 slots, 100 MB of memory and 1 GPU"
    assert exceeds(Need(2), Need(1))
    assert not exceeds(Need(1, 5, 5), Need(1))


# -- inside an allocation --------------------------------------------------------------------------------------------

JOB = Allocation("17", (Need(4, 4000, 2), Need(4, 4000, 2)))


def placed(study: Study, allocation: Allocation = JOB, **seen: Any) -> dict[int, tuple[int, int, int]]:
    """Return node, number of nodes and GPUs of each step that a tick of a driver starts."""
    at: dict[int | None, Placement | None] = {}
    for number, event in study.tick(allocation=allocation, **seen):
        if isinstance(event, e.SubmissionRequested):
            at[number] = placement_of(event.token)
    return {number or 0: (one.node, one.nodes, one.gpus) if one else (-1, 0, 0) for number, one in at.items()}


def scheduled(*runs: dict[str, Any], **settings: Any) -> Study:
    study = Study(adapter={"type": "slurm"}, **settings)
    for index, run in enumerate(runs):
        study.add(f"s{index}", run={"cmd": "run", **run}, scheduled="procs" in run)
    return study


def test_steps_are_packed_over_the_nodes_of_an_allocation():
    small = {"procs": 1}
    study = scheduled({"procs": 3}, {"procs": 2}, {**small, "gpus": 1}, {**small, "gpus": 2}, small, small)
    assert placed(study) == {1: (0, 1, 0), 2: (1, 1, 0), 3: (0, 1, 1), 4: (1, 1, 3), 5: (1, 1, 0)}


def test_local_steps_run_on_the_node_of_the_driver():
    study = scheduled({}, {"procs": 4}, {"procs": 4}, {})
    assert placed(study, JOB._replace(ours=1)) == {1: (-1, 0, 0), 2: (0, 1, 0)}


def test_a_step_on_two_nodes_takes_its_share_of_both():
    study = scheduled({"procs": 4, "nodes": 2, "gpus": 1}, {"procs": 3}, {"procs": 2, "gpus": 1})
    assert placed(study) == {1: (0, 2, 1), 3: (1, 1, 2)}


def test_what_runs_in_the_allocation_takes_its_part_also_if_another_driver_started_it():
    study = scheduled({"procs": 4}, {"procs": 4}, {"procs": 4})
    assert placed(study) == {1: (0, 1, 0), 2: (1, 1, 0)}
    study.do(e.SubmissionWithdrawn(token=study.step(1).token), 1)
    assert placed(study) == {1: (0, 1, 0)}


def test_a_step_starts_only_if_its_walltime_and_its_needs_fit_in_the_allocation():
    study = scheduled({"procs": 1, "walltime": "00:02:00"}, {"procs": 9}, {"procs": 1, "walltime": "00:01:00"})
    assert placed(study, JOB._replace(seconds_left=60.0)) == {3: (0, 1, 0)}
    assert obstacle(study.graph, JOB._replace(seconds_left=60.0)).startswith(
        "the walltime of s0 is longer than the time that job 17 has left"
    )
    assert obstacle(study.graph, JOB) == ""
    assert obstacle(scheduled({"procs": 9}).graph, JOB) == "s0 needs 9 slots, which the job 17 does not have"
    assert placed(study, JOB._replace(seconds_left=0.0)) == {}


def test_a_node_whose_agent_has_just_ended_is_no_obstacle():
    study = scheduled({"procs": 1})
    allocation = JOB._replace(nodes=(Need(0), Need(0)), is_pausing=True)
    assert placed(study, allocation) == {}
    assert obstacle(study.graph, allocation) == ""


def test_while_the_node_of_the_driver_takes_no_steps_no_local_step_starts_there():
    study = scheduled({}, {}, {"procs": 1})
    allocation = JOB._replace(nodes=(Need(0), Need(4)), is_pausing=True)
    assert placed(study, allocation) == {3: (1, 1, 0)}
    assert len(placed(study, JOB)) == 2


def test_a_node_where_no_agent_can_be_started_is_an_obstacle_with_its_reason():
    study = scheduled({"procs": 1})
    allocation = JOB._replace(nodes=(Need(0), Need(0)), trouble="no agent can be started on n1, n2: srun: error")
    assert obstacle(study.graph, allocation) == allocation.trouble


def test_local_steps_inside_a_job_take_no_more_than_the_local_slots():
    study = scheduled(*[{}] * 5, local_slots=2)
    assert len(placed(study, JOB)) == 2


def test_no_local_step_starts_if_the_driver_is_on_no_node_of_the_job():
    study = scheduled({}, {"procs": 1})
    allocation = JOB._replace(ours=None)
    assert placed(study, allocation) == {2: (0, 1, 0)}
    assert obstacle(scheduled({}).graph, allocation).startswith("s0 is a local step, and the driver runs on no node")


def test_the_smallest_steps_are_requested_ahead_on_the_nodes_that_are_most_free():
    study = scheduled(*[{"procs": 1}] * 12)
    assert [node for node, _, _ in placed(study, ahead=2).values()] == [0] * 4 + [1] * 4 + [1, 0]


def test_while_a_step_runs_inside_an_allocation_other_ticks_submit_no_jobs():
    study = scheduled({"procs": 1}, {"procs": 99})
    placed(study)
    assert submissions(study.tick()) == []


@pytest.mark.parametrize("token", ["cafe0123-1-1-salt", "cafe0123-1-1-salt_1_2", "", "kaput"], ids=str)
def test_other_tokens_have_no_placement(token: str):
    assert placement_of(token) is None


def test_a_token_keeps_its_placement():
    at = Placement("4711", 12, 3, 0b101)
    assert placement_of(f"cafe0123-1-1-{placed_suffix('a1', at)}") == at
