"""The files under ``meta/`` are byte for byte what PyYAML writes."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from maestro_es.study_file.block_yaml import block_yaml

_ODD = [
    "",
    "~",
    "yes",
    "No",
    "n",
    "NULL",
    "=",
    "<<",
    "-",
    "1_0",
    "0x1f",
    "1e3",
    "1.",
    "012",
    "0.10",
    "12:30:45",
    "a: b",
]
TEXTS = (
    st.sampled_from(
        [*_ODD, "a #b", "$(N)", "$(N.label)", "a_N.1", "_source", "x" * 99, "x" * 200, "é", "a b " * 30, "a\n"]
    )
    | st.text(alphabet="aN_./$()-01 :#'\"\n,é", max_size=12)
    | st.text(max_size=6)
)
SCALARS = TEXTS | st.integers() | st.floats() | st.booleans() | st.none() | st.dates() | st.datetimes()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_any_mapping_is_written_as_pyyaml_writes_it(data):
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    assert block_yaml(data) == yaml.dump(data, Dumper=dumper, allow_unicode=True, default_flow_style=False)
