"""What ``maestro update`` writes, and what can't be its file."""

from __future__ import annotations

import pytest

from maestro_es.study_file.maestro_dir import read_update


def test_what_was_not_given_is_left_out():
    assert read_update("rlimit: null\nsleep: null\nthrottle: 20\n") == {"throttle": 20}


def test_zero_is_a_value():
    assert read_update("{rlimit: 0, sleep: 5, throttle: 0}") == {"rlimit": 0, "sleep": 5, "throttle": 0}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it does not contain a mapping of rlimit, sleep, throttle"),
        ("- 1", "it does not contain a mapping of rlimit, sleep, throttle"),
        ("{throttle: [1", "it is not YAML: did not find expected ',' or '\\]'|it is not YAML: expected ',' or '\\]'"),
        ("throttle: many", "the value of throttle is not a whole number: 'many'"),
        ("throttle: true", "the value of throttle is not a whole number: True"),
        ("throttle: 1.5", "the value of throttle is not a whole number: 1.5"),
        ("speed: 3", "it holds the key 'speed'; the possible keys are rlimit, sleep, throttle"),
        ("throttle: !!python/name:os.system", "it is not YAML: could not determine a constructor"),
        ("[" * 4000, "it is not YAML|it is nested too deeply"),
        ("\0", "it is not YAML"),
    ],
)
def test_a_text_that_maestro_did_not_write_is_refused_with_what_is_wrong(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_update(text)
