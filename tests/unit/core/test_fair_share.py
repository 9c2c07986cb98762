"""How studies divide the slots of a host, and who submits first to a full queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_es.core.fair_share import TURN, _divide, jobs_in_turn, queue_of
from maestro_es.core.model import StudyRecord
from maestro_es.core.observations import OtherStudy

wishes = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), min_size=1)


@given(st.integers(0, 20), wishes, st.integers(0, 99))
def test_a_pool_is_divided_completely_and_evenly(pool, wishes, turn):
    shares = _divide(pool, wishes, turn)

    assert sum(shares.values()) == min(pool, sum(wishes.values()))
    assert all(shares[name] <= wish for name, wish in wishes.items())
    hungry = [shares[name] for name, wish in wishes.items() if shares[name] < wish]
    assert all(max(shares.values()) - share <= 1 for share in hungry)


@given(st.integers(1, 20), wishes)
def test_each_study_that_asks_gets_a_slot_in_its_turn(pool, wishes):
    got = [_divide(pool, wishes, turn) for turn in range(len(wishes))]

    assert all(any(shares[name] for shares in got) for name, wish in wishes.items() if wish)


def test_the_study_with_fewer_jobs_goes_first():
    study = StudyRecord(study_id="a" * 32, root="", adapter={"type": "slurm", "bank": "mine"})
    queue = queue_of(study)
    fewer, more = OtherStudy("b", jobs=2, waits=True, queue=queue), OtherStudy("c", jobs=9, waits=True, queue=queue)

    def turns(*others: OtherStudy) -> list[int]:
        return [jobs_in_turn(study, 5, 3, others, minute * TURN // 5) for minute in range(1, 12)]

    assert turns() == turns(OtherStudy("b", jobs=2, queue=queue)) == [3] * 11
    assert turns(OtherStudy("b", jobs=2, waits=True)) == [3] * 11  # its jobs are in another queue
    assert turns(fewer) == turns(fewer, more) == [0] * 9 + [3, 0]
    assert turns(more) == [4] * 11
    assert turns(OtherStudy("b", jobs=5, waits=True, queue=queue)) == [2] * 11
