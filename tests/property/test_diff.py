"""Whatever happens to whatever study: its differences can be put together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given, settings

from maestro_es.audit.diff import Before, Diff, diff
from maestro_es.core.events import NewEvent, Recorded
from maestro_es.core.reducer import block_of, replay
from tests.property.studies import dice, history, seeds, shapes
from tests.property.test_as_of import lived


def between(events: Sequence[Recorded], first: int, last: int) -> Diff:
    between = events[first:last]
    return diff(Before.of(replay(events[:first])), replay(events[:last]), [block_of(between)] if between else [])


def check(events: Sequence[Recorded], cuts: Sequence[int]) -> None:
    """Check that the differences between these moments are together the one from the first to the last."""
    parts = [between(events, first, last) for first, last in itertools.pairwise(cuts)]
    whole = between(events, cuts[0], cuts[-1])
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.then(part)
    assert joined == whole
    assert bool(joined) is bool(whole)


def moments(shares: Sequence[float], length: int) -> list[int]:
    return sorted(round(share * length) for share in shares)


shares = st.lists(st.floats(0, 1), min_size=3, max_size=6)


@given(shapes(), seeds, st.integers(0, 150), shares)
@settings(max_examples=100)
def test_differences_one_after_the_other_are_the_difference_over_all(
    shape: list[NewEvent], seed: int, length: int, cuts: list[float]
):
    new_events = history(shape, dice(seed), length)
    events = [Recorded(seq, seq, 1, step, event) for seq, (step, event) in enumerate(new_events, 1)]
    check(events, moments(cuts, len(events)))


@given(shapes(), seeds, st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 15), shares)
@settings(max_examples=100)
def test_so_they_are_in_a_study_that_a_scheduler_gives_trouble(
    shape: list[NewEvent], seed: int, trouble: float, ticks: int, cuts: list[float]
):
    events = lived(shape, seed, trouble, ticks)
    check(events, moments(cuts, len(events)))


@given(shapes(), seeds, st.integers(0, 60))
@settings(max_examples=50)
def test_between_a_moment_and_itself_there_is_no_difference(shape: list[NewEvent], seed: int, length: int):
    new_events = history(shape, dice(seed), length)
    events = [Recorded(seq, seq, 1, step, event) for seq, (step, event) in enumerate(new_events, 1)]
    for cut in range(0, len(events) + 1, 7):
        assert not between(events, cut, cut)
