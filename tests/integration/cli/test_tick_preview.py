from __future__ import annotations

import json
import shlex

import pytest

from maestro_es.core import events as e
from maestro_es.core.environment import RecordedEnvironment
from maestro_es.core.events import NewEvent
from maestro_es.core.file_names import UPDATE
from maestro_es.core.model import Settings
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tools.testbed.foreseen import picture


@pytest.fixture
def waiting(tmp_path):
    """Return a study with two steps of this host, of which one may run."""
    root = tmp_path / "a study"
    created = e.StudyCreated(study_id="cafe" * 8, root=str(root), settings=Settings(local_slots=1))
    new_events: list[NewEvent] = [
        (None, created),
        (None, e.StepTemplateAdded(name="a", description="", run={"cmd": "true"})),
        (None, e.StepTemplateAdded(name="b", description="", run={"cmd": "true"})),
        (1, e.StepAdded(name="a", template="a", workspace="a")),
        (2, e.StepAdded(name="b", template="b", workspace="b", parents=(1,))),
    ]
    create_log(make_directory(root), new_events, Runtime())
    return root


def test_events_are_told_as_sentences_and_commands_as_a_shell_takes_them(run, waiting):
    before = picture(waiting)
    ran = run("tick", "--dry", waiting)
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0] == f"{waiting}: the next tick would record 1 event and run 1 command"
    assert lines[3].split(maxsplit=2) == ["a", "SubmissionRequested", "attempt 1 (first) will be submitted"]
    assert shlex.split(lines[5])[:6] == [
        "run", "/bin/bash", "--posix", f"{waiting}/.maestro-es/runner.sh", "cafecafe-1-1-dry", f"{waiting}/a",
    ]  # fmt: skip
    assert picture(waiting) == before


def test_json_has_the_payload_of_each_event_and_the_arguments_of_each_command(run, waiting):
    found = json.loads(run("tick", "--dry", "--json", waiting).out)
    assert found["study"] == str(waiting)
    assert found["events"] == [
        {
            "step": "a",
            "type": "SubmissionRequested",
            "what": "attempt 1 (first) will be submitted",
            "data": {"attempt": 1, "token": "cafecafe-1-1-dry", "kind": "first"},
        }
    ]
    [command] = found["commands"]
    assert command["step"] == "a"
    assert command["argv"][3:6] == ["cafecafe-1-1-dry", f"{waiting}/a", "./a.sh"]
    assert (found["claims"], found["remarks"], found["unreachable"]) == ([], [], {})


def test_what_is_supposed_is_not_kept(run, waiting):
    ran = run("tick", "--dry", waiting, "--what-if", "paused=yes", "--what-if", "rlimit=3")
    assert ran.out == f"{waiting}: the next tick would record nothing\n"
    assert "paused" not in run("status", waiting, "--summary").out


@pytest.mark.parametrize("environment", ["kept", "lost"])
def test_the_exit_code_is_that_of_the_tick(run, waiting, environment):
    """A tick that refuses a file of Maestro's client exits with 1, or with 75 if the next tick should try again."""
    (waiting / UPDATE).write_text("what: ever\n")
    if environment == "lost":
        with Session(waiting) as study:
            lost = RecordedEnvironment(digest="0" * 64, umask=0o022)
            study.log.append([(None, e.EnvironmentRecorded(environment=lost))])

    dry, live = run("tick", "--dry", waiting), run("tick", waiting)

    assert dry.code == live.code == (75 if environment == "lost" else 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--dry", "--what-if", "colour=3"), "--what-if takes throttle=NUMBER, "),
        (("--dry", "--what-if", "throttle=-3"), "not 'throttle=-3'"),
        (("--dry", "--what-if", "paused=1"), "paused=yes or paused=no, not 'paused=1'"),
        (("--what-if", "throttle=3"), "--what-if and --json need --dry."),
        (("--json",), "--what-if and --json need --dry."),
        (("--dry", "--queue"), "--dry can't be combined with --queue"),
    ],
)
def test_what_can_not_be_supposed_is_refused_in_one_line(run, waiting, words, said):
    before = picture(waiting)
    ran = run("tick", waiting, *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert said in ran.err
    assert picture(waiting) == before


def test_one_study_that_can_not_be_read_does_not_stop_the_others(run, waiting, tmp_path):
    ran = run("tick", "--dry", tmp_path / "gone", waiting)
    assert ran.code == 1
    assert "the next tick would record 1 event" in ran.out
    assert ran.err == f"maestro-es: {tmp_path}/gone: there is no such directory\n"
