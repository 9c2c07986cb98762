"""How studies divide the slots of a host, and who submits first to a full queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_es.core.decide import submissions
from maestro_es.core.fair_share import TURN, Demand, _divide, _shares, demand_of, jobs_in_turn, queue_of
from maestro_es.core.observations import OtherStudy
from maestro_es.core.step_keys import Need
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


def test_the_study_with_fewer_jobs_goes_first():
    study = Study({"type": "slurm", "bank": "mine"})
    study.submit(study.add("s", scheduled=True))
    last = study.step(1).requested_at or 0
    queue = queue_of(study.graph.study)
    fewer, more = OtherStudy("b", jobs=2, waits=True, queue=queue), OtherStudy("c", jobs=9, waits=True, queue=queue)

    def turns(*others: OtherStudy, jobs: int = 5) -> list[int]:
        minutes = (last + minute * TURN // 5 for minute in range(1, 61))
        return [jobs_in_turn(study.graph, jobs, 3, others, now) for now in minutes]

    assert turns() == turns(OtherStudy("b", jobs=2, queue=queue)) == [3] * 60
    assert turns(OtherStudy("b", jobs=2, waits=True)) == [3] * 60  # its jobs are in another queue
    assert turns(fewer) == turns(fewer, more) == [0] * 9 + [3] * 51
    assert turns(more) == [4] * 60
    assert set(turns(OtherStudy("b", jobs=5, waits=True, queue=queue))) == {1, 2}
    none = turns(OtherStudy("b", waits=True, queue=queue), OtherStudy("c", jobs=1, waits=True, queue=queue), jobs=0)
    assert 0 < none.count(0) < 60  # of those without a job, one after the other gets the place that is free
