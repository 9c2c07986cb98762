"""The entry in a scrontab. Nothing here was read by a real Slurm."""

from __future__ import annotations

import pytest

from maestro_es.drivers.crontab import BEGIN, END, installed_line, with_line, without_line
from maestro_es.drivers.scrontab import check_options, entry, is_disabled, options_in
from maestro_es.errors import RequestRefused

ENTRY = entry(["/venv/bin/python3", "-I", "-m", "maestro_es"], "/home/me", {"qos": "workflow", "account": "abc"})


def test_the_options_come_before_the_entry_and_hold_for_it_alone():
    lines = ENTRY.split("\n")
    assert lines[:-1] == [
        "#SCRON --job-name=maestro-es-tick",
        "#SCRON --time=15",
        "#SCRON --output=/home/me/scrontab.log",
        "#SCRON --qos=workflow",
        "#SCRON --account=abc",
        "#SCRON --open-mode=append",
    ]
    assert lines[-1].startswith("* * * * * /usr/bin/env MAESTRO_ES_HOME=/home/me MAESTRO_ES_BY_CRON=scrontab /venv/")
    assert options_in(ENTRY) == {"qos": "workflow", "account": "abc"}


def test_an_entry_that_slurm_has_disabled_is_found_and_replaced():
    text = with_line("0 3 * * * backup\n", ENTRY)
    disabled = "".join(f"#DISABLED: {line}\n" for line in ENTRY.split("\n"))
    text = text.replace(f"{ENTRY}\n", disabled)
    block = installed_line(text) or ""
    assert is_disabled(block)
    assert not is_disabled(ENTRY)
    assert options_in(block) == {"qos": "workflow", "account": "abc"}
    assert with_line(text, ENTRY) == f"0 3 * * * backup\n{BEGIN}\n{ENTRY}\n{END}\n"
    assert without_line(text) == "0 3 * * * backup\n"


@pytest.mark.parametrize("value", ["/home/a b", "/home/50%", "/home/$USER", "/home/it's", "/a\\b"])
def test_a_path_that_slurm_or_the_shell_would_change_is_refused(value):
    with pytest.raises(RequestRefused):
        entry(["/venv/bin/python3"], value, {})
    with pytest.raises(RequestRefused):
        entry(["/venv/bin/python3"], "/home", {"account": value})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#SCRON -t 5\n", 1),
        ("0 3 * * * a\n#SCRON -t 5\n# text\n\n", 2),
        (f"#SCRON -t 5\n{BEGIN}\n{ENTRY}\n{END}\n0 3 * * * a\n", 1),
    ],
)
def test_options_without_an_entry_would_hold_for_ours_and_are_refused(text, line):
    with pytest.raises(RequestRefused, match=f"line {line} of your scrontab"):
        check_options(text)


@pytest.mark.parametrize(
    "text", ["", "#SCRON -t 5\n0 3 * * * a\n", f"{BEGIN}\n{ENTRY}\n{END}\n#SCRON -t 5\n0 3 * * * a\n"]
)
def test_options_of_other_entries_are_fine(text):
    check_options(text)
