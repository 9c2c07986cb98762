"""The last column of a table continues below itself, or stands below its row, if the page is narrow."""

from __future__ import annotations

from maestro_es.report.fitted import hanging

HEADER = ("Seq", "Step", "What")
ROWS = [["7", "first", "one two three four five six seven"], ["12", "second", "x"]]


def test_a_table_that_fits_is_not_changed():
    lines = ["Seq  Step    What", "  7  first   one two three four five six seven", " 12  second  x"]

    assert hanging(HEADER, ROWS, None) == hanging(HEADER, ROWS, 80) == lines


def test_a_long_last_cell_continues_below_itself():
    assert hanging(HEADER, ROWS, 40) == [
        "Seq  Step    What",
        "  7  first   one two three four five six\n             seven",
        " 12  second  x",
    ]


def test_where_there_is_little_room_the_last_cell_is_below_its_row():
    assert hanging(HEADER, ROWS, 30) == [
        "Seq  Step\n    What",
        "  7  first\n    one two three four five\n    six seven",
        " 12  second\n    x",
    ]


def test_of_several_cells_below_a_row_each_has_a_line_of_its_own_unless_all_fit_in_one():
    header, row = ("Seq", "Who", "Command", "What"), ["7", "you@a-host-with-a-long-name", "maestro-es pause", "paused"]
    assert hanging(header, [row], 45) == [
        "Seq  Who\n    Command  What",
        "  7  you@a-host-with-a-long-name\n    maestro-es pause  paused",
    ]
    assert hanging(header, [[*row[:3], "paused; no steps are submitted"]], 45) == [
        "Seq  Who\n    Command\n    What",
        "  7  you@a-host-with-a-long-name\n    maestro-es pause\n    paused; no steps are submitted",
    ]
