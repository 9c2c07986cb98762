"""retry, skip, hold, release and reopen, as they are typed."""

from __future__ import annotations

import json

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.study import registry
from maestro_es.study.session import Session
from tests.integration.cli.conftest import STUDY_ID


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


@pytest.fixture
def ended(study):
    """The study once its last job has finished: it has ended with FAILURE."""
    with Session(study) as opened:
        opened.log.append([
            (3, e.StepFinished(token="t-3-1", at=1)),
            (None, e.StudyCompleted(status=StudyStatus.FAILURE)),
        ])  # fmt: skip
    return study


def last_events(study, count):
    with Session(study) as opened:
        events = list(opened.log.events(after=opened.log.head.seq - count))
        return [(type(r.event).__name__, r.step, getattr(r.event, "reason", None)) for r in events]


def test_a_failed_study_is_retried_and_goes_on(run, ended):
    registry.register(STUDY_ID, ended)

    done = run("retry", ended, "--failed", "--rlimit", "4", "--reason", "more time")

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:2] == [
        f"{ended}: restart_limit is 4 now, was 1",
        f"{ended}: will run: a_N.2 (its restart script), b_N.2, z",
    ]
    assert done.out.splitlines()[2].startswith(f"{ended}: the study continues. ")
    assert last_events(ended, 5) == [
        ("StudyReopened", None, "more time"),
        ("SettingsChanged", None, "more time"),
        ("StepReset", 5, "more time"),
        ("StepReset", 4, "more time"),
        ("StepReset", 2, "more time"),
    ]
    assert "RUNNING" in run("status", ended, "--summary").out
    assert "WARNING" not in run("status", ended, "--summary").out


def test_a_study_that_is_not_registered_says_that_no_cron_ticks_it(run, ended):
    assert "use 'maestro-es tick STUDY'" in run("retry", ended, "a_N.2").out


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["retry"], "name the steps to run again, or use --failed for all failed steps"),
        (["retry", "nope"], "no step is called nope"),
        (["retry", "z"], "z can't run again: it waits for a_N.2, which is FAILED; retry that step too, or skip it"),
        (["retry", "b_N.1"], "b_N.1 is in flight: cancel it first, or wait for it to end"),
        (["retry", "a_N.1"], "a_N.1 can't run again alone, because b_N.1 ran after it: add --descendants"),
        (["retry", "a_N.1", "--descendants"], "in flight: b_N.1; cancel these first, or wait until they end"),
        (["retry", "--failed", "--rlimit", "-1"], "--rlimit must not be negative, but is -1"),
        (["skip", "b_N.1"], "b_N.1 is in flight: cancel it first"),
        (["skip", "a_N.1"], "a_N.1 has finished: there is nothing to skip"),
        (["hold", "a*"], "a_N.1 has ended (FINISHED): there is nothing to hold; 1 other step was refused too"),
        (["release", "z"], "z is not held"),
        (["reopen"], "the study has not ended; 'maestro-es retry STEP' runs a cancelled step again"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_and_changes_nothing(run, study, words, refusal):
    with Session(study) as opened:
        before = opened.log.head

    done = run(words[0], study, *words[1:])

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"maestro-es: {refusal}")
    assert done.err.count("\n") == 1
    with Session(study) as opened:
        assert opened.log.head == before


@pytest.mark.parametrize("command", ["skip", "hold", "release"])
def test_steps_are_to_be_named(run, study, command, monkeypatch):
    monkeypatch.chdir(study)

    assert run(command).code == 1
    assert run(command, study).err == "maestro-es: name the steps\n"


def test_a_skipped_step_is_shown_as_such(run, study):
    assert run("skip", study, "a_N.2", "--reason", "done by hand").out == (
        f"{study}: will run: b_N.2, z\n{study}: skipped: a_N.2\n"
    )

    [step] = json.loads(run("status", study, "a_N.2", "--json").out)["steps"]
    assert (step["state"], step["skipped"]) == ("FINISHED", True)
    assert step["why"].startswith("skipped by ")
    assert step["why"].endswith(": done by hand")
    assert "skipped by" in run("show", study, "a_N.2").out
    assert "skipped by" in run("history", study, "a_N.2").out


def test_held_steps_are_shown_as_such_until_they_are_released(run, ended):
    run("retry", ended, "--failed")

    assert run("hold", ended, "*", "--reason", "look first").out == f"{ended}: held: a_N.2, b_N.2, z\n"
    summary = run("status", ended, "--summary").out
    assert "RUNNING, 3 steps held" in summary
    assert f"Nothing continues until held steps are released: 'maestro-es release {ended} STEP...'" in summary
    [found] = [step for step in json.loads(run("status", ended, "--json").out)["steps"] if step["name"] == "a_N.2"]
    assert (found["held"], found["why"]) == (True, "held")
    assert "was held" in run("history", ended, "a_N.2").out

    assert run("release", ended, "a*").out == f"{ended}: released: a_N.2\n"
    assert "Nothing continues" not in run("status", ended, "--summary").out


def test_a_held_step_that_is_to_run_again_is_said_to_be_held_and_a_paused_study_to_be_paused(run, study):
    run("skip", study, "a_N.2")
    run("hold", study, "z")
    run("pause", study)
    with Session(study) as opened:
        opened.log.append(
            [(4, e.StepCancelled(at=1, message="cancelled")), (5, e.StepCancelled(at=1, message="", blocker=4))]
        )

    assert run("retry", study, "b*").out.splitlines() == [
        f"{study}: will run: b_N.2, z",
        f"{study}: still held, until 'maestro-es release': z",
        f"{study}: paused; use 'maestro-es resume' to continue",
    ]


def test_a_cancelled_study_is_reopened(run, ended):
    run("retry", ended, "--failed")
    with Session(ended) as opened:
        opened.log.append([(None, e.CancelRequested())])
        opened.log.append([(number, e.StepCancelled(at=1, message="cancelled before it ran")) for number in (2, 4, 5)])
        opened.log.append([(None, e.StudyCompleted(status=StudyStatus.CANCELLED))])

    done = run("reopen", ended, "--reason", "by mistake")

    resumed = f"{ended}: will run: a_N.2 (its restart script), b_N.2, z\n{ended}: the study continues. "
    assert done.out.startswith(resumed)
    assert last_events(ended, 4)[0] == ("StudyReopened", None, "by mistake")
    assert run("reopen", ended).err.startswith("maestro-es: the study has not ended")


def test_the_hardware_limit_is_a_setting(run, study):
    assert run("update", study, "--hardware-limit", "7").out == f"{study}: hardware_limit is 7 now, was 3\n"


@pytest.mark.parametrize("words", [("cancel", "-y"), ("update", "--throttle", "9")], ids=lambda words: words[0])
def test_what_is_asked_of_several_studies_is_done_to_those_that_can_be_read(run, study, tmp_path, words):
    (tmp_path / "gone").mkdir()
    ran = run(*words, f"{tmp_path}/gone/", study)
    assert ran.code == 1
    lines = [f"maestro-es: {tmp_path}/gone: not a study directory, there is no events.db in it"]
    if words[0] == "cancel":
        left = "the cancellation is recorded; jobs that may still be running: 1"
        lines.append(f"maestro-es: {study}: {left}; the next tick on node1 ends the others")
    assert ran.err.splitlines() == lines
    with Session(study) as opened:
        assert (opened.graph.study.cancelling, opened.graph.study.settings.submission_throttle) in [
            (True, 4),
            (False, 9),
        ]
