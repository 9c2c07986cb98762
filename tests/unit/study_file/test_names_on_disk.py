from __future__ import annotations

import pytest

from maestro_es.core import file_names
from maestro_es.study_file import render


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b", "ab"), ("a:b,c", "abc"), ("x=1;y", "x1y"), ("a b (c)", "a_b_(c)"), ("é.-_", ".-_"), ("\n\t", "")],
)
def test_a_safe_name_is_maestros(name: str, expected: str):
    assert render.safe(name) == expected


def test_short_names_count_distinct_combinations_from_0():
    assert [render.nickname("a", index, 3) for index in range(3)] == ["a_instance_0", "a_instance_1", "a_instance_2"]


@pytest.mark.parametrize(
    "name",
    [
        ".status.csv.4711",
        "events.db.new",
        "events.db.new-journal",
        ".maestro-es.new",
        ".maestro-es.lock",
        ".batch.info.4711",
    ],
)
def test_no_step_is_called_like_a_file_of_ours_that_is_being_written(name: str):
    assert (
        render.objection(f"{name}/N.1", name, file_names.TAKEN)
        == f"its directory '{name}' is taken by a file of the study"
    )


@pytest.mark.parametrize("name", ["events.db.newer", "batch.info.4711", ".batch.info.x", ".other.4711", "status"])
def test_a_name_that_is_only_like_one_is_free(name: str):
    assert render.objection(name, name, file_names.TAKEN) is None
