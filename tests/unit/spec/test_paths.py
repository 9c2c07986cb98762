from __future__ import annotations

import pytest

from maestro_es.spec import paths


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b", "ab"), ("a:b,c", "abc"), ("x=1;y", "x1y"), ("a b (c)", "a_b_(c)"), ("é.-_", ".-_"), ("\n\t", "")],
)
def test_a_safe_name_is_maestros(name: str, expected: str):
    assert paths.safe(name) == expected


def test_short_names_count_distinct_combinations_from_0():
    assert paths.nicknames("a", ["x", "y", "x", "z"]) == {
        "x": "a_instance_0",
        "y": "a_instance_1",
        "z": "a_instance_2",
    }
