"""`history` answers questions: by parameter, cause, attempt, job and invocation, over all studies, and with counts."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest

from maestro_es.study import registry
from maestro_es.study.layout import StudyDir
from tests.integration.cli.conftest import STUDY_ID


def shown(run, *words):
    """Return step and type of each event."""
    ran = run("history", *words, "--json")
    assert ran.code == 0, ran.err
    return [(row["step"], row["type"]) for row in map(json.loads, ran.out.splitlines())]


def refused(run, *words):
    """Return the one line with which a question is refused."""
    ran = run("history", *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    return ran.err


@pytest.mark.parametrize("pattern", ["N=2, ?b?or?/b? so", "N=N.2", "N=N.[!1]", "N=2*"])
def test_a_parameter_has_a_value_or_a_label(run, study, pattern):
    assert {step for step, _ in shown(run, study, "--param", pattern)} == {"a_N.2", "b_N.2"}


def test_parameters_and_steps_must_all_match(run, study):
    assert {step for step, _ in shown(run, study, "a", "--param", "N=N.2")} == {"a_N.2"}
    assert shown(run, study, "--param", "N=N.1", "--param", "N=N.2") == []
    assert shown(run, study, "z", "--param", "N=*") == []


def test_an_unknown_parameter_or_value_is_refused_with_what_there_is(run, study):
    assert "no step has a parameter 'SIZE'; the parameters are N" in refused(run, study, "--param", "SIZE=1")
    assert "no step has N=7; " in refused(run, study, "--param", "N=7")
    assert "'N' is not NAME=VALUE" in refused(run, study, "--param", "N")


def test_a_cause_is_that_of_a_failure_or_of_what_comes_before_one(run, study):
    assert shown(run, study, "--cause", "upstream") == [("b_N.2", "StepFailed"), ("z", "StepFailed")]
    assert shown(run, study, "--cause", "Exit*", "--cause", "timeout") == [
        ("a_N.2", "StepTimedOut"), ("a_N.2", "StepFailed"),
    ]  # fmt: skip
    assert shown(run, study, "--cause", "*is FAILED") == [("b_N.2", "StepFailed"), ("z", "StepFailed")]
    assert shown(run, study, "--cause", "hardware") == []
    assert "there is no cause 'exitcode'; the causes are exit code, " in refused(run, study, "--cause", "exitcode")


def test_an_attempt_goes_from_its_request_to_the_next(run, study):
    assert shown(run, study, "a_N.2", "--attempt", 2) == [
        ("a_N.2", "SubmissionRequested"), ("a_N.2", "JobSubmitted"), ("a_N.2", "StepFailed"),
    ]  # fmt: skip
    assert {step for step, _ in shown(run, study, "--attempt", 2)} == {"a_N.2"}
    assert shown(run, study, "--attempt", 3) == []


def test_a_job_is_the_attempt_that_had_it(run, study):
    assert shown(run, study, "--job", 1001) == [
        ("a_N.2", kind)
        for kind in ("SubmissionRequested", "JobSubmitted", "JobStarted", "StepTimedOut", "StepRestarted")
    ]
    assert "the log contains no job '77'; " in refused(run, study, "--job", 77)


def test_an_invocation_is_all_that_one_process_wrote(run, study):
    rows = [json.loads(line) for line in run("history", study, "--json").out.splitlines()]
    first = rows[-1]["invocation"]
    assert shown(run, study, "--invocation", first) == [
        (row["step"], row["type"]) for row in rows if row["invocation"] == first
    ]
    said = refused(run, study, "--invocation", rows[-1]["seq"])
    assert f"event {rows[-1]['seq']} does not begin an invocation; it was written by invocation {first}" in said
    assert "does not begin an invocation; the last one is event" in refused(run, study, "--invocation", 1000)


def test_an_actor_is_who_started_the_process(run, study):
    actor = json.loads(run("history", study, "-n", 1, "--json").out)["actor"]
    assert shown(run, study, "--actor", actor[0] + "*") == shown(run, study)
    assert shown(run, study, "--actor", "nobody-of-that-name") == []


def test_times_may_carry_a_zone(run, study):
    wanted = shown(run, study, "--since", "2026-01-31 12:05")
    for moment in ("2026-01-31T12:05:00Z", "2026-01-31T13:05+01:00", "2026-01-31T07:05:00.000-05:00"):
        assert shown(run, study, "--since", moment) == wanted


# -- counts ----------------------------------------------------------------------------------------------------------


def counted(run, study, fields, *words):
    ran = run("history", study, "--count-by", fields, *words, "--json")
    assert ran.code == 0, ran.err
    return [tuple(json.loads(line).values()) for line in ran.out.splitlines()]


def test_the_most_frequent_comes_first(run, study):
    assert counted(run, study, "type")[:3] == [
        ("InvocationStarted", 6), ("StepAdded", 5), ("JobSubmitted", 4),
    ]  # fmt: skip
    assert counted(run, study, "cause", "--type", "StepFailed") == [("upstream", 2), ("exit code", 1)]


def test_several_fields_count_their_combinations(run, study):
    assert counted(run, study, "template,attempt", "--type", "JobSubmitted") == [("a", 1, 2), ("a", 2, 1), ("b", 1, 1)]
    assert counted(run, study, "param:N, type", "--job", 1003) == [
        ("1, [b]or[/b] so", kind, 1) for kind in ("JobStarted", "JobSubmitted", "SubmissionRequested")
    ]


def test_days_and_hours_are_in_order_and_local(run, study, monkeypatch):
    assert counted(run, study, "day,hour", "--type", "JobSubmitted") == [("2026-01-31", "12", 4)]
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert counted(run, study, "day,hour", "--type", "JobSubmitted") == [("2026-01-31", "21", 4)]
    assert counted(run, study, "day,hour", "--type", "JobSubmitted", "--utc") == [("2026-01-31", "12", 4)]


def test_a_node_is_where_an_attempt_had_come_to(run, study):
    assert counted(run, study, "node", "--cause", "*") == [(None, 2), ("login1", 1), ("node1", 1)]


def test_counts_fit_people_and_programs(run, study):
    words = ("history", study, "--count-by", "step,cause", "--type", "StepFailed", "--cause", "upstream")
    assert run(*words).out.splitlines() == ["Step   Cause     Events", "b_N.2  upstream  1", "z      upstream  1"]
    assert run(*words, "--csv").out == "step,cause,count\nb_N.2,upstream,1\nz,upstream,1\n"
    assert run("history", study, "--count-by", "step", "--type", "StudyCreated").out.splitlines()[1] == "--    1"


def test_a_limit_counts_the_last_events_only(run, study):
    assert counted(run, study, "type", "-n", 4) == [("StepFailed", 3), ("InvocationStarted", 1)]


def test_nothing_is_counted_by_what_there_is_not(run, study):
    assert "events can't be counted by 'colour'; possible fields are step, template, " in refused(
        run, study, "--count-by", "type,colour"
    )
    assert "no step has a parameter 'M'; the parameters are N" in refused(run, study, "--count-by", "param:M")


@pytest.mark.parametrize("words", [("--count-by", "type"), ("--all-studies",), ("--until", "1h")])
def test_following_has_neither_counts_nor_an_end(run, study, words):
    assert "--follow can't be combined with --count-by, --all-studies or --until." in refused(
        run, *(() if "--all-studies" in words else (study,)), "--follow", *words
    )


# -- all studies -----------------------------------------------------------------------------------------------------


@pytest.fixture
def studies(run, study, tmp_path, monkeypatch):
    """Register the study, twice the same in different places, and one that is broken."""
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.db").write_bytes((study / "events.db").read_bytes())
    registry.register(STUDY_ID, study)
    registry.register("beef" * 8, other)
    return study, other


def test_all_studies_are_told_of_in_one_story(run, studies):
    first, second = map(str, studies)
    rows = [json.loads(line) for line in run("history", "--all-studies", "z", "--json").out.splitlines()]
    assert [(row["study"], row["type"]) for row in rows] == [
        (first, "StepAdded"), (second, "StepAdded"), (first, "StepFailed"), (second, "StepFailed"),
    ]  # fmt: skip
    assert rows == sorted(rows, key=lambda row: row["time"])
    assert run("history", "--all-studies", "-n", 1).out.splitlines()[1].startswith(f"{second}  ")
    table = list(csv.reader(io.StringIO(run("history", "--all-studies", "-n", 1, "--csv").out)))
    assert (table[0][:2], table[1][0]) == (["study", "seq"], second)


def test_all_studies_are_counted_together(run, studies):
    words = ("history", "--all-studies", "--type", "StepFailed", "--count-by")
    assert run(*words, "cause", "--csv").out == "cause,count\nupstream,4\nexit code,2\n"
    assert {line.split(",")[0] for line in run(*words, "study", "--csv").out.splitlines()[1:]} == set(
        map(str, studies)
    )


def test_a_broken_study_is_complained_of_and_does_not_stop_the_others(run, studies):
    (studies[0] / "events.db").write_bytes(b"rubbish" * 100)
    ran = run("history", "--all-studies", "z", "--json")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert str(studies[0]) in ran.err
    assert [json.loads(line)["study"] for line in ran.out.splitlines()] == [str(studies[1])] * 2


def test_a_study_that_is_gone_is_complained_of(run, studies):
    registry.register("dead" * 8, studies[0].with_name("gone"))
    ran = run("history", "--all-studies", "z")
    assert (ran.code, ran.out.count("\n")) == (1, 5)
    assert "gone: there is no such directory" in ran.err


def test_a_step_is_asked_for_where_there_is_one(run, studies):
    ran = run("history", "--all-studies", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "maestro-es: no step is called nobody; 'maestro-es status' lists the steps\n"


# -- where there is no study -----------------------------------------------------------------------------------------


def test_what_is_no_study_is_refused_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").mkdir()
    assert "plain: not a study directory, there is no events.db in it" in refused(run, "./plain")
    assert "nowhere: there is no such directory" in refused(run, "./nowhere")
    assert "not a study directory" in refused(run, "--follow")
    StudyDir(tmp_path / "plain").log.write_text("no log at all, but long enough to have a header, were it one" * 9)
    assert "plain" in refused(run, "./plain")
    for words in (("--forget", "./nowhere"), ("./plain",)):
        ran = run("studies", *words)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
