from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_es.adapters.registry import find_facts
from maestro_es.drivers.crontab import (
    BEGIN,
    END,
    installed_line,
    missed_ticks,
    tick_line,
    what_is_forgotten,
    with_line,
    without_line,
)
from maestro_es.errors import RequestRefused

LINE = "* * * * * /usr/bin/env MAESTRO_ES_HOME=/home MAESTRO_ES_BY_CRON=1 /venv/bin/python3 -m maestro_es tick --all"
BLOCK = f"{BEGIN}\n{LINE}\n{END}\n"
MINUTE = 60_000_000

#: What others have in their crontabs, down to bytes that are no UTF-8 and to what only looks like a marker.
OTHERS = st.lists(
    st.sampled_from(
        ["", "MAILTO=me", "0 3 * * * backup\t%x", "# maestro-es", f"#{BEGIN}", "\x0b\x85", "\udcff", "carriage\r"]
    )
    | st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).filter(
        lambda line: line.strip() not in {BEGIN, END}
    )
).map(lambda lines: "".join(f"{line}\n" for line in lines))


@given(OTHERS, OTHERS)
def test_the_lines_of_others_are_kept_byte_for_byte(above, below):
    assert with_line(above, LINE) == above + BLOCK
    assert with_line(f"{above}{BEGIN}\nanother\n\n{END}\n{below}", LINE) == above + BLOCK + below
    assert without_line(above + BLOCK + below) == above + below


@given(OTHERS)
def test_to_remove_is_to_undo_an_installation(crontab):
    assert without_line(with_line(crontab, LINE)) == crontab
    assert without_line(crontab) == crontab


@given(OTHERS, OTHERS)
def test_to_install_twice_is_to_install_once(above, below):
    once = with_line(above + BLOCK + below, LINE)
    assert once == above + BLOCK + below
    assert with_line(with_line(above, LINE), LINE) == with_line(above, LINE)
    assert installed_line(once) == LINE


def test_a_last_line_without_its_newline_is_given_one():
    assert with_line("0 3 * * * backup", LINE) == f"0 3 * * * backup\n{BLOCK}"
    assert with_line(BLOCK.removesuffix("\n"), LINE) == BLOCK.removesuffix("\n")


def test_several_blocks_of_ours_become_one():
    assert with_line(f"a\n{BLOCK}b\n{BLOCK}{BLOCK}c\n", LINE) == f"a\n{BLOCK}b\nc\n"
    assert without_line(f"a\n{BLOCK}b\n{BLOCK}c\n") == "a\nb\nc\n"


def test_an_empty_block_is_filled():
    assert installed_line(f"{BEGIN}\n{END}\n") == ""
    assert with_line(f"{BEGIN}\n{END}\n", LINE) == BLOCK


def test_where_there_is_no_block_nothing_is_installed():
    assert installed_line("") is None
    assert installed_line("0 3 * * * backup\n") is None


@pytest.mark.parametrize(
    ("crontab", "number", "mark"),
    [
        (f"a\n{BEGIN}\n{LINE}\nb\n", 2, BEGIN),
        (f"a\n{END}\nb\n", 2, END),
        (f"{BEGIN}\nmine\n{BLOCK}", 3, BEGIN),
        (f"{BLOCK}{END}\n", 4, END),
        (f"{END}\n{BEGIN}\n", 1, END),
        (f"{BLOCK}{BEGIN}", 4, BEGIN),
    ],
)
def test_markers_without_a_counterpart_are_refused_with_the_line(crontab, number, mark):
    for attempt in (lambda: with_line(crontab, LINE), lambda: without_line(crontab), lambda: installed_line(crontab)):
        with pytest.raises(RequestRefused, match=f"line {number} of your crontab, '{mark}', has no counterpart"):
            attempt()


def test_the_line_ticks_all_studies_each_minute():
    assert tick_line(["/venv/bin/python3", "-m", "maestro_es"], "/home") == LINE


def test_a_place_with_spaces_is_quoted():
    assert tick_line(["/bin/maestro-es"], "/my home") == (
        "* * * * * /usr/bin/env 'MAESTRO_ES_HOME=/my home' MAESTRO_ES_BY_CRON=1 /bin/maestro-es tick --all"
    )


def test_percent_signs_are_escaped_as_crontabs_need_it():
    assert tick_line(["/100%/python3", "-I"], "/h").endswith(r" /100\%/python3 -I tick --all")


@given(st.text(st.characters(exclude_characters="\\\n\r\0", exclude_categories=["Cs"]), min_size=1))
def test_a_shell_that_cron_hands_the_line_to_sees_the_paths_as_they_are(path):
    command = tick_line([path], path).removeprefix("* * * * * ")
    assert "%" not in command.replace(r"\%", "")
    assert shlex.split(command.replace(r"\%", "%"))[1:4:2] == [f"MAESTRO_ES_HOME={path}", path]


@pytest.mark.parametrize("path", ["/a\\b/python3", "/a\nb/python3", "/a\rb/python3"])
def test_a_path_that_no_crontab_can_hold_is_refused(path):
    with pytest.raises(RequestRefused, match="use another path"):
        tick_line([path], "/home")


@pytest.mark.parametrize(
    ("since", "missed"), [(-5, 0), (0, 0), (MINUTE, 0), (2 * MINUTE - 1, 0), (2 * MINUTE, 1), (60 * MINUTE, 59)]
)
def test_a_tick_is_missed_when_a_minute_has_passed_since_it_was_due(since, missed):
    assert missed_ticks(MINUTE, MINUTE + since) == missed


def test_a_scheduler_says_itself_that_it_forgets_jobs_between_two_ticks():
    info = {"MinJobAge": "30 sec", "AccountingStorageType": "(null)"}

    assert what_is_forgotten(find_facts("slurm"), info) == (
        "Slurm forgets a job within 60 s of its end (MinJobAge) and keeps no accounting records: "
        "if the report of a job is lost, a tick may not see how the job ended, and then runs its step again"
    )
    assert what_is_forgotten(find_facts("slurm"), {**info, "MinJobAge": "300 sec"}) == ""
    assert what_is_forgotten(find_facts("local"), info) == ""
