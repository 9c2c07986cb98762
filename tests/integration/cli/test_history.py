from __future__ import annotations

import csv
import io
import json
import time


def rows(run, *words):
    """Return seq, step, type and sentence of each event."""
    ran = run("history", *words, "--json")
    assert ran.code == 0, ran.err
    return [(row["seq"], row["step"], row["type"], row["what"]) for row in map(json.loads, ran.out.splitlines())]


def test_every_event_is_shown_newest_last(run, study):
    lines = run("history", study).out.splitlines()
    assert lines[0].split() == ["Seq", "Time", "Step", "Event", "By", "What"]
    assert [int(line.split()[0]) for line in lines[1:]] == list(range(1, len(lines)))
    assert "2026-01-31 12:05:00  z      StepFailed" in lines[-1]
    assert lines[-1].endswith("was not run (upstream): a_N.2 is FAILED")


def test_json_carries_the_whole_payload_and_who_wrote_it(run, study):
    last = json.loads(run("history", study, "--type", "StepFailed", "--step", "a_*", "--json").out)
    assert last.pop("actor")
    assert last.pop("driver") == "person"
    assert last.pop("invocation") < last.pop("seq")
    assert last == {
        "time": "2026-01-31T12:05:00.000000+00:00",
        "step": "a_N.2",
        "type": "StepFailed",
        "what": "failed with exit code 3",
        "version": 1,
        "data": {
            "at": 1769861100000000,
            "cause": "exit code",
            "message": "exit code 3",
            "token": "t-2-2",
            "exit_code": 3,
            "evidence": [{"source": "report", "detail": "exit.3"}],
        },
    }


def test_steps_are_named_by_instance_template_or_glob(run, study):
    assert {step for _, step, _, _ in rows(run, study, "a_N.1")} == {"a_N.1"}
    assert {step for _, step, _, _ in rows(run, study, "--step", "b")} == {"b_N.1", "b_N.2"}
    assert {step for _, step, _, _ in rows(run, study, "z", "--step", "*.2")} == {"a_N.2", "b_N.2", "z"}


def test_the_story_of_one_step_is_told_in_order(run, study):
    assert [(kind, what) for _, _, kind, what in rows(run, study, "a_N.2")] == [
        ("StepAdded", "was added"),
        ("SubmissionRequested", "attempt 1 (first) will be submitted"),
        ("JobSubmitted", "job 1001 was submitted"),
        ("JobStarted", "started on node1"),
        ("StepTimedOut", "ran out of time"),
        ("StepRestarted", "will be restarted (restart 1 of 1)"),
        ("SubmissionRequested", "attempt 2 (restart) will be submitted"),
        ("JobSubmitted", "job 1002 was submitted"),
        ("StepFailed", "failed with exit code 3"),
    ]


def test_types_are_globs_of_any_case(run, study):
    assert {kind for _, _, kind, _ in rows(run, study, "--type", "step*ed", "--type", "StudyCreated")} == {
        "StudyCreated", "StepAdded", "StepFinished", "StepRestarted", "StepFailed", "StepTemplateAdded",
    }  # fmt: skip


def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(run, study):
    ran = run("history", study, "--type", "StepFell")
    assert ran.code == 1
    assert ran.err.startswith("maestro-es: no event type is called StepFell; the types are AttemptAbandoned, ")


def test_since_and_until_include_their_moment(run, study):
    all_rows = rows(run, study)
    first = rows(run, study, "--until", "2026-01-31 12:00")
    minute = rows(run, study, "--since", "2026-01-31 12:02", "--until", "2026-01-31T12:02:00")
    last = rows(run, study, "--since", "2026-01-31 12:02:01")
    assert {kind for _, _, kind, _ in minute} == {"InvocationStarted", "JobSubmitted", "JobStarted"}
    assert first[-1][2] == "StepAdded"
    assert len(first) + 3 + len(minute) + len(last) == len(all_rows)
    assert rows(run, study, "--until", "2026-01-31 11:59") == []
    assert rows(run, study, "--since", "3000-01-01") == []


def test_relative_times_are_counted_back_from_now(run, study):
    assert rows(run, study, "--since", "1h") == []
    assert rows(run, study, "--until", "1h") == rows(run, study)


def test_a_limit_keeps_the_last_events_that_pass_the_filters(run, study):
    all_rows = rows(run, study)
    assert rows(run, study, "-n", 3) == all_rows[-3:]
    assert rows(run, study, "--limit", 1000) == all_rows
    assert rows(run, study, "-n", 1, "--type", "StepFinished") == [row for row in all_rows if row[2] == "StepFinished"]
    assert rows(run, study, "-n", 2, "a_N.1") == [row for row in all_rows if row[1] == "a_N.1"][-2:]
    assert (
        rows(run, study, "-n", 2, "--until", "2026-01-31 12:00")[-1]
        == rows(run, study, "--until", "2026-01-31 12:00")[-1]
    )


def test_what_is_no_time_is_refused_with_examples(run, study):
    ran = run("history", study, "--since", "noon")
    assert ran.code == 1
    assert "'noon' is not a time: write 30m, 2h, 3d, 2026-01-31 or '2026-01-31 14:30'" in ran.err


def test_times_are_local_unless_utc_is_asked_for(run, study, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert "2026-01-31 21:05:00" in run("history", study, "-n", 1).out
    assert "2026-01-31 12:05:00" in run("history", study, "-n", 1, "--utc").out


def test_csv_has_a_header_and_quotes_what_it_must(run, study):
    table = list(csv.reader(io.StringIO(run("history", study, "a_N.1", "--csv").out)))
    assert table[0] == ["seq", "time", "step", "type", "actor", "what", "data"]
    assert table[-1][1:4] == ["2026-01-31T12:03:00.000000+00:00", "a_N.1", "StepFinished"]
    assert json.loads(table[-1][-1]) == {"token": "t-1-1", "at": 1769860980000000}


def test_one_study_at_a_time(run, study):
    ran = run("history", study, study)
    assert (ran.code, ran.out) == (1, "")
    assert "Give only one study." in ran.err
