"""When the job around a driver ends, as its scheduler says."""

from __future__ import annotations

import pytest

from maestro_es.drivers.batch_job import JobClock, seconds_left
from maestro_es.errors import Unreachable


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("0:59\n", 59), ("1:10:00\n", 4200), ("1-00:00:00\n", 86400), ("0:00\n", 0),
        ("UNLIMITED\n", None), ("INVALID\n", None), ("NOT_SET\n", None), ("\n", None), ("0:59\n1:00\n", None),
    ],
)  # fmt: skip
def test_the_time_left_is_read(answer: str, seconds: float | None):
    assert seconds_left(answer) == seconds


class Scheduler:
    """Answers with `left`, or not at all if that is empty. It counts the questions."""

    def __init__(self) -> None:
        self.left, self.asked, self.now = "10:00", 0, 0.0

    def ask(self) -> str:
        self.asked += 1
        if not self.left:
            raise Unreachable("squeue: no answer")
        return self.left


def test_the_scheduler_is_asked_once_a_minute_and_its_last_answer_counts():
    scheduler = Scheduler()
    clock = JobClock(60, scheduler.ask, lambda: scheduler.now)
    assert not any(clock.is_over() for _ in range(9))
    assert scheduler.asked == 1

    scheduler.left = ""
    scheduler.now = 539.9
    assert not clock.is_over()
    assert scheduler.asked == 2
    scheduler.now = 540
    assert clock.is_over()

    scheduler.left, scheduler.now = "1:00:00", 600
    assert not clock.is_over()
    scheduler.left, scheduler.now = "UNLIMITED", 660
    assert not clock.is_over()
    scheduler.left, scheduler.now = "0:10", 720
    assert clock.is_over()
