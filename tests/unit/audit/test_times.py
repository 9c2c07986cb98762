from __future__ import annotations

import time

import pytest

from maestro_es.audit.times import When, iso, parse_time, parse_when, show_ago, show_time, time_of
from maestro_es.core.events import Recorded, StepFinished

NOON = 1_769_860_800_000_000  # 2026-01-31 12:00:00 UTC
SECOND = 1_000_000


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("3d", 259_200), ("1w", 604_800), (" 5 m ", 300)]
)
def test_a_number_and_a_unit_is_so_long_ago(text, seconds):
    assert parse_time(text, NOON) == NOON - seconds * SECOND


@pytest.mark.parametrize(
    "text",
    ["2026-01-31 13:00", "2026-01-31T13:00:00", "2026-01-31T12:00:00Z", "2026-01-31T12:00+00:00", " 2026-01-31 13:00"],
)
def test_a_time_without_an_offset_is_in_the_hosts_zone(text):
    assert parse_time(text, 0) == NOON


def test_digits_alone_are_the_number_of_an_event_and_all_else_is_a_time():
    assert parse_when("20260131", NOON) == When(seq=20260131)
    assert parse_when("90s", NOON) == When(NOON - 90 * SECOND)
    assert parse_when("2026-01-31 13:00", 0) == When(NOON)
    for text in ("#12", "-3", "١٢", "9" * 19, ""):
        with pytest.raises(ValueError, match="is not a time"):
            parse_when(text, NOON)


def test_a_date_is_its_midnight_in_the_hosts_zone():
    assert parse_time("2026-01-31", 0) == NOON - 13 * 3600 * SECOND


@pytest.mark.parametrize("text", ["", "noon", "12", "3y", "-2h", "2026-13-01", "0001-01-01"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is not a time: write 30m, 2h, 3d"):
        parse_time(text, NOON)


def test_times_for_people_are_local_unless_utc_is_asked_for():
    assert show_time(NOON) == "2026-01-31 13:00:00"
    assert show_time(NOON, utc=True) == "2026-01-31 12:00:00"
    assert show_time(None) == "--"


def test_a_time_zone_that_is_days_off_is_no_error(monkeypatch):
    with monkeypatch.context() as context:
        context.setenv("TZ", "UTC+99")
        time.tzset()
        assert show_time(NOON) == "2026-01-30 12:00:00"
    time.tzset()


def test_times_for_programs_are_iso_in_utc():
    assert iso(NOON + 5) == "2026-01-31T12:00:00.000005+00:00"
    assert iso(None) is None


def test_a_time_for_programs_can_be_given_back():
    assert parse_time(iso(NOON + 5) or "", 0) == NOON + 5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s ago"),
        (5, "5 s ago"),
        (119, "119 s ago"),
        (180, "3 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 days ago"),
    ],
)
def test_how_long_ago_is_said_in_its_largest_unit(seconds, words):
    assert show_ago(NOON - seconds * SECOND, NOON) == words


def test_an_event_that_was_recorded_at_once_has_the_time_of_what_it_tells():
    ended = 9_900_000
    for recorded_at, shown in ((ended + 200_000, ended), (ended + 30_000_000, ended + 30_000_000)):
        event = Recorded(1, recorded_at, 0, 1, StepFinished(token="t", at=ended))
        assert time_of(event) == shown
