from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from tools.testbed.logs import meddle


def head_of(run, study) -> str:
    return str(run("verify", study).out.split()[-1])


def test_a_log_that_is_right_says_how_many_events_it_has_and_its_head(run, study):
    ran = run("verify", study, "--json")
    said = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert run("verify", study).out == f"{study}: {said['events']} events are intact; head {said['head']}\n"
    assert said == {"study": str(study), "ok": True, "events": 32, "head": head_of(run, study), "known": None}


def test_a_head_that_was_noted_is_found_again_with_its_time(run, study):
    head = head_of(run, study)
    assert run("pause", study).code == 0
    ran = run("verify", study, "--head", head[:8])
    first, second = ran.out.splitlines()
    assert ran.code == 0
    assert f"{head} is the digest of event 32, which was recorded at 2026-01-31 12:05:00; " in first
    assert first.endswith("no event up to this one has changed since then")
    assert "34 events are intact" in second
    known = json.loads(run("verify", study, "--head", head, "--json").out)["known"]
    assert known == {"seq": 32, "time": "2026-01-31T12:05:00.000000+00:00", "head": head}


def test_a_head_of_another_log_is_an_error(run, study):
    ran = run("verify", study, "--head", "0123456789abcdef")
    assert ran.code == 1
    assert ran.err == (
        "maestro-es: no event has the digest 0123456789abcdef: this is another log, or the log was changed\n"
    )


def test_an_event_that_was_changed_is_named_in_one_line(run, study):
    meddle(study / "events.db", "UPDATE event SET recorded_at = recorded_at + 1 WHERE seq = 20")
    ran = run("verify", study)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "maestro-es: event 20 was changed after it was written: its digest is wrong (StepFinished of step 'a_N.1')\n"
    )
    said = json.loads(run("verify", study, "--json").out)
    keys = ("ok", "check", "seq", "type", "step")
    assert [said[key] for key in keys] == [False, "digest", 20, "StepFinished", 1]


def test_a_field_of_the_projection_that_is_wrong_is_named(run, study):
    with sqlite3.connect(study / "events.db") as connection:
        connection.execute("UPDATE step SET message = 'fine' WHERE name = 'a_N.2'")
    ran = run("verify", study, "--json")
    said = json.loads(ran.out)
    assert (ran.code, said["table"], said["row"], said["column"]) == (1, "step", "a_N.2", "message")
    assert (said["log"], said["found"]) == ("exit code 3", "fine")


@pytest.mark.parametrize(
    ("change", "command"),
    [
        ("DELETE FROM step WHERE number = 2", ("history",)),
        ("UPDATE step SET submitted_at = 'noon'", ("status",)),
        ("UPDATE step SET row = 'first' WHERE number = 1", ("status", "--csv")),
        ("UPDATE step SET state = 'FINE'", ("show", "a_N.1")),
        ("UPDATE step SET params = 'none'", ("history", "--param", "N=1")),
        ("DELETE FROM template", ("show", "a_N.1")),
        ("UPDATE template SET data = '[]'", ("show", "a_N.1")),
        ("UPDATE template SET unfinished = 'some'", ("skip", "a_N.2", "--reason", "r")),
        ("UPDATE edge SET parent = 'a' WHERE child = 4", ("show", "b_N.2")),
        ("UPDATE edge SET parent = 99 WHERE child = 4", ("show", "b_N.2")),
        ("UPDATE edge SET parent = 'a' WHERE child = 4", ("verify",)),
        ("UPDATE funnel SET child = 'z'", ("verify",)),
    ],
)
def test_a_table_that_another_hand_has_changed_is_one_line_that_names_the_remedy(run, study, change, command):
    with contextlib.closing(sqlite3.connect(study / "events.db")) as connection, connection:
        connection.execute(change)
    name, *words = command
    ran = run(name, study, *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("maestro-es: ")
    assert "run 'maestro-es rebuild'" in ran.err
    assert run("verify", study).code == 1
    run("rebuild", study)
    assert run("verify", study).code == 0
    if name != "verify":
        assert "rebuild" not in run(name, study, *words).err


def test_an_event_of_a_later_version_is_refused_by_verify_and_tick_alike(run, study):
    meddle(study / "events.db", "UPDATE event SET version = 9 WHERE seq = 20", "DELETE FROM projection")
    for command in ("verify", "tick"):
        ran = run(command, study)
        assert ran.code == 1
        assert "event 20 " in ran.err


def test_a_rebuilt_study_has_a_status_table_of_the_log(run, study):
    run("rebuild", study)
    right = (study / "status.csv").read_bytes()
    with contextlib.closing(sqlite3.connect(study / "events.db")) as connection, connection:
        connection.execute("UPDATE step SET state = 'FAILED' WHERE name = 'a_N.1'")
    (study / "status.csv").unlink()
    run("tick", study)
    assert (study / "status.csv").read_bytes() != right
    run("rebuild", study)
    assert (study / "status.csv").read_bytes() == right
