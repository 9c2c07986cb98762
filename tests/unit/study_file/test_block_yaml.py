"""Metadata of a usual study is written without PyYAML, whose representer would take half of `run`."""

from __future__ import annotations

import pytest
import yaml

from maestro_es.study_file.block_yaml import block_yaml


def test_pyyaml_is_not_called_for_usual_names_and_values(monkeypatch):
    monkeypatch.setattr(yaml, "dump", lambda *_arguments, **_options: pytest.fail("PyYAML was called"))

    text = block_yaml(
        {
            "N.1": {"labels": {"$(N.label)": "N.1"}, "params": {"$(N)": 1, "$(M)": "2", "$(X)": "0.5"}},
            "dependencies": {"_source": [], "a_N.1": ["b", "c"]},
        }
    )

    assert text == (
        "N.1:\n  labels:\n    $(N.label): N.1\n  params:\n    $(M): '2'\n    $(N): 1\n    $(X): '0.5'\n"
        "dependencies:\n  _source: []\n  a_N.1:\n  - b\n  - c\n"
    )
