"""What a conductor's log tells of local steps."""

from __future__ import annotations

import time

from maestro_es.core.model import State
from maestro_es.study_file.maestro_dir import read_log

BEGIN = "Constructing parameter study 'pi'"
DONE = (
    "2026-11-22 09:17:09,780 - maestrowf.datastructures.core.executiongraph:_execute_record:652 - INFO - "
    "Local step first_N.1,5 executed with status OK. Complete."
)
FAILED = (
    "2026-11-22 09:17:06,130 - maestrowf.datastructures.core.executiongraph:_execute_record:660 - WARNING - "
    "'it's bad' failed to submit properly. Step failed."
)


def test_a_log_tells_which_local_steps_have_ended_and_when():
    found = read_log([BEGIN, DONE, "anything else", FAILED])

    assert {name: ended.state for name, ended in found.items()} == {
        "first_N.1,5": State.FINISHED,
        "it's bad": State.FAILED,
    }
    assert time.localtime(found["it's bad"].at // 1_000_000)[:6] == (2026, 11, 22, 9, 17, 6)


def test_what_stands_before_the_last_start_of_a_conductor_does_not_count():
    assert read_log([BEGIN, DONE, BEGIN]) == {}


def test_what_a_step_prints_is_not_taken_for_the_log():
    assert read_log([f"echo {DONE}", f" {FAILED}", DONE + " And more."]) == {}
