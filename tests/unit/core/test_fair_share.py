"""How studies divide the slots of a host, and who submits first to a full queue."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maestro_es.core import events as e
from maestro_es.core.attempt_token import Placement, placement_of
from maestro_es.core.decide import submissions
from maestro_es.core.fair_share import (
    TURN,
    Demand,
    _divide,
    _shares,
    demand_inside,
    demand_of,
    jobs_in_turn,
    next_queue,
    share_inside,
)  # fmt: skip
from maestro_es.core.observations import OtherStudy
from maestro_es.core.step_keys import Allocation, Need
from tests.unit.core.making import Study, ended

demands = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), min_size=1)


@given(st.integers(0, 20), demands, st.integers(0, 99))
def test_a_pool_is_divided_completely_and_evenly(pool, demands, turn):
    shares = _divide(pool, demands, turn)

    assert sum(shares.values()) == min(pool, sum(demands.values()))
    assert all(shares[name] <= demand for name, demand in demands.items())
    hungry = [shares[name] for name, demand in demands.items() if shares[name] < demand]
    assert all(max(shares.values()) - share <= 1 for share in hungry)


@given(st.integers(1, 20), demands)
def test_each_study_that_asks_gets_a_slot_in_its_turn(pool, demands):
    got = [_divide(pool, demands, turn) for turn in range(len(demands))]

    assert all(any(shares[name] for shares in got) for name, demand in demands.items() if demand)


wide_demands = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda each: Demand(sum(each), each[1])),
    min_size=1,
)


@given(st.integers(1, 20), wide_demands)
def test_each_study_gets_enough_for_its_next_step_in_its_turn(pool, demands):
    turns = [_shares(pool, demands, turn) for turn in range(len(demands))]

    asked = sum(demand.asks for demand in demands.values())
    assert all(sum(shares.values()) == min(pool, asked) for shares in turns)  # nothing is idle
    for name, demand in demands.items():
        assert any(shares[name] >= min(demand.step, pool) for shares in turns)


def test_steps_that_are_larger_than_a_share_and_small_ones_take_turns():
    """A study with steps that need the whole host and one with small steps see each other, and each gets its turn."""
    large, ran, minutes = Study(), [], (0, 1, 2, 4)
    for index in range(20):
        large.add(f"s{index}", run={"cmd": "run", "procs": 4})
    for turn in range(4):
        for minute in minutes:
            busy = 0 if minute == 1 else 4
            other = OtherStudy("f" * 32, running=busy, asks=4, step=1, slots=4)
            now = turn * TURN + minute * TURN // 5
            started = submissions(large.tick(now=now, others=lambda other=other: (other,)))
            ran.append((turn % 2, minute, len(started)))
            for number in started:
                large.tick({number: ended(0)}, leaving=True)

    own = 0 if (0, 1, 1) in ran else 1
    assert ran == [(turn % 2, minute, turn % 2 == own and minute in {1, 4}) for turn in range(4) for minute in minutes]


def test_a_study_asks_only_for_what_it_could_start():
    study = Study()
    for index in range(5):
        study.add(f"s{index}", run={"cmd": "run", "memory": "6G"})
    room = Need(4, 8192, 0)

    assert demand_of(study.graph, room, 4) == Demand(1, 1)
    study.tick(size=room)
    assert demand_of(study.graph, room, 4) == Demand(1, 0)


def of_slurm(jobs: int, **run: str) -> Study:
    """Return a study with this number of jobs in the queue, and one more that is ready."""
    study = Study({"type": "slurm", "bank": "mine"})
    for index in range(jobs + 1):
        number = study.add(f"s{index}", scheduled=True, run={"cmd": "run", **run})
        if index < jobs:
            study.submit(number)
    return study


def turns(study: Study, *others: OtherStudy, available: int = 3) -> list[int]:
    """Return how many jobs the study submits in each of 60 minutes, after its last submission."""
    last = max((step.requested_at or 0 for step in study.graph.in_flight()), default=0)
    minutes = (last + minute * TURN // 5 for minute in range(1, 61))
    return [jobs_in_turn(study.graph, available, others, now) for now in minutes]


def other(name: str, jobs: int, queue: tuple[str, ...] | None = None, *, waits: bool = True) -> OtherStudy:
    return OtherStudy(name, jobs=jobs, waits=waits, queue=next_queue(of_slurm(0).graph) if queue is None else queue)


def test_the_study_with_the_fewest_jobs_goes_first_and_equal_ones_take_turns():
    study = of_slurm(5)

    assert turns(study) == turns(study, other("b", 2, waits=False)) == turns(study, other("b", 2, ())) == [3] * 60
    assert turns(study, other("b", 2)) == turns(study, other("b", 2), other("c", 9)) == [0] * 9 + [3] * 51
    assert turns(study, other("b", 9)) == [4] * 60
    assert turns(study, other("b", 6)) == [2] * 60  # it leaves what makes the numbers even
    assert set(turns(study, other("b", 5))[:9]) <= {0, 2}
    for available in (0, 1, 2):
        none = turns(of_slurm(0), other("b", 0), other("c", 1), available=available)
        assert {*none} == {0, 1}  # of those without a job, one after the other gets a place


def test_a_step_may_name_another_queue_than_its_study():
    plain, urgent = of_slurm(5), of_slurm(0, qos="urgent")
    queue = next_queue(urgent.graph)

    assert turns(plain, other("b", 0, queue)) == [3] * 60
    assert turns(of_slurm(5, qos="urgent"), other("b", 0, queue))[:9] == [0] * 9
    assert turns(of_slurm(5, qos="$(P)"), other("b", 0, queue))[:9] == [3] * 9


JOB = Allocation("17", (Need(4, 4000, 2), Need(4, 4000, 2)))


def inside_of(study: Study, *others: OtherStudy, now: int = 0) -> list[int]:
    """Return the nodes of the steps that a driver starts inside an allocation."""
    shared = share_inside(study.graph, JOB, others, now)
    started = study.tick(allocation=shared, ahead=9)
    tokens = [event.token for _, event in started if isinstance(event, e.SubmissionRequested)]
    return [at.node for at in map(placement_of, tokens) if at]


def test_two_studies_in_one_allocation_share_its_slots():
    taken = tuple((Placement("17", node), Need(1)) for node in (0, 0, 0, 0, 1))
    busy = OtherStudy("f" * 32, running=5, asks=8, step=1, taken=taken)
    small = [{"procs": 1, "nodes": 1}] * 9

    assert inside_of(slurm_steps(*small), OtherStudy("f" * 32, asks=8, step=1)) == [0] * 4
    assert inside_of(slurm_steps(*small), busy) == [1] * 3
    assert inside_of(slurm_steps(*small[:2]), busy) == [1] * 2
    nearly_done = OtherStudy("f" * 32, running=2, asks=2, taken=taken[:2])
    assert inside_of(slurm_steps(*small), nearly_done) == [0] * 2 + [1] * 4


def test_a_step_that_needs_the_whole_allocation_gets_its_turn():
    whole = {"procs": 8, "nodes": 2}
    waiting = OtherStudy("f" * 32, asks=8, step=1)
    ran = [inside_of(slurm_steps(whole), waiting, now=turn * TURN) for turn in range(2)]
    assert sorted(ran) == [[], [0]]

    taken = (Placement("17", 1), Need(1, 0, 1))
    busy = OtherStudy("f" * 32, running=1, asks=8, step=1, taken=(taken,))
    ours = TURN * ran.index([0])
    late = ours + TURN * 4 // 5
    assert inside_of(slurm_steps(whole), busy, now=ours) == []
    assert inside_of(slurm_steps(whole), busy, now=late) == [0]  # the other one has had its time
    assert inside_of(slurm_steps({**whole, "gpus": 2}), busy, now=late) == []  # a GPU is never shared


def test_a_local_step_that_is_larger_than_its_node_gets_its_turn_inside_a_job():
    """It would run alone on the node of the driver, so it asks for no more than this node has."""
    study = Study()
    study.add("large", run={"cmd": "run", "procs": 64})
    assert demand_inside(study.graph, JOB._replace(ours=0)) == Demand(4, 4)


def slurm_steps(*runs: dict[str, Any]) -> Study:
    study = Study({"type": "slurm", "bank": "mine"})
    for index, run in enumerate(runs):
        study.add(f"s{index}", run={"cmd": "run", **run}, scheduled=True)
    return study
