"""Which ready steps are submitted together."""

from __future__ import annotations

import pytest

from maestro_es.core import arrays as a
from maestro_es.core.model import ArrayUse, Settings, StepRecord, StudyRecord
from maestro_es.core.throttle import ROUND_STEPS

SIM = 40


def step(number: int, template: str = "sim") -> StepRecord:
    return StepRecord(
        number=number, name=f"{template}_{number}", template=template, params=(), workspace="w", workspaces={},
        scheduled=True, row=1, restart_limit=0,
    )  # fmt: skip


def groups(steps: list[StepRecord], use: ArrayUse = ArrayUse.AUTO, key=lambda _: "key", largest: int = 1000):
    study_record = StudyRecord(settings=Settings(array=use))
    found = a.one_round(study_record, steps, lambda: a.Arrays(key, lambda: largest))
    return [[one.number for one in group] for group in found]


def test_many_equal_steps_make_one_array_and_few_make_none():
    numbers = [*range(1, a.AUTO_FROM + 1)]
    assert groups([step(n) for n in numbers]) == [numbers]
    assert groups([step(n) for n in numbers[1:]]) == [[n] for n in numbers[1:]]


def test_always_makes_an_array_of_two_and_never_none():
    assert groups([step(1), step(2)], ArrayUse.ALWAYS) == [[1, 2]]
    assert groups([step(1)], ArrayUse.ALWAYS) == [[1]]
    assert groups([step(n) for n in range(1, SIM)], ArrayUse.NEVER) == [[n] for n in range(1, SIM)]


def test_steps_of_another_template_or_with_another_key_are_apart():
    steps = [step(1), step(2, "other"), step(3), step(4), step(5, "other"), step(6)]
    assert groups(steps, ArrayUse.ALWAYS) == [[1, 3, 4, 6], [2, 5]]
    assert groups(steps, ArrayUse.ALWAYS, lambda one: one.number > 3) == [[1, 3], [2], [4, 6], [5]]
    assert groups(steps, ArrayUse.ALWAYS, lambda _: None) == [[n] for n in range(1, 7)]


@pytest.mark.parametrize(("largest", "sizes"), [(40, [40, 5]), (23, [23, 22]), (44, [44, 1]), (1, [1] * 45)])
def test_no_array_is_larger_than_the_scheduler_allows(largest: int, sizes: list[int]):
    found = groups([step(n) for n in range(45)], ArrayUse.ALWAYS, largest=largest)
    assert [len(group) for group in found] == sizes


def test_a_rest_that_is_too_small_for_an_array_is_submitted_alone():
    found = groups([step(n) for n in range(45)], largest=40)
    assert [len(group) for group in found] == [40, 1, 1, 1, 1, 1]


def test_a_round_has_so_many_calls_and_the_rest_is_left_for_the_next():
    found = groups([step(n) for n in range(1, a.ROUND_CALLS + 10)], ArrayUse.NEVER)
    assert len(found) == a.ROUND_CALLS
    assert a.is_full_round(f"feed-{n}-1-cafe" for [n] in found)
    assert not a.is_full_round(f"feed-{n}-1-cafe" for [n] in found[1:])


def test_an_array_is_one_call():
    assert not a.is_full_round(f"feed-{n}-1-cafe_1_{n}" for n in range(ROUND_STEPS - 1))
    assert a.is_full_round(f"feed-{n}-1-cafe_1_{n}" for n in range(ROUND_STEPS))


@pytest.mark.parametrize(
    ("setting", "batch", "use"),
    [
        (None, None, ArrayUse.AUTO),
        (None, "auto", ArrayUse.AUTO),
        (None, "never", ArrayUse.NEVER),
        (None, "nonsense", ArrayUse.AUTO),
        (ArrayUse.ALWAYS, "never", ArrayUse.ALWAYS),
    ],
)
def test_the_setting_counts_more_than_the_batch_block(setting, batch, use):
    assert a.array_use(StudyRecord(settings=Settings(array=setting), adapter={"array": batch})) is use
