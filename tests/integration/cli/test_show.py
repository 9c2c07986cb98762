from __future__ import annotations

import json


def shown(run, *words):
    ran = run("show", *words, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_step_is_shown_with_its_attempts_and_the_evidence_of_their_ends(run, study):
    lines = run("show", study, "a_N.2").out.splitlines()
    facts = {label: value.strip() for label, colon, value in (line.partition(":") for line in lines) if colon}
    assert facts["Step"] == "a_N.2"
    assert facts["Template"] == "a: draws points"
    assert (facts["State"], facts["Exit code"]) == ("FAILED", "3")
    assert facts["Why"] == (
        "failed at 2026-01-31 12:05:00 with exit code 3 (attempt 2, job 1002 on login1); attempt 1 ran out of time"
    )
    assert facts["Parameters"] == "N = 2, [b]or[/b] so"
    assert (facts["Run time"], facts["Restarts"]) == ("3:00", "1 of 1")
    assert facts["Needed by"] == "b_N.2 (FAILED)"
    assert facts["Workspace"] == str(study / "a" / "N.2")
    first, second = lines[lines.index("") + 2 : lines.index("Evidence") - 1]
    assert first.split()[:3] == ["1", "first", "1001"]
    assert "ran out of time" in first
    assert second.split()[:3] == ["2", "restart", "1002"]
    assert "failed with exit code 3" in second
    assert lines[-1] == "  attempt 2: report: 'exit.3'"


def test_only_the_files_of_the_step_that_exist_are_listed(run, study):
    found = shown(run, study, "a_N.2")
    workspace = study / "a" / "N.2"
    assert found["scripts"] == [str(workspace / "a_N.2.sh")]
    assert found["outputs"] == [str(workspace / "a_N.2.1002.out")]
    assert found["errors"] == [str(workspace / "a_N.2.1002.err")]
    assert shown(run, study, "z")["outputs"] == []


def test_json_has_the_keys_of_the_status_and_more(run, study):
    found = shown(run, study, "a_N.2")
    [status] = json.loads(run("status", study, "a_N.2", "--json").out)["steps"]
    assert status.pop("why") == "exit code 3"
    assert {key: found[key] for key in status} == status
    assert found["why"].startswith(
        "failed at 2026-01-31 12:05:00 UTC with exit code 3 (attempt 2, job 1002 on login1); attempt 1"
    )
    assert found["description"] == "draws points"
    assert found["path"] == str(study / "a" / "N.2")
    assert (found["parents"], found["funnels"]) == ([], {})
    assert found["children"] == [{"name": "b_N.2", "state": "FAILED"}]
    assert found["attempts"][1] == {
        "number": 2,
        "token": "t-2-2",
        "kind": "restart",
        "requested_at": "2026-01-31T12:03:00.000000+00:00",
        "job_id": "1002",
        "adopted": False,
        "host": "login1",
        "submitted_at": "2026-01-31T12:04:00.000000+00:00",
        "started_at": None,
        "ended_at": "2026-01-31T12:05:00.000000+00:00",
        "noticed": False,
        "outcome": "failed with exit code 3",
        "exit_code": 3,
        "evidence": [{"source": "report", "detail": "exit.3"}],
        "outputs": [str(study / "a" / "N.2" / name) for name in ("a_N.2.1002.out", "a_N.2.1002.err")],
        "environment": "",
        "usage": None,
    }


def test_each_attempt_has_the_files_that_it_has_written(run, study):
    workspace = study / "a" / "N.2"
    (workspace / "a_N.2.1001.out").touch()
    (workspace / "a_N.2.77.out").touch()  # of nobody

    said = run("show", study, "a_N.2").out

    assert f" {workspace}/a_N.2.1001.out (attempt 1)\n" in said
    assert f" {workspace}/a_N.2.1002.out (attempt 2)\n" in said
    assert f" {workspace}/a_N.2.77.out\n" in said
    assert shown(run, study, "a_N.2")["attempts"][0]["outputs"] == [str(workspace / "a_N.2.1001.out")]


def test_parents_by_edge_and_by_funnel_are_shown(run, study):
    assert shown(run, study, "b_N.1")["parents"] == [{"name": "a_N.1", "state": "FINISHED"}]
    assert shown(run, study, "b_N.1")["children"] == [{"name": "z", "state": "FAILED"}]
    assert shown(run, study, "z")["funnels"] == {"b": 2}
    assert "Waits for: all of b (2 not finished)" in run("show", study, "z").out


def test_the_study_may_be_the_one_that_we_are_in_and_the_step_a_glob(run, study, monkeypatch):
    monkeypatch.chdir(study)
    assert shown(run, "z*")["name"] == "z"


def test_a_step_that_there_is_not_is_an_error_in_one_line(run, study):
    assert run("show", study, "nope").err == (
        "maestro-es: no step is called nope; 'maestro-es status' lists the steps\n"
    )


def test_a_pattern_of_several_steps_is_refused(run, study):
    ran = run("show", study, "a")
    assert (ran.code, ran.err) == (1, "maestro-es: 2 steps match a: a_N.1, a_N.2; name one of them\n")


def test_no_step_at_all_is_refused(run, study):
    assert "Give one step of one study." in run("show", study).err
