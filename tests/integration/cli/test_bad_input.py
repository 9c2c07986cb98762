"""Bad addresses, widths and output files get one line and no traceback."""

from __future__ import annotations

import os

import pytest

from maestro_es.audit.diagram import Diagram, Edge, Node
from maestro_es.cli.notify import check_target
from maestro_es.errors import RequestRefused
from maestro_es.report.html_report import _with_kinds


@pytest.mark.parametrize("address", ["foo@", "a@["])
def test_an_address_that_can_not_be_is_refused(address):
    with pytest.raises(RequestRefused, match="is not a mail address"):
        check_target(address)
    assert check_target(" you@example.org ") == "you@example.org"


@pytest.mark.parametrize("command", ["map", "status"])
def test_a_width_that_is_no_number_is_ignored(run, study, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "abc")
    ran = run(command, study)
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("status", "--stat"), "No such option '--stat'. Did you mean '--state' or '--at'?"),
        (("status", "--nothing-like-it"), "No such option '--nothing-like-it'."),
        (("notify", "--to"), "Option '--to' requires an argument."),
    ],
)
def test_a_wrong_option_is_an_error_that_names_the_help_of_its_command(run, words, message):
    assert run(*words) == (1, "", f"maestro-es: {message} See 'maestro-es {words[0]} --help'.\n")


@pytest.mark.parametrize("option", [("history", "--limit"), ("history", "--attempt"), ("run", "--local-slots")])
def test_a_number_that_no_log_can_hold_is_refused(run, study, option):
    ran = run(option[0], option[1], 2**63, study)
    assert (ran.code, ran.err.count("\n"), "larger than any number that a log can hold" in ran.err) == (1, 1, True), (
        ran
    )


@pytest.mark.parametrize(
    "option", [("drive", "--stop-before"), ("run", "--stop-before"), ("tick", "--max-seconds"), ("wait", "--timeout")]
)
def test_a_time_that_is_no_finite_number_is_refused(run, study, option):
    message = f"Invalid value for '{option[1]}': 'nan' is not a number of seconds."
    assert run(*option, "nan", study) == (1, "", f"maestro-es: {message} See 'maestro-es {option[0]} --help'.\n")


def test_an_interval_that_no_clock_can_wait_for_is_refused(run, study):
    ran = run("watch", "--plain", "--interval", "1e99", study)
    assert (ran.code, ran.err.count("\n"), "is not in the range" in ran.err) == (1, 1, True), ran


def test_a_study_file_that_is_not_there_is_not_taken_for_a_study(run, tmp_path):
    ran = run("graph", tmp_path / "gone.yaml")
    assert ran.err.startswith(f"maestro-es: {tmp_path}/gone.yaml: The study file can't be read: No such file")


@pytest.mark.parametrize("command", ["report", "graph", "export"])
def test_no_device_or_pipe_is_replaced(run, study, tmp_path, command):
    os.mkfifo(tmp_path / "pipe.svg")
    for path in (tmp_path / "pipe.svg", "/dev/maestro-es.svg"):
        ran = run(command, study, "-o", path)
        assert (ran.code, ran.err.count("\n"), "is not a regular file" in ran.err) == (1, 1, True), ran
    assert (tmp_path / "pipe.svg").is_fifo()


def test_a_template_that_is_newer_than_the_story_is_not_drawn():
    diagram = Diagram("pi", [Node("new", 1, {})], [Edge("old", "new")])
    story = type("Story", (), {"templates": {}, "steps": {"template": []}})()
    assert _with_kinds(diagram, story) == Diagram("pi", [], [])
