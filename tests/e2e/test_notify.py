"""Notifications: a command or a mail at the first failure, at a stall and at the end, each once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_es import ExecutionGraph
from maestro_es.core import events as e
from maestro_es.core.usage import Usage
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tools.testbed.processes import arguments, end_all_under, running_under, wait_for

SPEC = """\
description: {name: pi, description: d}
study:
- {name: bad, description: d, run: {cmd: "echo no mesh >&2; exit 3"}}
- {name: slow, description: d, run: {cmd: "until [ -e ../go ]; do sleep 0.1; done"}}
"""

#: A command that keeps each text in a file of its own.
TELL = "mkdir -p {folder}; cat >{folder}/$MAESTRO_ES_NOTICE.$(ls {folder} | wc -l)"


@pytest.fixture
def place(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    yield tmp_path
    end_all_under(tmp_path)


def tell(place: Path) -> str:
    return TELL.format(folder=place / "told")


def start(place: Path, *options: str) -> Path:
    done = maestro_es("run", "-y", *options, "-o", place / "s", place / "spec.yaml")
    assert done.returncode == 0, done
    return place / "s"


def told(place: Path) -> list[str]:
    folder = place / "told"
    names = os.listdir(folder) if folder.exists() else []
    return [name.partition(".")[0] for name in sorted(names, key=lambda name: name.partition(".")[2])]


def text(place: Path, name: str) -> str:
    return (place / "told" / name).read_text()


def events(study: Path, kind: str) -> list[dict[str, Any]]:
    shown = maestro_es("history", study, "--json").stdout.splitlines()
    return [event["data"] for event in map(json.loads, shown) if event["type"] == kind]


def wait_until_told(study: Path, number: int) -> None:
    wait_for(lambda: len(events(study, "NotificationEnded")) == number)


def test_the_first_failure_and_the_end_are_told_once_with_the_changes(place):
    study = start(place, "--notify", tell(place))
    wait_until_told(study, 1)
    for _ in range(3):
        maestro_es("tick", study)
    (study / "go").touch()
    wait_until_told(study, 2)
    for _ in range(3):
        maestro_es("tick", study)
    assert told(place) == ["failure", "end"]
    first, last = text(place, "failure.0"), text(place, "end.1")
    assert first.startswith("pi: a step has failed\n")
    assert "1 x exit code 3: no mesh" in first
    assert f"maestro-es retry {study} bad" in first
    assert last.startswith("pi: the study has ended\n")
    assert "Failed" not in last.partition("failed, timed out")[0]  # it is not a change since the first one
    assert "Finished:" in last
    assert [event.get("problem", "") for event in events(study, "NotificationEnded")] == ["", ""]
    assert maestro_es("verify", study).returncode == 0


def test_what_happens_after_the_study_has_continued_is_told_again(place):
    study = start(place, "--notify", tell(place))
    (study / "go").touch()
    wait_for(lambda: "end" in told(place))
    maestro_es("retry", study, "--failed")
    before = told(place)
    maestro_es("drive", study)
    wait_for(lambda: told(place)[len(before) :] in (["failure", "end"], ["end"]))
    assert maestro_es("tick", study).returncode == 0
    assert told(place)[-1] == "end"


def test_a_study_that_can_not_continue_is_told_once_and_again_at_the_next_stall(place):
    study = start(place)
    wait_for(lambda: events(study, "StepFailed"))
    maestro_es("hold", study, "slow")  # it runs, so the command is refused
    (study / "go").touch()
    wait_for(lambda: maestro_es("wait", study, "--timeout", "0").returncode == 2)
    wait_for(lambda: not running_under(study))  # a tick of a step that has ended would start `bad` again
    maestro_es("hold", study, "bad")
    maestro_es("notify", study, "--to", tell(place))
    maestro_es("retry", study, "bad")
    maestro_es("hold", study, "bad")
    maestro_es("tick", study)
    wait_for(lambda: told(place) == ["stall"])
    wait_for(lambda: events(study, "NotificationEnded"))  # its process appends this after the command
    with Session(study) as opened:  # usage that arrives late is no news
        opened.log.append([(1, e.UsageReported(token=opened.graph.step(1).token, usage=Usage(cpu=1)))])
    maestro_es("tick", study)
    assert len(events(study, "NotificationRequested")) == 1
    maestro_es("release", study, "bad")
    maestro_es("tick", study)
    wait_for(lambda: told(place)[-1] == "end")
    assert told(place).count("stall") == 1


def test_a_command_that_fails_or_hangs_delays_no_tick_and_is_recorded(place):
    (place / "spec.yaml").write_text(SPEC.replace("exit 3", "true"))
    command = f"until [ -e {place}/answer ]; do sleep 0.1; done; echo no route to host >&2; exit 4"
    study = start(place, "--notify", command)
    (study / "go").touch()
    assert maestro_es("drive", study).returncode == 0
    assert events(study, "NotificationEnded") == []
    (place / "answer").touch()
    wait_until_told(study, 1)
    [ended] = events(study, "NotificationEnded")
    assert ended["problem"].endswith("ended with 4: no route to host")
    assert "the notification may not have arrived: " in maestro_es("history", study).stdout


def test_an_address_gets_a_mail_by_sendmail(place):
    (place / "bin").mkdir()
    (place / "bin/sendmail").write_text(f'#!/bin/sh\necho "$*" >{place}/words; cat >{place}/mail\n')
    (place / "bin/sendmail").chmod(0o755)
    study = start(place, "--notify", "you@example.org")
    wait_until_told(study, 1)
    mail = (place / "mail").read_text()
    assert (place / "words").read_text() == "-t -i\n"
    assert "To: you@example.org\nSubject: [maestro-es] pi: a step has failed\n" in mail
    assert "no mesh" in mail


def test_a_notification_whose_process_was_killed_is_sent_by_a_later_tick(place):
    """The process dies before it has recorded an outcome. The clock of the later tick is five minutes ahead."""
    study = start(place, "--notify", f"touch {place}/dead; kill -9 $PPID; sleep 100")
    wait_for((place / "dead").exists)
    maestro_es("notify", study, "--to", tell(place))
    maestro_es("tick", study)
    assert len(events(study, "NotificationRequested")) == 1
    later = (
        "import sys; from pathlib import Path; from maestro_es.study.invocation import Runtime, now;"
        "from maestro_es.cli import run_tick;"
        "run_tick.Runtime = lambda **more: Runtime(now=lambda: now() + 300_000_000, **more);"
        f"sys.exit(run_tick.run_tick([Path({str(study)!r})], every=False, queue=False))"
    )
    subprocess.run([sys.executable, "-c", later], check=True, timeout=60)
    wait_for(lambda: told(place) == ["failure"])
    assert [event.get("number", 1) for event in events(study, "NotificationRequested")] == [1, 2]


def test_a_command_that_leaves_a_process_behind_has_an_outcome(place):
    study = start(place, "--notify", "sleep 100 & echo sent")
    wait_until_told(study, 1)
    assert events(study, "NotificationEnded")[0].get("problem", "") == ""


def test_a_command_that_takes_too_long_is_ended_and_has_an_outcome(place):
    (place / "spec.yaml").write_text(SPEC.replace("exit 3", "true"))
    study = start(place)
    slow = f"cd {place}; sleep 100; true"
    maestro_es("notify", study, "--to", slow)
    code = "from maestro_es.cli import notify; notify._PATIENCE = 0.5; notify.command()"
    command = [sys.executable, "-c", code, str(study), "--test"]
    done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"maestro-es: '{slow}' has not ended within 0 s\n")
    assert not [pid for pid in running_under(place) if arguments(pid)[:2] == [b"sleep", b"100"]]


def test_an_address_that_can_not_be_one_has_an_outcome(place):
    """Only a program can still store it."""
    study = start(place)
    with ExecutionGraph.open(study) as graph:
        graph.notify("foo@")
    maestro_es("tick", study)
    wait_until_told(study, 1)
    assert events(study, "NotificationEnded")[0]["problem"] == "'foo@' is not a mail address"


def test_in_a_job_each_notification_is_sent_before_the_job_ends(place, monkeypatch):
    study = start(place)
    wait_for(lambda: events(study, "StepFailed"))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    maestro_es("notify", study, "--to", "sleep 2")
    maestro_es("tick", study)
    assert len(events(study, "NotificationEnded")) == 1


def test_a_driver_in_a_job_goes_on_and_waits_for_all_notifications_at_the_end(place, monkeypatch):
    study = start(place)
    wait_for(lambda: events(study, "StepFailed"))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    command = f'[ "$MAESTRO_ES_NOTICE" = end ] || until [ -e {place}/end ]; do sleep 0.1; done'
    maestro_es("notify", study, "--to", command)
    with subprocess.Popen([sys.executable, "-m", "maestro_es", "drive", str(study)]) as driver:
        wait_for(lambda: events(study, "NotificationRequested"))
        (study / "go").touch()
        wait_for(lambda: len(events(study, "NotificationEnded")) == 1)
        assert driver.poll() is None
        (place / "end").touch()
    assert len(events(study, "NotificationEnded")) == 2


def test_a_missing_environment_does_not_keep_a_notification_back(place):
    study = start(place)
    [recorded] = (study / ".maestro-es").glob("environment*")
    recorded.unlink()
    assert "It was sent\n" in maestro_es("notify", study, "--to", tell(place), "--test").stdout
    assert told(place) == ["end"]


def test_bad_targets_are_refused_in_one_line_and_off_ends_them(place):
    done = maestro_es("run", "-y", "--notify", "one\ntwo", "-o", place / "s", place / "spec.yaml")
    assert (done.returncode, done.stderr.count("\n"), (place / "s").exists()) == (1, 1, False)
    study = start(place)
    assert maestro_es("notify", study).stdout == f"{study}: no notifications are sent\n"
    assert maestro_es("notify", study, "--to", "true").stdout == f"{study}: notifications go to true\n"
    assert "It was sent\n" in maestro_es("notify", study, "--test").stdout
    failed = maestro_es("notify", study, "--to", "exit 3", "--test")
    assert (failed.returncode, failed.stderr) == (1, "maestro-es: 'exit 3' ended with 3\n")
    assert "notify was changed from true to exit 3" in maestro_es("history", study).stdout
    assert maestro_es("notify", study, "--off").stdout == f"{study}: no notifications are sent\n"
    with sqlite3.connect(study / "events.db") as log:
        assert log.execute("SELECT count(*) FROM event WHERE type = 'NotificationRequested'").fetchone()[0] <= 1
