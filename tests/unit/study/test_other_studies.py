"""What two drivers share that were given CPUs of their own."""

from __future__ import annotations

import pytest

from maestro_es.core.fair_share import local_share
from maestro_es.core.observations import OtherStudy
from maestro_es.core.step_keys import Need
from maestro_es.study.other_studies import _ALL, _in_common, _limited
from tests.unit.core.making import Study


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(0b0111, 0b1110, 2), (0b0011, 0b1100, 0), (0b0011, 0b0011, _ALL), (0b0111, 0b0010, _ALL), (0b0011, 0, _ALL)],
    ids=["some", "none", "all", "a part", "unknown"],
)
def test_the_cores_that_both_drivers_have_are_shared(ours: int, theirs: int, expected: int):
    assert _in_common(ours, theirs) == _in_common(theirs, ours) == expected


def test_of_two_drivers_with_some_cores_in_common_each_has_the_others_for_itself():
    study = Study()
    for index in range(9):
        study.add(f"s{index}")
    host, asking = Need(4), OtherStudy("f" * 32, asks=9, step=1, slots=4)
    busy = OtherStudy("f" * 32, running=4, asks=9, step=1, slots=4)

    assert local_share(study.graph, host, [asking], 0) == 2
    assert local_share(study.graph, host, [busy], 0) == 0
    assert local_share(study.graph, host, [_limited(asking, 1)], 0) == 3
    assert local_share(study.graph, host, [_limited(busy, 2)], 0) == 2
