"""Ticks that did not come: how long, since when, and on which host the next one was, is in the log."""

from __future__ import annotations

import os
import time

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.drivers.cron_tick import tick_studies
from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

HOUR = 3600 * 1_000_000


def test_a_gap_between_two_ticks_is_in_the_log_once_and_is_told(bench: Bench):
    bench.create(Step("a", "sleep 60"))
    began = int(time.time() * 1_000_000) + HOUR  # later than the study was made
    bench.tick(now=lambda: began)
    bench.tick(now=lambda: began + HOUR)
    bench.tick(now=lambda: began + HOUR + 60_000_000)

    [missed] = bench.events(e.TicksMissed)
    assert (missed.since, missed.seconds) == (began, 3600)
    assert bench.dir.ticked_at() == began + HOUR + 60_000_000
    told = maestro_es("history", bench.root, "--type", "TicksMissed").stdout
    assert "no tick ran for 60 min" in told


def test_a_tick_that_died_before_it_could_say_that_it_came_does_not_let_the_gap_be_noted_again(bench: Bench):
    bench.create(Step("a", "sleep 60"))
    began = int(time.time() * 1_000_000) + HOUR  # later than the study was made
    bench.tick(now=lambda: began)
    bench.tick(now=lambda: began + HOUR)
    bench.dir.note_tick(began)
    bench.tick(now=lambda: began + HOUR + 60_000_000)
    assert len(bench.events(e.TicksMissed)) == 1


def test_the_time_between_the_end_of_a_study_and_its_going_on_is_no_gap(bench: Bench):
    bench.create(Step("a", "test -e ../mended"))
    assert bench.finish() is StudyStatus.FAILURE
    bench.dir.note_tick(int(time.time() * 1_000_000) - 5 * HOUR)
    (bench.root / "mended").touch()
    assert maestro_es("retry", bench.root, "--failed").returncode == 0
    assert bench.finish() is StudyStatus.FINISHED
    assert bench.events(e.TicksMissed) == []


def test_another_host_and_another_boot_are_in_the_log_and_told(bench: Bench):
    bench.create(Step("a", "sleep 60"), Step("b", "true"))
    bench.tick()
    here = bench.runtime.host
    bench.until(lambda: bench.step("b").state.name == "FINISHED")
    end_all_under(bench.root)
    bench.tick(host=here._replace(boot_id="another-boot"))
    with bench.open(host=here._replace(name="other-login")) as study:
        study.log.append([(None, e.StudyPaused())])

    assert [event.after for event in bench.events(e.RebootDetected)] == ["another-boot"]
    told = maestro_es("history", bench.root).stdout
    assert f"{here.name} was rebooted" in told
    assert "on other-login" in told
    counted = maestro_es("history", bench.root, "--count-by", "host").stdout
    assert "other-login" in counted


@pytest.mark.parametrize("last", [False, True], ids=["of a step", "of the study"])
def test_the_end_that_a_tick_saw_and_died_before_it_showed_is_shown_by_the_next_one(bench: Bench, last: bool):
    bench.create(Step("a"), *([] if last else [Step("b", "sleep 60")]))
    bench.tick()
    wait_for(lambda: any(".exit" in name for name in os.listdir(bench.dir.inbox)))

    def die(_effect: str) -> None:
        if bench.events(e.StudyCompleted if last else e.StepFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.tick(on_effect=die)
    assert "FINISHED" not in bench.dir.status_csv.read_text()

    assert tick_studies([bench.root], bench.runtime).code == 0
    assert "FINISHED" in bench.dir.status_csv.read_text()
    shown = bench.dir.status_csv.stat()
    tick_studies([bench.root], bench.runtime)
    assert bench.dir.status_csv.stat() == shown or not last
