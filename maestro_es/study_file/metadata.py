"""The texts of the files under ``meta/`` of a study, with Maestro's structure, in plain YAML.

Sets are written as sorted lists, because few programs can read the tag of YAML's sets. There is no copy of the
environment, because it may contain secrets. `maestro_es.creation.create` writes the files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any

import yaml

from maestro_es.core.model import SOURCE, Param
from maestro_es.study_file.block_yaml import block_yaml
from maestro_es.study_file.expansion import Expansion
from maestro_es.study_file.parameters import Parameters
from maestro_es.study_file.templates import Template

_PLAIN = {str, int, float, bool, NoneType, dt.date, dt.datetime}


def metadata_files(
    templates: Iterable[Template], parameters: Parameters, expansion: Expansion, root: str
) -> dict[str, str]:
    """Return the text of each file by its name under ``meta/``. `root` is the study's directory."""
    study = _study(list(templates), expansion, root)
    return {"metadata.yaml": block_yaml(study), "parameters.yaml": block_yaml(_parameters(parameters))}


def _study(templates: list[Template], expansion: Expansion, root: str) -> dict[str, Any]:
    workspaces: dict[str, str] = {SOURCE: root}
    combinations: dict[str, Any] = {SOURCE: root}
    for template in templates:
        steps = [expansion.steps[number - 1] for number in expansion.numbers(template.name)]
        combinations[template.name] = {step.name: step.workspace for step in steps}
        workspaces |= combinations[template.name]
    return {
        "dependencies": {SOURCE: [], **{t.name: sorted(t.parents) for t in templates}},
        "hub_dependencies": {SOURCE: [], **{t.name: sorted(t.funnels) for t in templates}},
        "step_combinations": combinations,
        "used_parameters": {SOURCE: [], **{t.name: sorted(expansion.used[t.name]) for t in templates}},
        "workspaces": workspaces,
    }


def _parameters(parameters: Parameters) -> dict[str, Any]:
    return {
        ".".join(combo[key].label for key in parameters.keys): {
            "labels": {f"$({key}.label)": combo[key].label for key in parameters.keys},
            "params": {f"$({key})": _value(parameters, combo, key, index) for key in parameters.keys},
        }
        for index, combo in enumerate(parameters.combos)
    }


def _value(parameters: Parameters, combo: Mapping[str, Param], key: str, index: int) -> Any:  # noqa: ANN401 - YAML
    """Return the value as it was given if plain YAML can express it; otherwise return its text in scripts."""
    value = parameters.values[key][index]
    return value if _is_plain(value) else combo[key].value


def _is_plain(value: Any) -> bool:  # noqa: ANN401 - generators make anything
    """Whether every YAML reader knows the type of a value. The types of numpy's numbers do not count."""
    if isinstance(value, (list, dict)):
        return all(map(_is_plain, value if isinstance(value, list) else [*value, *value.values()]))
    return type(value) in _PLAIN


def batch_info(batch: Mapping[str, Any]) -> str:
    """Return the text of ``batch.info``: the batch block, as YAML."""
    return block_yaml(batch)


#: The attributes of Maestro's `Study` for the parts of ``metadata.yaml``.
_PARTS = {
    "workspaces": "workspaces",
    "depends": "dependencies",
    "hub_depends": "hub_dependencies",
    "used_params": "used_parameters",
    "step_combos": "step_combinations",
}


def read_metadata(text: str) -> dict[str, Any]:
    """Return the parts of ``metadata.yaml`` by the names of Maestro's `Study`, with sets instead of lists."""
    data = yaml.safe_load(text)
    made = {
        name: {step: set(of) for step, of in data[part].items()} for name, part in _PARTS.items() if name[0] != "w"
    }
    made["step_combos"][SOURCE] = set()
    return {"workspaces": data["workspaces"], **made}
