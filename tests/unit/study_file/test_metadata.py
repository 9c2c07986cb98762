from __future__ import annotations

import datetime as dt

import yaml

from maestro_es.study_file.metadata import batch_info, metadata_files
from tests.unit.study_file.study import read, steps

TEXT = steps("a: cmd: $(P)", "b: cmd: x, depends: [a_*]", "c: cmd: x, depends: [b, a]") + (
    "global.parameters: {P: {values: [1, 2.5], label: P.%%}, D: {values: [2024-01-01, ü], label: D.%%}}"
)


def files() -> dict[str, str]:
    study = read(TEXT)
    made = metadata_files(study.order(), study.parameters, study.expansion(), "/study")
    return {name: "".join(parts) for name, parts in made.items()}


def test_the_study_is_described_as_maestro_does_with_lists_for_sets():
    assert yaml.safe_load(files()["metadata.yaml"]) == {
        "dependencies": {"_source": [], "a": [], "b": [], "c": ["a", "b"]},
        "hub_dependencies": {"_source": [], "a": [], "b": ["a"], "c": []},
        "step_combinations": {
            "_source": "/study",
            "a": {"a_P.1": "a/P.1", "a_P.2.5": "a/P.2.5"},
            "b": {"b": "b"},
            "c": {"c_P.1": "c/P.1", "c_P.2.5": "c/P.2.5"},
        },
        "used_parameters": {"_source": [], "a": ["P"], "b": [], "c": ["P"]},
        "workspaces": {
            "_source": "/study",
            "a_P.1": "a/P.1",
            "a_P.2.5": "a/P.2.5",
            "b": "b",
            "c_P.1": "c/P.1",
            "c_P.2.5": "c/P.2.5",
        },
    }


def test_parameters_keep_the_kind_of_their_values_where_yaml_has_it():
    assert yaml.safe_load(files()["parameters.yaml"]) == {
        "P.1.D.2024-01-01": {
            "labels": {"$(P.label)": "P.1", "$(D.label)": "D.2024-01-01"},
            "params": {"$(P)": 1, "$(D)": dt.date(2024, 1, 1)},
        },
        "P.2.5.D.ü": {
            "labels": {"$(P.label)": "P.2.5", "$(D.label)": "D.ü"},
            "params": {"$(P)": 2.5, "$(D)": "ü"},
        },
    }


def test_no_file_has_tags_that_only_python_reads():
    assert all("!" not in text for text in files().values())


def test_batch_info_is_the_batch_block():
    assert batch_info({"type": "local"}) == "type: local\n"


def test_names_are_sorted_as_a_whole_even_if_one_step_is_called_like_instances_of_another():
    names = ["a", "a_P", "a_P.1_b", "ab", "a b", "_z", "_source_x", "A", "z_", "z"]
    used = ("a", "a_P.1_b", "z", "a b")
    study = read(
        steps(*(f"{name}: cmd: x{' $(P)' * (name in used)}" for name in names))
        + "global.parameters: {P: {values: [2, 10, 1], label: P.%%}}"
    )
    made = "".join(metadata_files(study.order(), study.parameters, study.expansion(), "/study")["metadata.yaml"])

    assert made == yaml.safe_dump(yaml.safe_load(made), allow_unicode=True, default_flow_style=False)
    assert set(yaml.safe_load(made)["workspaces"]) == {"_source", *(step.name for step in study.expansion().steps)}
