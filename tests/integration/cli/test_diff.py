from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.study.session import Session


def facts(out):
    return {
        label: value.strip() for label, colon, value in (line.partition(":") for line in out.splitlines()) if colon
    }


def data(run, study, *words):
    ran = run("diff", study, *words, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def add(study, *new_events):
    with Session(study) as opened:
        opened.log.append(new_events)
        return opened.log.head.seq


def test_a_person_reads_what_happened_to_which_steps_between_two_times(run, study):
    ran = run("diff", study, "2026-01-31 12:02:30", "2026-01-31 12:05:00")
    assert ran.code == 0
    assert facts(ran.out) == {
        "Study": "pi",
        "Path": str(study),
        "From": "2026-01-31 12:02:30, event 18",
        "To": "2026-01-31 12:05:00, event 32",
        "Submitted": "2: a_N.2, b_N.1",
        "Started": "1: b_N.1",
        "Timed out": "1: a_N.2",
        "Restarted": "1: a_N.2",
        "Finished": "1: a_N.1",
        "Failed": "3: a_N.2, b_N.2, z",
        "Steps": "1 RUNNING, 1 FINISHED, 3 FAILED",
        "b_N.2  FAILED  upstream": "a_N.2 is FAILED",
        "z      FAILED  upstream": "a_N.2 is FAILED",
    }
    assert "\na_N.2  FAILED  exit code 3\n" in ran.out


def test_without_a_second_moment_it_is_now_and_numbers_are_events(run, study):
    with Session(study) as opened:
        head = opened.log.head.seq
    assert data(run, study, head - 1)["steps"] == [
        {
            "number": 5,
            "name": "z",
            "before": "INITIALIZED",
            "after": "FAILED",
            "happened": {"failed": 1},
            "why": "upstream: a_N.2 is FAILED",
        }
    ]
    found = data(run, study, "2026-01-31 12:05:00")
    assert (found["changes"], found["happened"], found["steps"]) == ({}, {}, [])
    assert facts(run("diff", study, head).out)["Steps"] == "nothing has changed"


def test_before_the_study_began_there_was_nothing_of_it(run, study):
    for since in ("2026-01-01", 0):
        found = data(run, study, since, "2026-01-31 12:00:30")
        assert found["from"] == {"seq": 0, "time": None}
        assert [(step["before"], step["happened"]) for step in found["steps"]] == [(None, {"added": 1})] * 5
        assert found["changes"]["name"] == {"before": "", "after": "pi"}
    shown = facts(run("diff", study, "2026-01-01").out)
    assert shown["From"] == "the beginning"
    assert not {"Name", "Root", "Adapter", "Limits"} & {*shown}  # a beginning is not a change


def test_settings_pauses_and_silent_schedulers_are_told_as_they_were_and_are(run, study):
    before = add(study, (None, e.StudyPaused()))
    add(
        study,
        (None, e.StudyResumed()),
        (None, e.SettingsChanged(what="submission_throttle", before=4, after=20, reason="night")),
        (None, e.PollFailed(adapter="slurm", message="timed out")),
        (None, e.RebootDetected(host="login1", before="a", after="b")),
        (2, e.StepReset(reason="more memory")),
    )
    told = facts(run("diff", study, before).out)
    assert told["Paused"] == "yes -> no"
    assert told["Submission throttle"] == "4 -> 20"
    assert told["Unreachable"] == "none -> slurm: timed out"
    assert told["Also"] == "resumed, host rebooted, scheduler not answering"
    assert told["Reset"] == "1: a_N.2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Give one study with one or two times, or with --since-last and no time."),
        (("1", "2", "3"), "Give one study with one or two times"),
        (("--since-last", "2h"), "Give one study with one or two times"),
        (("20", "3"), "2026-01-31 12:03:00, event 20, is later than 2026-01-31 12:00:00, event 3"),
        (("999",), "there is no event 999: the last event is 32"),
        (("soon",), "'soon' is not a time: write 30m, "),
        (("1h", "2999-01-01"), "is in the future: it is now "),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(run, study, words, said):
    ran = run("diff", study, *words)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_since_last_tells_all_first_then_only_what_is_new_then_nothing(run, study):
    assert facts(run("diff", "--since-last", study).out)["From"] == "the beginning"
    assert run("diff", "--since-last", study) == (0, "", "")
    add(study, (3, e.StepFinished(token="t-3-1", at=1)))
    told = facts(run("diff", "--since-last", study).out)
    assert (told["Finished"], "Added" in told) == ("1: b_N.1", False)
    assert run("diff", "--since-last", study, "--json") == (0, "", "")


def test_events_without_news_are_no_news(run, study):
    run("diff", "--since-last", study)
    seq = add(study, (None, e.ReportIgnored(token="x", report="x.exit.0")))
    assert run("diff", "--since-last", study) == (0, "", "")
    assert int(noted(study).read_text()) == seq


def noted(study: Path) -> Path:
    return study / ".maestro-es" / f"diff-since-last.{os.geteuid()}"


def test_where_nothing_can_be_written_the_news_is_told_again_and_that_is_said(run, study):
    (study / ".maestro-es").rename(study / "away")
    for _ in range(2):
        ran = run("diff", "--since-last", study)
        assert ran.code == 0
        assert facts(ran.out)["From"] == "the beginning"
        assert ran.err.endswith("No such file or directory; the next call will show the same changes again\n")


def test_a_file_that_holds_no_number_is_an_error_that_says_what_to_do(run, study):
    noted(study).write_text("what?")
    ran = run("diff", "--since-last", study)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"maestro-es: {noted(study)}: can't be read as an event's number")
    assert "remove it" in ran.err


def test_a_log_that_was_put_back_to_an_older_state_is_told_from_the_beginning(run, study):
    noted(study).write_text("5000\n")
    assert facts(run("diff", "--since-last", study).out)["From"] == "the beginning"
    assert run("diff", "--since-last", study) == (0, "", "")
