"""The two unit files. Tests in tests/integration/cli show them to a real parser."""

from __future__ import annotations

import pytest

from maestro_es.drivers.systemd import quoted, unit_files
from maestro_es.errors import RequestRefused


@pytest.mark.parametrize(
    ("word", "in_command", "expected"),
    [
        ("/a b", True, '"/a b"'),
        ('50% "$x" \\', True, '"50%% \\"$$x\\" \\\\"'),
        ('50% "$x" \\', False, '"50%% \\"$x\\" \\\\"'),
    ],
)
def test_a_word_is_quoted_as_systemd_reads_it(word, in_command, expected):
    assert quoted(word, in_command=in_command) == expected


def test_the_end_of_a_line_is_refused():
    with pytest.raises(RequestRefused):
        quoted("a\nb", in_command=True)


def test_local_steps_outlive_the_tick_that_has_started_them():
    service, timer = unit_files(["/venv/bin/python3", "-I"], "/home/me").values()
    assert "\nKillMode=process\n" in service
    assert '\nExecStart="/venv/bin/python3" "-I" "tick" "--all"\n' in service
    assert "\nOnCalendar=minutely\nAccuracySec=1s\n" in timer
