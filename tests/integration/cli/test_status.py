from __future__ import annotations

import csv
import io
import json
import os
import sys
import time

import pytest

from maestro_es.core import events as e
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from maestro_es.study.status_csv import status_lines
from tests.integration.cli.conftest import NOON, SECOND


def add(study, *new_events):
    with Session(study) as opened:
        opened.log.append(new_events)


def names(out):
    return [row[0] for row in csv.reader(io.StringIO(out))][1:]


def summary(out):
    lines = out.partition("\n\n")[0].splitlines()
    return {label: value.strip() for label, _, value in (line.partition(":") for line in lines)}


def test_the_summary_comes_first(run, study):
    ran = run("status", study, "--summary")
    assert ran.code == 0
    assert summary(ran.out) == {
        "Study": "pi",
        "Path": str(study),
        "Id": "cafe" * 8,
        "Status": "RUNNING",
        "Steps": "5: 1 RUNNING, 1 FINISHED, 3 FAILED",
        "In flight": "1 (at most 4)",
        "Last tick": "never",
        "WARNING": f"no tick has run for this study lately: is cron set up? Try 'maestro-es tick {study}'",
    }


def test_a_study_is_shown_at_a_glance(run, study):
    lines = run("status", study).out.splitlines()
    assert lines[:3] == [
        "pi: RUNNING, no tick yet",
        str(study),
        "[########XXXXXXXXXXXXXXXXXXXXXXXXRRRRRRRR] 1 finished, 3 failed, 1 running",
    ]
    table = lines[lines.index("") + 1 :]
    assert [line.split() for line in table[: table.index("")]] == [
        ["Template", "Steps", "Running", "Finished", "Failed", "Run", "time"],
        ["a", "2", "-", "1", "1", "60", "s"],
        ["b", "2", "1", "-", "1"],
        ["z", "1", "-", "-", "1"],
    ]
    assert "1 step has failed, timed out or been cancelled; 2 steps were not run because of it:" in " ".join(lines)
    assert f"      maestro-es retry {study} a_N.2" in lines
    assert "WARNING: no tick has run for this study lately" in " ".join(lines)


def test_steps_are_listed_with_chosen_columns_in_a_chosen_order(run, study):
    def listed(*words):
        header, *rows = run("status", study, *words).out.splitlines()
        return header.split(), [row.split()[0] for row in rows]

    assert listed("--columns", "step,N,run,exit", "--param", "N=[12]*") == (["Step", "N", "Run", "Exit"], [
        "a_N.2", "a_N.1", "b_N.1", "b_N.2",
    ])  # fmt: skip
    assert listed("--sort", "run", "--state", "failed", "--state", "finished")[1][:2] == ["a_N.1", "a_N.2"]
    assert listed("--sort=-run", "--state", "failed", "--state", "finished")[1][:2] == ["a_N.2", "a_N.1"]
    assert listed("--sort", "step", "--limit", "2")[1] == ["a_N.1", "a_N.2", "and"]
    assert run("status", study, "--limit", "2").out.splitlines()[-1] == "and 3 more steps"
    assert run("status", study, "--param", "N=7").out == "No steps match.\n"


def test_an_unknown_parameter_is_refused(run, study):
    ran = run("status", study, "--param", "n=1")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "maestro-es: no step has a parameter 'n'; the parameters are N\n"


@pytest.mark.parametrize("words", [["--columns", "step,nope"], ["--sort", "nope"], ["--sort=-nope"]])
def test_an_unknown_column_is_refused(run, study, words):
    ran = run("status", study, *words)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("maestro-es: 'nope' is not a column; columns are step, template, state, ")
    assert ran.err.endswith(", why, N\n")


def test_then_the_steps_in_maestros_order_and_why_they_failed(run, study):
    lines = [line for line in run("status", study, "--layout", "flat").out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert [(row[0], row[3], row[-1]) for row in cells] == [
        ("a_N.2", "FAILED", "exit code 3"),
        ("a_N.1", "FINISHED", ""),
        ("b_N.1", "RUNNING", ""),
        ("b_N.2", "FAILED", "upstream: a_N.2 is FAILED"),
        ("z", "FAILED", "upstream: a_N.2 is FAILED"),
    ]
    assert cells[1][4:9] == [
        "0d:00h:01m:00s", "0d:00h:02m:00s", "2026-01-31 12:02:00", "2026-01-31 12:01:00", "2026-01-31 12:03:00",
    ]  # fmt: skip
    assert cells[2][4] != "--:--:--"


def test_without_a_study_it_is_the_one_that_we_are_in(run, study, monkeypatch):
    monkeypatch.chdir(study / "a" / "N.2")
    assert summary(run("status", "--summary").out)["Path"] == str(study)


def test_steps_and_states_narrow_the_table_down(run, study):
    assert names(run("status", study, "--csv", "a", "z").out) == ["a_N.2", "a_N.1", "z"]
    assert names(run("status", study, "--csv", "*_N.1").out) == ["a_N.1", "b_N.1"]
    assert names(run("status", study, "--csv", "--state", "failed", "--state", "RUNNING", "b").out) == [
        "b_N.1",
        "b_N.2",
    ]


def test_where_no_step_is_in_the_state_it_is_said(run, study):
    assert run("status", study, "--state", "dryrun").out.endswith("No steps match.\n")


def test_a_pattern_that_names_no_step_is_an_error(run, study):
    assert run("status", study, "nope").err == (
        "maestro-es: no step is called nope; 'maestro-es status' lists the steps\n"
    )


def test_csv_is_the_text_of_status_csv_however_stale_the_file_is(run, study):
    (study / "status.csv").write_text("stale")
    ran = run("status", study, "--csv", "a_N.1", "a_N.2", "b_N.2", "z")
    with Session(study) as opened:
        lines = status_lines((step for step in opened.graph.by_row() if step.name != "b_N.1"), 0)
        assert ran.out == "\n".join(lines)
    assert run("status", study, "--csv").out.startswith("Step Name,Job ID,Workspace,State,Run Time,")


def test_a_value_with_a_line_break_stays_in_one_cell_of_a_csv_table(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    spec = {
        "description": {"name": "breaks", "description": "d"},
        "study": [{"name": "part", "description": "d", "run": {"cmd": "true $(N)"}}],
        "global.parameters": {"N": {"values": ["a\nb", "c\rd"], "label": "N.%%"}},
    }
    (tmp_path / "breaks.yaml").write_text(json.dumps(spec))
    root = tmp_path / "breaks"
    assert run("run", "--dry", "-y", "-o", root, tmp_path / "breaks.yaml").code == 0

    table = list(csv.reader(io.StringIO(run("status", root, "--csv").out, newline="")))
    assert [row[-1] for row in table] == ["Params", "N:a\nb", "N:c\rd"]
    query = "SELECT 'a\nb' AS one, 'c\rd' AS two"
    table = list(csv.reader(io.StringIO(run("query", root, query, "--csv").out, newline="")))
    assert table == [["one", "two"], ["a\nb", "c\rd"]]


def test_json_is_one_object_with_the_study_and_its_steps(run, study):
    ran = run("status", study, "--json")
    [line] = ran.out.splitlines()
    data = json.loads(line)
    assert data["study"] == {
        "path": str(study),
        "id": "cafe" * 8,
        "name": "pi",
        "description": "",
        "status": "RUNNING",
        "paused": False,
        "cancelling": False,
        "steps": 5,
        "states": {"RUNNING": 1, "FINISHED": 1, "FAILED": 3},
        "in_flight": 1,
        "held": 0,
        "held_up": False,
        "doubted": 0,
        "throttle": 4,
        "last_tick": None,
        "last_tick_host": "",
        "last_tick_driver": "",
        "overdue": True,
        "unreachable": {},
        "full": "",
        "seq": data["study"]["seq"],
        "at": data["study"]["at"],
    }
    assert [step["name"] for step in data["steps"]] == ["a_N.2", "a_N.1", "b_N.1", "b_N.2", "z"]
    assert data["steps"][0] == {
        "number": 2,
        "name": "a_N.2",
        "template": "a",
        "params": {"N": "2, [b]or[/b] so"},
        "state": "FAILED",
        "phase": "DONE",
        "why": "exit code 3",
        "job_id": "1002",
        "workspace": "a/N.2",
        "attempt": 2,
        "restarts": 1,
        "hardware_failures": 0,
        "submitted_at": "2026-01-31T12:01:00.000000+00:00",
        "started_at": "2026-01-31T12:02:00.000000+00:00",
        "ended_at": "2026-01-31T12:05:00.000000+00:00",
        "run_seconds": 180.0,
        "elapsed_seconds": 240.0,
        "exit_code": 3,
        "cause": "exit code",
        "held": False,
        "skipped": False,
        "doubted": False,
        "usage": None,
    }


def test_several_studies_are_an_object_a_line_and_a_broken_one_does_not_stop_the_rest(run, study, tmp_path):
    ran = run("status", "--json", "--summary", tmp_path / "gone", study, study)
    assert [json.loads(line)["study"]["name"] for line in ran.out.splitlines()] == ["pi", "pi"]
    assert ran.err == f"maestro-es: {tmp_path}/gone: there is no such directory\n"
    assert ran.code == 1


def test_a_directory_that_is_no_study_is_an_error_in_one_line(run, tmp_path):
    ran = run("status", tmp_path)
    assert ran == (1, "", f"maestro-es: {tmp_path}: not a study directory, there is no events.db in it\n")


def test_csv_shows_one_study(run, study):
    ran = run("status", "--csv", study, study)
    assert (ran.code, ran.out) == (1, "")
    assert "--csv takes only one STUDY." in ran.err


def test_a_study_that_is_ticked_carries_no_warning(run, study):
    last_tick = study / ".maestro-es" / "last-tick"
    last_tick.touch()
    assert "WARNING" not in run("status", study).out
    os.utime(last_tick, (time.time() - 170,) * 2)
    assert "WARNING" not in run("status", study).out
    assert summary(run("status", study, "--summary").out)["Last tick"].endswith("2 min ago")


def test_a_running_study_without_a_tick_for_minutes_carries_a_warning(run, study):
    last_tick = study / ".maestro-es" / "last-tick"
    last_tick.touch()
    os.utime(last_tick, (time.time() - 200,) * 2)
    assert "WARNING: no tick has run for this study lately" in run("status", study).out


def test_a_paused_study_whose_scheduler_is_silent_says_both(run, study):
    add(study, (None, e.StudyPaused()), (None, e.PollFailed(adapter="slurm", message="timed out")))
    out = run("status", "--summary", study).out
    assert summary(out)["Status"] == "RUNNING, paused"
    assert "WARNING: slurm does not answer, so the state of its jobs is unknown: timed out\n" in out


@pytest.mark.parametrize("layout", ["flat", "narrow", "legacy"])
def test_every_layout_has_every_step_and_no_escapes_without_a_terminal(run, study, layout):
    out = run("status", "--layout", layout, study).out
    for name in ("a_N.1", "a_N.2", "b_N.1", "b_N.2"):
        assert name in out
    assert "\x1b" not in out


def test_a_study_without_steps_is_shown_as_a_summary(run, tmp_path):
    root = tmp_path / "empty"
    create_log(make_directory(root), [(None, e.StudyCreated(study_id="feed", root=str(root)))], Runtime())
    ran = run("status", root, "--summary")
    assert ran.code == 0
    assert summary(ran.out)["Steps"] == "none"
    assert summary(ran.out)["Study"] == "empty"


@pytest.fixture
def drawn_by_maestro(run, study):
    """Return what Maestro draws from the text of our status.csv; forget Maestro afterwards."""

    def draw(layout, title, *steps, **size):
        header, *lines = csv.reader(io.StringIO(run("status", study, *steps, "--csv").out))
        theirs = factory.get_renderer(layout, disable_theme=True, disable_pager=True)
        theirs.layout({title: list(column) for title, *column in zip(header, *lines, strict=True)}, title)
        return theirs.render_to_str(**size)

    factory = pytest.importorskip("maestrowf").status_renderer_factory
    yield draw
    for name in [name for name in sys.modules if name.partition(".")[0] == "maestrowf"]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore")  # Maestro's own imports
def test_legacy_is_drawn_as_maestro_draws_it(run, study, drawn_by_maestro):
    table = drawn_by_maestro("legacy", str(study), "a", "z")
    assert run("status", study, "a", "z", "--layout", "legacy").out.endswith(f"\n\n{table}")


@pytest.mark.filterwarnings("ignore")
def test_flat_is_drawn_as_maestro_draws_it_where_all_is_well(run, study, drawn_by_maestro):
    table = drawn_by_maestro("flat", "", "a_N.1", width=300)
    assert run("status", study, "a_N.1", "--layout", "flat").out.endswith(table)


def test_status_show_and_history_print_the_same_second_for_the_same_instant(run, study):
    at = NOON + 400 * SECOND + 700_000
    with Session(study, Runtime(now=lambda: at)) as opened:
        opened.log.append([(3, e.StepFinished(token="t-3-1", at=at))])

    row = next(line for line in run("status", study, "--csv").out.splitlines() if line.startswith("b_N.1,"))
    ended = next(line for line in run("show", study, "b_N.1").out.splitlines() if "Ended" in line)
    event = run("history", study, "b_N.1", "--type", "StepFinished").out.splitlines()[1]
    why = run("why", study, "b_N.1").out.splitlines()[0]
    assert row.split(",")[8] == "2026-01-31 12:06:40"
    for said in (ended, event, why):
        assert "2026-01-31 12:06:40" in said
