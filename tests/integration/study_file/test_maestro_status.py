"""Maestro's status table, as it writes it: unquoted, and sometimes not whole."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from maestro_es.core.model import State
from maestro_es.errors import StudyError
from maestro_es.study_file.maestro_status import read_rows

HEADER = (
    "Step Name,Job ID,Workspace,State,Run Time,Elapsed Time,Start Time,Submit Time,End Time,Number Restarts,Params"
)
ENDED = "0d:00h:00m:01s,0d:00h:00m:03s,2026-11-22 06:50:37,2026-11-22 06:50:35,2026-11-22 06:50:38"
NEW = "--:--:--,--:--:--,--,--,--"


def _table(folder: Path, *lines: str) -> Path:
    path = folder / "status.csv"
    path.write_text("\n".join([HEADER, *lines]))
    return path


def test_a_row_has_the_last_job_the_times_and_the_restarts(tmp_path):
    path = _table(tmp_path, f"a,1001,a,TIMEDOUT,{ENDED},2,", f"b,--,b,INITIALIZED,{NEW},0,")

    rows = read_rows(path, ["a", "b"])

    assert (rows["a"].job_id, rows["a"].state, rows["a"].restarts) == ("1001", State.TIMEDOUT, 2)
    times = (rows["a"].submitted_at, rows["a"].started_at, rows["a"].ended_at)
    assert [time.localtime((at or 0) // 1_000_000)[5] for at in times] == [35, 37, 38]
    assert (rows["b"].job_id, rows["b"].submitted_at, rows["b"].params) == ("", None, "")


def test_commas_in_names_and_parameters_are_parts_of_them(tmp_path):
    path = _table(tmp_path, f"a_N.1,2,--,a/N.12,INITIALIZED,{NEW},0,N:1,2;M:x", f"a_N.1,7,a/N.1,RUNNING,{NEW},0,N:1")

    rows = read_rows(path, ["a_N.1,2", "a_N.1"])

    assert (rows["a_N.1,2"].job_id, rows["a_N.1,2"].params) == ("", "N:1,2;M:x")
    assert (rows["a_N.1"].job_id, rows["a_N.1"].params) == ("7", "N:1")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([f"a,1,a,FINISHED,{ENDED},0,"], "has no line for b"),
        ([f"a,1,a,FINISHED,{ENDED},0,", "b,1,b,RUNN"], ":3: can't be read .*it is too short.*was the table truncated"),
        ([f"x,1,x,FINISHED,{ENDED},0,"], "it does not begin with a step of this study"),
        ([f"a,1,a,PERHAPS,{NEW},0,"], "'PERHAPS'"),
        ([f"a,1,a,RUNNING,{NEW},many,"], "many"),
        (["a,1,a,RUNNING,--:--:--,--:--:--,yesterday,--,--,0,"], "yesterday"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path, lines, complaint):
    with pytest.raises(StudyError, match=complaint):
        read_rows(_table(tmp_path, *lines), ["a", "b"])


def test_what_is_no_table_of_maestros_is_refused(tmp_path):
    (tmp_path / "status.csv").write_text("name;state\n")
    with pytest.raises(StudyError, match="is not a status table of Maestro; its first line is 'name;state'"):
        read_rows(tmp_path / "status.csv", [])
    with pytest.raises(StudyError, match="No such file or directory; without it the steps that have run are unknown"):
        read_rows(tmp_path / "missing.csv", [])
