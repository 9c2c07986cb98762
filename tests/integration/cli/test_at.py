from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys

import pytest

from maestro_es.core import events as e
from maestro_es.study.session import Session


def status(run, study, *words):
    ran = run("status", study, *words, "--json")
    assert ran.code in {0, 2}, ran.err  # 2: ticks are overdue
    return json.loads(ran.out)


def states(run, study, when):
    return {step["name"]: step["state"] for step in status(run, study, "--at", when)["steps"]}


def seq_of(run, study, kind):
    """Return the number of the last event of a type."""
    return [json.loads(line)["seq"] for line in run("history", study, "--type", kind, "--json").out.splitlines()][-1]


def test_the_status_at_a_time_is_what_the_log_knew_then(run, study):
    assert set(states(run, study, "2026-01-31 12:00:30").values()) == {"INITIALIZED"}
    at = states(run, study, "2026-01-31 12:02:30")
    assert at == {
        "a_N.1": "RUNNING", "a_N.2": "RUNNING", "b_N.1": "INITIALIZED", "b_N.2": "INITIALIZED", "z": "INITIALIZED",
    }  # fmt: skip
    assert states(run, study, "2026-01-31T12:02:30Z") == at
    assert states(run, study, "2026-01-31T13:02:30+01:00") == at


def test_durations_are_as_of_the_moment(run, study):
    found = status(run, study, "--at", "2026-01-31 12:02:30", "a_N.1")
    [step] = found["steps"]
    assert (step["run_seconds"], step["elapsed_seconds"], step["ended_at"]) == (30.0, 90.0, None)
    assert found["study"]["at"] == "2026-01-31T12:02:30.000000+00:00"
    [row] = list(
        csv.DictReader(io.StringIO(run("status", study, "a_N.1", "--csv", "--at", "2026-01-31 12:02:30").out))
    )
    assert (row["State"], row["Run Time"], row["Elapsed Time"]) == ("RUNNING", "0d:00h:00m:30s", "0d:00h:01m:30s")


def test_the_status_after_an_event_counts_to_when_that_was_recorded(run, study):
    seq = seq_of(run, study, "StepRestarted")
    found = status(run, study, "--at", seq)
    assert (found["study"]["seq"], found["study"]["at"]) == (seq, "2026-01-31T12:03:00.000000+00:00")
    assert {step["name"]: (step["state"], step["restarts"]) for step in found["steps"]}["a_N.2"] == ("TIMEDOUT", 1)
    assert status(run, study, "--at", seq - 1, "a_N.2")["steps"][0]["restarts"] == 0


def test_at_the_last_event_the_status_is_that_of_now_but_for_the_clock_and_what_no_log_knows(run, study):
    now = status(run, study)
    then = status(run, study, "--at", now["study"]["seq"])
    assert then["study"] == {**now["study"], "at": "2026-01-31T12:05:00.000000+00:00", "overdue": None}
    for step, past in zip(now["steps"], then["steps"], strict=True):
        if step["state"] == "RUNNING":
            step["run_seconds"], step["elapsed_seconds"] = past["run_seconds"], past["elapsed_seconds"]
        assert past == step


def test_a_person_reads_of_which_moment_it_is_and_nothing_about_ticks(run, study):
    (study / ".maestro-es" / "last-tick").touch()
    out = run("status", study, "--at", "2026-01-31 12:02:30", "--summary").out
    last = json.loads(run("history", study, "--until", "2026-01-31 12:02:30", "-n", 1, "--json").out)["seq"]
    assert f"As of:     2026-01-31 12:02:30, event {last}\n" in out
    assert "Steps:     5: 3 INITIALIZED, 2 RUNNING\n" in out
    assert "tick" not in out
    assert "As of" not in run("status", study, "--summary").out


def test_pauses_and_silent_schedulers_are_those_of_then(run, study):
    with Session(study) as opened:
        opened.log.append([(None, e.StudyPaused()), (None, e.PollFailed(adapter="slurm", message="timed out"))])
        paused = opened.log.head.seq
        opened.log.append([(None, e.StudyResumed()), (None, e.PollRecovered(adapter="slurm"))])
    assert "Status:    RUNNING, paused\n" in run("status", study, "--at", paused, "--summary").out
    assert "WARNING: slurm does not answer" in run("status", study, "--at", paused).out
    assert status(run, study, "--at", paused + 2)["study"]["unreachable"] == {}


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("2026-01-31 11:59", "the study did not exist yet: its first event is from 2026-01-31 12:00:00"),
        ("2999-01-01", "2999-01-01 00:00:00 is in the future: it is now "),
        ("0", "the study did not exist yet: its first event is from 2026-01-31 12:00:00"),
        ("20260131", "there is no event 20260131: the last event is "),
        ("yesterday", "Invalid value for '--at': 'yesterday' is not a time: write 30m, 2h, 3d, 2026-01-31 or "),
        ("#3", "Invalid value for '--at': '#3' is not a time: "),
    ],
)
def test_a_moment_that_there_was_not_is_refused_in_one_line(run, study, when, said):
    for command in (("status", study), ("show", study, "a_N.1")):
        ran = run(*command, "--at", when)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith(f"maestro-es: {said}")
        assert ran.err.count("\n") == 1


def test_a_step_is_shown_as_it_was_with_the_attempts_that_there_were_and_without_files(run, study):
    seq = seq_of(run, study, "StepTimedOut") - 1
    found = json.loads(run("show", study, "a_N.2", "--at", seq, "--json").out)
    assert (found["state"], found["why"]) == (
        "RUNNING",
        "has been running since 2026-01-31 12:02:00 UTC as job 1001 on node1",
    )
    assert [(attempt["number"], attempt["outcome"]) for attempt in found["attempts"]] == [(1, "in flight")]
    assert found["children"] == [{"name": "b_N.2", "state": "INITIALIZED"}]
    assert (found["scripts"], found["outputs"], found["errors"]) == (None, None, None)
    assert found["run_seconds"] == 60.0
    out = run("show", study, "a_N.2", "--at", seq).out
    assert "Run time:   1:00\n" in out
    assert "Script" not in out
    assert "1002" not in out


def test_a_step_that_was_added_later_is_not_there_yet(run, study):
    ran = run("show", study, "z", "--at", seq_of(run, study, "StepAdded") - 1)
    assert ran.err == "maestro-es: no step is called z; 'maestro-es status' lists the steps\n"


def test_looking_back_changes_nothing(run, study):
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    run("status", study, "--at", "2026-01-31 12:02:30")
    run("show", study, "a_N.2", "--at", 20)
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def test_a_full_disk_for_temporary_files_is_one_line_and_try_again(study):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    words = [sys.executable, "-m", "maestro_es", "why", str(study), "z", "--at", "20"]
    ran = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit, check=False)

    assert ran.returncode == 75
    assert "can't hold the steps of a past moment" in ran.stderr
    assert ran.stderr.count("\n") == 1
