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
