from __future__ import annotations

import pytest

from maestro_es.adapters.registry import find_facts
from maestro_es.core.walltime import seconds_left, walltime_seconds
from tests.fakes.walltimes import NO_TIMES_TO_SLURM, TIMES_TO_SLURM


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
        ("inf", 0),
        ("UNLIMITED", 0),
        ("Infinite", 0),
    ],
)
def test_a_walltime_means_so_many_seconds(walltime: object, seconds: int):
    assert walltime_seconds(walltime) == seconds


@pytest.mark.parametrize(
    "walltime",
    ["soon", "1h", "-5", "5-", "1:", ":1", "1:2:3:4:5", "1.5", 1.5, "1-2-3", "$(WALLTIME)", "²", "1-1:2:3:4", True],
)
def test_what_is_no_time_is_refused_with_a_remedy(walltime: object):
    with pytest.raises(ValueError, match="is not a time: write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS"):
        walltime_seconds(walltime)


def remedy(scheduler: str, walltime: object) -> str:
    facts = find_facts(scheduler)
    assert facts
    return facts.walltime_remedy(walltime)


@pytest.mark.parametrize("walltime", [*TIMES_TO_SLURM, 5, 0, None, ""])
def test_what_slurm_takes_is_taken(walltime: object):
    assert remedy("slurm", walltime) == ""


@pytest.mark.parametrize("walltime", NO_TIMES_TO_SLURM)
def test_what_slurm_never_takes_is_refused(walltime: str):
    assert "D-HH:MM:SS or UNLIMITED" in remedy("slurm", walltime)


@pytest.mark.parametrize(
    ("scheduler", "walltime"),
    [
        ("local", "1:2:3"),
        ("local", "UNLIMITED"),
        ("lsf", "1:30"),
        ("lsf", "90/host"),
        ("lsf", "1:2:3"),
        ("flux", "inf"),
    ],
)
def test_others_take_what_their_scripts_can_say(scheduler: str, walltime: str):
    assert remedy(scheduler, walltime) == ""


@pytest.mark.parametrize(
    ("scheduler", "walltime"),
    [("local", "soon"), ("local", "90/host"), ("lsf", "soon"), ("lsf", "soon/host"), ("flux", "1h"), ("flux", "-1")],
)
def test_others_refuse_what_no_script_of_theirs_can_say(scheduler: str, walltime: str):
    assert remedy(scheduler, walltime) == "Write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS."


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("0:59\n", 59), ("1:10:00\n", 4200), ("1-00:00:00\n", 86400), ("0:00\n", 0), ("3599\n", 3599),
        ("UNLIMITED\n", None), ("INVALID\n", None), ("NOT_SET\n", None), ("\n", None), ("0:59\n1:00\n", None),
        ("4294967295\n", None),
    ],
)  # fmt: skip
def test_the_time_left_is_read(answer: str, seconds: float | None):
    assert seconds_left(answer, 0) == seconds
