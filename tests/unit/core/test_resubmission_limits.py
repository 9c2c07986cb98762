"""The last submission that each limit allows, and the first one that it does not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from msgspec import structs

from maestro_es.core import resubmission_limits
from maestro_es.core.model import Settings, StepRecord
from tests.unit.core.making import Study


def judged(field: str) -> Callable[[Settings, StepRecord], str]:
    return {
        "rejections": lambda settings, step: resubmission_limits.after_refusal(settings, step, "no such partition"),
        "restarts": lambda settings, step: resubmission_limits.after_timeout(
            structs.replace(step, restart_limit=settings.restart_limit)
        ),
        "hardware_failures": lambda settings, step: resubmission_limits.after_hardware_failure(
            settings, step, "NODE_FAIL"
        ),
        "abandoned": resubmission_limits.after_abandoning,
    }[field]


@pytest.mark.parametrize(
    ("field", "setting", "limit", "allowed", "message"),
    [
        ("rejections", "submission_attempts", 1, 0, "submission refused: no such partition"),
        ("rejections", "submission_attempts", 3, 2, "submission refused (3 times): no such partition"),
        ("restarts", "restart_limit", 2, 2, "restart limit reached: 2 of 2"),
        ("hardware_failures", "hardware_limit", 3, 3, "NODE_FAIL; resubmitted 3 times, which is the limit"),
        ("abandoned", "abandon_limit", 10, 10, "11 submissions left no trace of a job"),
    ],
)
def test_a_limit_allows_so_many_further_submissions(field: str, setting: str, limit: int, allowed: int, message: str):
    study = Study()
    step = structs.replace(study.step(study.add("a")))
    settings = structs.replace(Settings(), **{setting: limit})
    said = []
    for count in range(allowed + 1):
        setattr(step, field, count)
        said.append(judged(field)(settings, step))
    assert said == [""] * allowed + [message]


@pytest.mark.parametrize(
    ("field", "setting"),
    [("restarts", "restart_limit"), ("hardware_failures", "hardware_limit"), ("abandoned", "abandon_limit")],
)
def test_0_is_no_limit(field: str, setting: str):
    study = Study()
    step = structs.replace(study.step(study.add("a")))
    setattr(step, field, 10_000)
    assert judged(field)(structs.replace(Settings(), **{setting: 0}), step) == ""


def test_the_table_of_the_module_has_the_defaults():
    table = dict(re.findall(r"^    (\w+)  .*  (\d+) ", str(resubmission_limits.__doc__), re.MULTILINE))
    defaults = structs.asdict(Settings())
    assert table == {name: str(defaults[name]) for name in table}
    assert len(table) == 4
