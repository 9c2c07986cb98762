"""Which local steps run at the same time, by what they need."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_es.core import events as e
from maestro_es.core.decide import submissions
from maestro_es.core.model import Param
from maestro_es.core.packing import Packing
from maestro_es.core.step_keys import PLAIN, Need, amounts, exceeds, megabytes, need_of
from tests.unit.core.making import Study


def end(study: Study, number: int) -> None:
    study.do(e.StepFinished(token=study.step(number).token, at=1), number)


def started(*runs: dict[str, Any], **host: Any) -> list[int]:
    """Return the steps with these keys that the first tick starts, on a host of 4 cores."""
    study = Study()
    for index, run in enumerate(runs):
        study.add(f"s{index}", run={"cmd": "run", **run})
    return submissions(study.tick(**host))


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
