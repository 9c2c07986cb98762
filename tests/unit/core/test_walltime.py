from __future__ import annotations

import pytest

from maestro_es.core.walltime import walltime_seconds


@pytest.mark.parametrize(
    ("walltime", "seconds"),
    [
        ("", 0),
        (None, 0),
        (0, 0),
        ("0", 0),
        ("  ", 0),
        ("5", 300),
        (5, 300),
        (" 5 ", 300),
        ("90:00", 5400),
        ("01:30", 90),
        ("00:00:10", 10),
        ("10:30:00", 37_800),
        ("100:00:00", 360_000),
        ("1-0", 86_400),
        ("2-12", 216_000),
        ("1-02:30", 95_400),
        ("1-02:30:15", 95_415),
        ("1:02:30:15", 95_415),
    ],
)
def test_a_walltime_means_so_many_seconds(walltime: object, seconds: int):
    assert walltime_seconds(walltime) == seconds


@pytest.mark.parametrize(
    "walltime",
    ["soon", "1h", "-5", "5-", "1:", ":1", "1:2:3:4:5", "1.5", 1.5, "1-2-3", "$(WALLTIME)", "²", "1-1:2:3:4", True],
)
def test_what_is_no_time_is_refused_with_a_remedy(walltime: object):
    with pytest.raises(ValueError, match="is no time: write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS"):
        walltime_seconds(walltime)
