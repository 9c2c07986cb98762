from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maestro_es.errors import SpecError
from tests.unit.study_file.study import read

WHOLE: dict[str, Any] = {
    "description": {"name": "n", "description": "d"},
    "env": {
        "variables": {"V": 1, "W": "$(V)/w"},
        "labels": {"L": "$(P.label)"},
        "sources": ["source x"],
        "dependencies": {
            "paths": [{"name": "D", "path": "/"}],
            "git": [{"name": "G", "path": "$(OUTPUT_PATH)", "url": "u", "tag": "t"}],
        },
    },
    "batch": {"type": "slurm", "host": "h", "bank": "b", "queue": "q"},
    "study": [
        {"name": "a", "description": "$(L)", "run": {"cmd": "$(P) $(W)", "nodes": 1, "exclusive": {"launcher": True}}},
        {"name": "b", "description": "d", "run": {"cmd": "ls $(a.workspace)", "depends": ["a_*"], "restart": "x"}},
        {"name": "c", "description": "d", "run": {"cmd": "x", "depends": ["a", "b"], "walltime": "01:00"}},
    ],
    "global.parameters": {"P": {"values": [1, 2], "label": "P.%%"}, "Q": {"values": ["a", "b"], "label": "Q.%%"}},
}


def places(data: object) -> list[tuple[Any, ...]]:
    """Return the path of every value in `data`."""
    found: list[tuple[Any, ...]] = []
    stack: list[tuple[tuple[Any, ...], object]] = [((), data)]
    while stack:
        path, value = stack.pop()
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        inner = [((*path, key), part) for key, part in pairs]
        found += [path for path, _ in inner]
        stack += inner
    return found


def problems_of(text: str) -> tuple[str, ...]:
    """Return the problems of a study that is read and expanded; anything raised but a SpecError is a failure."""
    try:
        study = read(text)
        study.findings.stop_if_problems()
        study.expansion()
    except SpecError as error:
        return error.problems
    return study.findings.problems()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
tokens = st.sampled_from(["$(V)", "$(P)", "$(a.workspace)", "*", "_*", "..", "/", "a", "c", "$(W)$(L)"])
values = st.recursive(
    scalars | tokens,
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=3), part, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(places(WHOLE)), values)
def test_any_value_anywhere_is_taken_or_refused_in_one_line_for_each_problem(path: tuple[Any, ...], value: object):
    data = copy.deepcopy(WHOLE)
    inner: Any = data
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value

    for problem in problems_of(json.dumps(data)):
        assert problem.startswith("study.yaml:")
        assert "\n" not in problem


@given(st.text(max_size=40))
def test_any_text_that_is_no_study_is_refused(text: str):
    assert problems_of(text)
