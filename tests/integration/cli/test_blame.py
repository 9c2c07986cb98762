from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from maestro_es.adapters.host import this_host
from maestro_es.core import events as e
from maestro_es.core import requests
from maestro_es.study.session import Session


def decided(run, *words):
    """Return type, command and reason of each decision."""
    ran = run("blame", *words, "--json")
    assert ran.code == 0, ran.err
    return [(row["type"], row["command"], row["reason"]) for row in map(json.loads, ran.out.splitlines())]


@pytest.fixture
def meddled(run, study):
    """Return the study after a person has asked for this and that, of which not all is about b_N.1."""
    assert run("update", study, "--throttle", 2, "--reason", "be nice").code == 0
    assert run("pause", study, "--reason", "maintenance").code == 0
    with Session(study) as opened:
        opened.request(lambda graph: requests.cancel(graph, ["b_N.1"], "wrong input"))
    assert run("resume", study).code == 0
    return study


def test_what_people_decided_is_shown_with_their_commands_newest_last(run, meddled):
    found = decided(run, meddled, "b_N.1")
    assert [(kind, reason) for kind, _, reason in found] == [
        ("StudyCreated", ""),
        ("SettingsChanged", "be nice"),
        ("StudyPaused", "maintenance"),
        ("CancelRequested", "wrong input"),
        ("StudyResumed", ""),
    ]
    assert found[2][1] == f"maestro-es pause {meddled} --reason maintenance"


def test_what_came_after_the_end_of_a_step_did_not_matter_to_it(run, meddled):
    assert [kind for kind, _, _ in decided(run, meddled, "a_N.1")] == ["StudyCreated"]


def test_what_was_decided_about_the_step_and_what_it_ended_because_of_is_shown(run, study):
    with Session(study) as opened:
        opened.log.append(
            [
                (2, e.StepReset(reason="once more")),
                (4, e.StepReset()),
                (None, e.CancelRequested(steps=(2,), reason="no")),
                (2, e.StepCancelled(at=1, message="cancelled before it ran")),
                (4, e.StepCancelled(at=1, message="a_N.2 is CANCELLED", blocker=2)),
            ]
        )
    assert [(kind, reason) for kind, _, reason in decided(run, study, "b_N.2")] == [
        ("StudyCreated", ""), ("StepReset", ""), ("CancelRequested", "no"),
    ]  # fmt: skip


def test_the_example_in_the_readme_is_what_is_printed(run, meddled):
    printed = run("blame", meddled, "b_N.1").out.splitlines()
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    example = readme.partition("    $ maestro-es blame pi b_N.1\n")[2].partition("\n\n")[0].splitlines()
    me = f"{pwd.getpwuid(os.geteuid()).pw_name}@{this_host().name}"
    told = [line.replace(me, "you@login1").replace(str(meddled), "pi") for line in printed]
    assert list(map(without_time, told[: len(example)])) == list(map(without_time, example))


def without_time(line):
    first, *rest = line.split()
    return [first, *rest[2 * (first != "Seq") :]]


def test_one_step_of_one_study_is_named(run, study):
    assert "Give one step of one study." in run("blame", study).err
    assert run("blame", study, "a").err == "maestro-es: 2 steps match a: a_N.1, a_N.2; name one of them\n"
