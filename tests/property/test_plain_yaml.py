"""A study file has the same data and the same lines, whether it is loaded from events or by PyYAML."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from maestro_es.study_file.document import Document, read_document
from maestro_es.study_file.findings import Findings

ODD = [
    "",
    "~",
    "yes",
    "No",
    "on",
    "1_0",
    "0x1f",
    "012",
    "0",
    "-3",
    "0.10",
    "1e3",
    "12:30:45",
    "2024-01-31",
    ".inf",
    "=",
    "<<",
]
TEXTS = st.sampled_from([*ODD, "a #b", "$(N)", "x" * 99, "é", "a\nb", "a: b", "'", "٣"]) | st.text(max_size=6)
PLAIN = st.sampled_from([text for text in ODD if text])
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)
FILES = st.dictionaries(st.sampled_from(["study", "env", "batch", "a", "yes"]), VALUES, max_size=4)


def paths(data: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of each value, and of one that is not there in each mapping."""
    parts = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    return [path, (*path, "none"), *(below for key, value in parts for below in paths(value, (*path, key)))]


@given(FILES, st.booleans(), st.lists(PLAIN, max_size=3))
def test_data_lines_and_changed_values_are_those_of_pyyaml(data, flow, plain):
    text = yaml.safe_dump(data, default_flow_style=flow) + ("" if flow or not data else f"z: [{', '.join(plain)}]\n")
    findings = Findings("study.yaml")
    if any(word in plain for word in ("=", "<<")):
        return

    document = read_document(text, findings)
    nodes = Document(document.data, root=yaml.compose(text, yaml.SafeLoader))

    assert findings.problems() == ()
    assert repr(document.data) == repr(yaml.safe_load(text))
    every = paths(document.data)
    assert [document.line(*path) for path in every] == [nodes.line(*path) for path in every]
    assert sorted(document.changed(), key=repr) == sorted(nodes.changed(), key=repr)
    assert sorted(document.changed("z"), key=repr) == sorted(nodes.changed("z"), key=repr)
