from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tests.integration.cli.conftest import NOON, SECOND


def told(run, *words):
    ran = run("why", *words, "--json")
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def sentence(run, *words):
    ran = run("why", *words)
    assert ran.code == 0, ran.err
    return ran.out.splitlines()[0]


def append(study, *new_events):
    with Session(study, Runtime(now=lambda: NOON + 600 * SECOND)) as opened:
        opened.log.append(new_events)


def test_a_sentence_stands_above_the_events_that_prove_it(run, study):
    lines = run("why", study, "b_N.2").out.splitlines()
    assert lines[0] == (
        "b_N.2 was not run because a_N.2 failed at 2026-01-31 12:05:00 with exit code 3 "
        "(attempt 2, job 1002 on login1); attempt 1 ran out of time"
    )
    assert lines[1].split() == ["Seq", "Time", "Step", "By", "What"]
    assert [line.split()[3] for line in lines[2:]] == ["a_N.2", "a_N.2", "a_N.2", "a_N.2", "b_N.2"]
    assert lines[-2].endswith("failed with exit code 3 (report: exit.3)")
    assert lines[-1].endswith("was not run (upstream): a_N.2 is FAILED")


def test_the_example_in_the_readme_is_what_is_printed(run, study):
    printed = run("why", study, "b_N.2").out.splitlines()
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    example = readme.partition("    $ maestro-es why pi b_N.2\n")[2].partition("\n\n")[0].splitlines()
    me = pwd.getpwuid(os.geteuid()).pw_name
    shown = [" ".join(line.split()) for line in example]
    assert shown == [" ".join(line.replace(me, "you").split()) for line in printed]


def test_json_has_the_state_the_sentence_and_the_events_in_utc(run, study):
    [found] = told(run, study, "a_N.1")
    assert (found["step"], found["state"]) == ("a_N.1", "FINISHED")
    assert found["why"] == "a_N.1 finished at 2026-01-31 12:03:00 UTC with exit code 0 (job 1000 on node1)"
    assert [event["type"] for event in found["evidence"]] == ["JobSubmitted", "JobStarted", "StepFinished"]
    [listed] = [
        json.loads(line) for line in run("history", study, "--json", "--type", "StepFinished").out.splitlines()
    ]
    assert found["evidence"][-1] == listed


def test_several_steps_have_a_block_each(run, study):
    assert [found["step"] for found in told(run, study, "z", "a")] == ["a_N.1", "a_N.2", "z"]
    blocks = run("why", study, "a_*", "z").out.split("\n\n")
    assert [block.split()[0] for block in blocks] == ["a_N.1", "a_N.2", "z"]


def test_without_a_step_it_is_about_the_study(run, study, monkeypatch):
    monkeypatch.chdir(study)
    [found] = told(run)
    assert (found["step"], found["state"]) == (None, "RUNNING")
    assert found["why"] == (
        "pi: 1 of 5 steps is not done, 1 in flight; b_N.1 has been running since 2026-01-31 12:02:00 UTC as job 1003 "
        "on node1; "
        "only a tick on node1 can see whether it is still running; if that host or container is gone for good, use "
        f"'maestro-es retry {study} b_N.1 --lost'"
    )


def test_at_a_moment_only_what_was_known_then_counts(run, study):
    before = told(run, study, "z", "--at", "2026-01-31 12:03")[0]
    assert before["state"] == "INITIALIZED"
    assert before["why"].startswith("z waits for all of b (2 not finished)")
    last = json.loads(run("status", study, "--at", "2026-01-31 12:03", "--json").out)["study"]["seq"]
    assert all(event["seq"] <= last for event in before["evidence"])
    assert sentence(run, study, "z", "--at", str(last)) == sentence(run, study, "z", "--at", "2026-01-31 12:03")


def test_a_ready_step_says_when_the_last_tick_was(run, study):
    append(study, (2, e.StepReset(reason="try again")))
    assert ": the next tick submits it, but there has been none yet; " in sentence(run, study, "a_N.2")
    (study / ".maestro-es" / "last-tick").touch()
    assert ": the next tick submits it; the last tick was 0 s ago; " in sentence(run, study, "a_N.2")
    then = str(json.loads(run("status", study, "--json").out)["study"]["seq"])
    assert ": the next tick submits it; " in sentence(run, study, "a_N.2", "--at", then)
    assert "the last one" not in sentence(run, study, "a_N.2", "--at", then)


def test_a_study_that_nothing_ticks_says_so(run, study):
    append(study, (2, e.StepReset()))
    (study / ".maestro-es" / "last-tick").touch()
    old = (study / ".maestro-es" / "last-tick").stat().st_mtime - 7200
    os.utime(study / ".maestro-es" / "last-tick", (old, old))
    assert "but the last tick was 2 h ago: ticks seem to have stopped" in sentence(run, study, "a_N.2")


def test_who_paused_the_study_is_named(run, study):
    append(study, (2, e.StepReset()))
    assert run("pause", study, "--reason", "maintenance").code == 0
    words = sentence(run, study, "a_N.2")
    assert "a_N.2 is ready to run, but the study is paused, as " in words
    assert "(reason: maintenance)" in words


def test_a_step_that_there_is_not_is_an_error_in_one_line(run, study):
    assert run("why", study, "nope").err == (
        "maestro-es: no step is called nope; 'maestro-es status' lists the steps\n"
    )


def test_one_study_at_a_time(run, study):
    assert "Give only one study." in run("why", study, study).err
