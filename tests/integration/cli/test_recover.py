from __future__ import annotations

import json
import os

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))


@pytest.fixture
def lost(run, study, tmp_path):
    """A study whose log is lost, and an export of it: b_N.1 is recorded as running."""
    assert run("export", study, "-o", tmp_path / "pi.jsonl").code == 0
    (study / "events.db").unlink()
    return study, tmp_path / "pi.jsonl"


def test_a_dry_run_shows_what_would_become_of_each_step_and_changes_nothing(run, lost):
    study, export = lost
    before = sorted(os.listdir(study))
    ran = run("recover", study, "--from", export, "--dry")
    header, *lines, last = ran.out.splitlines()
    assert (ran.code, ran.err, header.split()[:2], last) == (0, "", ["Step", "Becomes"], "Nothing was changed.")
    assert lines[0].split() == ["a_N.1", "FINISHED", "as", "the", "export", "has", "it"]
    assert lines[2].startswith("b_N.1  in flight  as the export has it: nothing newer was found")
    assert sorted(os.listdir(study)) == before


def test_a_recovered_log_is_right_and_says_why_it_was_recovered(run, lost):
    study, export = lost
    ran = run("recover", study, "--from", export, "--reason", "the disk died", "--json")
    rows = [json.loads(text) for text in ran.out.splitlines()]
    assert ran.code == 0
    assert {row["step"]: row["becomes"] for row in rows} == {
        "a_N.1": "FINISHED", "a_N.2": "FAILED", "b_N.1": "in flight", "b_N.2": "FAILED", "z": "FAILED",
    }  # fmt: skip
    assert run("verify", study).code == 0
    assert "rebuilt (reason: the disk died)" in run("history", study).out
    assert str(study) in run("studies").out


def test_a_log_that_is_there_is_not_recovered(run, study, tmp_path):
    assert run("export", study, "-o", tmp_path / "pi.jsonl").code == 0
    ran = run("recover", study, "--from", tmp_path / "pi.jsonl")
    assert (ran.code, ran.err) == (
        1,
        f"maestro-es: {study}: has an event log; if 'maestro-es verify' says that it is damaged, move it away first\n",
    )
