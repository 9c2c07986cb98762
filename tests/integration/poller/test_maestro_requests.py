"""Maestro's request files: applied once, whatever dies in between, and never in the way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.core.file_names import CANCEL, UPDATE
from maestro_es.core.model import StudyStatus
from maestro_es.drivers import cron_tick
from tools.testbed.studies import Bench, Step


@pytest.fixture
def study(bench: Bench) -> Bench:
    """A study with a step that waits for its end to be told."""
    bench.create(Step("long", cmd="until [ -e ../go ]; do sleep 0.05; done", restart="true"), Step("next"))
    bench.tick()
    return bench


class Killed(BaseException):
    """The process dies here."""


def _die_at(effect: str) -> Callable[[str], None]:
    def after(done: str) -> None:
        if done == effect:
            raise Killed

    return after


def _settings(study: Bench) -> list[tuple[str, object]]:
    return [(event.what, event.after) for event in study.events(e.SettingsChanged)]


def test_a_cancel_whose_tick_dies_before_the_file_is_removed_is_not_applied_again(study: Bench):
    (study.root / CANCEL).touch()
    with pytest.raises(Killed):
        study.tick(on_effect=_die_at("append"))
    assert (study.root / CANCEL).exists()
    assert len(study.events(e.CancelRequested)) == 1

    study.finish()

    assert not (study.root / CANCEL).exists()
    assert len(study.events(e.CancelRequested)) == 1
    assert study.status is StudyStatus.CANCELLED


def test_an_update_whose_tick_died_does_not_undo_what_was_set_since(study: Bench):
    (study.root / UPDATE).write_text("throttle: 7\n")
    with pytest.raises(Killed):
        study.tick(on_effect=_die_at("append"))
    with study.open() as opened:
        opened.request(lambda graph: requests.update(graph, {"throttle": 9}))

    study.tick()

    assert _settings(study) == [("submission_throttle", 7), ("submission_throttle", 9)]
    assert not (study.root / UPDATE).exists()


def test_the_reason_tells_the_file_its_owner_and_its_time(study: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    (study.root / UPDATE).write_text("sleep: 5\n")
    os.utime(study.root / UPDATE, ns=(0, 1_700_000_000_123_456_789))

    study.tick()

    [event] = study.events(e.SettingsChanged)
    owner = f"uid {os.geteuid()}"
    expected = f"Maestro's request file .study.update.lock, left by {owner} at 2023-11-14 22:13:20.123456789 UTC"
    assert event.reason == expected


def test_an_update_file_that_is_still_empty_is_left_for_a_later_tick(study: Bench):
    (study.root / UPDATE).touch()
    study.tick()
    assert (study.root / UPDATE).exists()

    (study.root / UPDATE).write_text("throttle: 3\n")
    study.tick()

    assert _settings(study) == [("submission_throttle", 3)]


def test_an_update_file_that_stays_empty_is_moved_aside(study: Bench):
    (study.root / UPDATE).touch()
    os.utime(study.root / UPDATE, (0, time.time() - 3600))

    outcome = cron_tick.tick_studies([study.root], study.runtime)

    assert outcome.code == cron_tick.WRONG
    [line] = outcome.lines
    assert line.endswith(
        "it does not contain a mapping of rlimit, sleep, throttle; it was moved to .study.update.lock.bad"
    )


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "large"])
def test_what_is_no_file_of_maestros_is_moved_aside_unread(study: Bench, kind: str):
    path = study.root / UPDATE
    makers: dict[str, Callable[[], object]] = {
        "directory": path.mkdir,
        "link": lambda: path.symlink_to("/etc/passwd"),
        "pipe": lambda: os.mkfifo(path),
        "large": lambda: path.write_text("#" * 5000),
    }
    makers[kind]()

    outcome = cron_tick.tick_studies([study.root], study.runtime)

    assert [line.partition(": ")[2] for line in outcome.lines] == [
        "this is not a file of 'maestro update'; it was moved to .study.update.lock.bad"
    ]
    assert not os.path.lexists(path)


def test_a_negative_value_is_refused_in_one_line(study: Bench):
    (study.root / UPDATE).write_text("throttle: -1\n")

    outcome = cron_tick.tick_studies([study.root], study.runtime)

    [line] = outcome.lines
    assert line.endswith("refused: --throttle must not be negative, but is -1")
    assert not (study.root / UPDATE).exists()
    assert _settings(study) == []


def test_a_second_cancel_of_a_study_that_is_being_cancelled_says_nothing(study: Bench):
    with study.open() as opened:
        opened.request(requests.cancel)
    (study.root / CANCEL).touch()

    outcome = cron_tick.tick_studies([study.root], study.runtime)

    assert outcome.lines == []
    assert not (study.root / CANCEL).exists()
    assert len(study.events(e.CancelRequested)) == 1


def test_both_requests_are_taken_in_one_tick(study: Bench):
    (study.root / UPDATE).write_text("rlimit: 0\n")
    (study.root / CANCEL).touch()

    study.tick()

    assert _settings(study) == [("restart_limit", 0)]
    assert len(study.events(e.CancelRequested)) == 1


def test_a_request_for_a_study_that_has_ended_does_not_wait_for_it_to_go_on(study: Bench):
    (study.root / "go").touch()
    study.finish()
    study.tick()
    (study.root / CANCEL).touch()

    outcome = cron_tick.tick_studies([study.root], study.runtime)

    [line] = outcome.lines
    assert "refused: the study has ended (FINISHED): there is nothing to cancel" in line
    assert not (study.root / CANCEL).exists()
