"""Which outputs are in doubt after a reboot, by what is known of the time before it."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.decide import look_back
from maestro_es.core.events import NewEvent
from maestro_es.core.model import JobState, StudyStatus
from maestro_es.core.observations import AttemptObservation, LastBoot, Report, ReportKind
from maestro_es.errors import InvalidTransition
from tests.unit.core.making import Study, check_counts, look

SECOND = 1_000_000
WINDOW = 60 * SECOND

#: When the host was up again.
BOOTED = 1_000 * SECOND


def ran(study: Study, name: str, at: int, host: str = "login1", boot: str = "boot1") -> int:
    """Let a local step run to its end."""
    number = study.add(name)
    token = study.request(number)
    study.do(e.JobSubmitted(token=token, job_id="17", host=host, instance=boot), number)
    study.do(e.StepFinished(token=token, at=at), number)
    return number


def doubted(study: Study, alive_at: int | None) -> list[str]:
    """Return the steps whose output the first tick after a reboot puts in doubt."""
    past = LastBoot(alive_at, WINDOW)
    new_events = study.tick(boot_id="boot2", now=BOOTED + 60 * SECOND, last_boot=past)
    return [study.step(number or 0).name for number, event in new_events if isinstance(event, e.OutputDoubted)]


def test_what_ended_within_the_window_before_the_last_sign_of_life_is_in_doubt(study: Study):
    ran(study, "early", 839 * SECOND)
    ran(study, "late", 841 * SECOND)
    study.add("waits")
    assert doubted(study, 900 * SECOND) == ["late"]
    assert [step.name for step in study.graph.doubted()] == ["late"]
    check_counts(study)
    assert doubted(study, 900 * SECOND) == []  # it is on record


def test_without_a_sign_of_life_the_last_end_is_one(study: Study):
    ran(study, "early", 100 * SECOND)
    ran(study, "late", 150 * SECOND)
    ran(study, "last", 200 * SECOND)
    study.add("waits")
    assert doubted(study, None) == ["late", "last"]


@pytest.mark.parametrize(("host", "boot"), [("login2", "boot1"), ("login1", "boot0"), ("", "")])
def test_the_output_of_other_hosts_and_boots_is_not_in_doubt(study: Study, host: str, boot: str):
    ran(study, "other", 899 * SECOND, host, boot)
    study.add("waits")
    assert doubted(study, 900 * SECOND) == []


def test_what_is_skipped_or_has_failed_has_no_output_in_doubt(study: Study):
    number = ran(study, "a", 899 * SECOND)
    study.do(e.StepReset(), number)
    study.do(e.StepSkipped(by="me"), number)
    study.add("waits")
    assert doubted(study, 900 * SECOND) == []


def test_what_ended_in_an_earlier_boot_and_is_seen_only_now_is_in_doubt_however_long_ago(study: Study):
    number = study.add("a")
    token = study.request(number)
    study.do(e.JobSubmitted(token=token, job_id="17", host="login1", instance="boot1"), number)
    study.do(e.RebootDetected(host="login1", before="boot1", after="boot2"))
    study.do(e.InvocationStarted(actor="me", host="login1", boot_id="boot2", pid=1, command="", version=""))
    study.do(e.RebootDetected(host="login1", before="boot1", after="boot2"))
    report = Report(token, ReportKind.EXIT, 0, 5 * SECOND, "exit.0")
    new_events = study.tick(
        {number: AttemptObservation(queue=JobState.GONE, reports=(report,))}, boot_id="boot2", now=BOOTED
    )
    assert [type(event) for _, event in new_events][:2] == [e.StepFinished, e.OutputDoubted]


def test_a_study_that_has_ended_is_looked_at_once(study: Study):
    ran(study, "a", 899 * SECOND)
    study.tick()
    assert study.graph.study.status is StudyStatus.FINISHED
    seen = look(boot_id="boot2", now=BOOTED, last_boot=LastBoot(900 * SECOND, WINDOW))
    found: list[NewEvent] = []

    def record(new_events: list[NewEvent]) -> None:
        found.extend(new_events)
        study.record(new_events)

    look_back(study.graph, seen, record)
    assert [type(event) for _, event in found] == [e.RebootDetected, e.OutputDoubted]


def test_a_step_that_runs_again_has_no_output_in_doubt(study: Study):
    number = ran(study, "a", 899 * SECOND)
    study.do(e.OutputDoubted(host="login1", alive_at=900 * SECOND), number)
    with pytest.raises(InvalidTransition, match="in doubt already"):
        study.do(e.OutputDoubted(host="login1", alive_at=900 * SECOND), number)
    study.do(e.StepReset(), number)
    assert not study.step(number).doubted
