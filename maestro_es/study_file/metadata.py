"""Formats the files under ``meta/`` of a study, with Maestro's structure, in plain YAML.

Sets are written as sorted lists, because few programs can read the tag of YAML's sets. There is no copy of the
environment, because it may contain secrets. `maestro_es.creation.create` writes the files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any

import yaml

from maestro_es.core.model import SOURCE, Param
from maestro_es.study_file.block_yaml import SortedEntries, block_lines, block_yaml
from maestro_es.study_file.instances import Expansion, Instances, labels_of
from maestro_es.study_file.parameters import Parameters
from maestro_es.study_file.templates import Template

_PLAIN = {str, int, float, bool, NoneType, dt.date, dt.datetime}


def metadata_files(
    templates: Sequence[Template], parameters: Parameters, expansion: Expansion, root: str
) -> dict[str, Iterator[str]]:
    """Return each file by its name under ``meta/``, as parts of its text. `root` is the study's directory."""
    return {
        "metadata.yaml": block_lines(_study(templates, expansion, root)),
        "parameters.yaml": block_lines(SortedEntries(_combinations(parameters)) if parameters.count else {}),
    }


def _study(templates: Sequence[Template], expansion: Expansion, root: str) -> dict[str, Any]:
    instances = expansion.templates
    return {
        "dependencies": {SOURCE: [], **{t.name: sorted(t.parents) for t in templates}},
        "hub_dependencies": {SOURCE: [], **{t.name: sorted(t.funnels) for t in templates}},
        "step_combinations": SortedEntries(
            (name, SortedEntries(_workspaces(instances[name])) if name in instances else root)
            for name in sorted((SOURCE, *instances))
        ),
        "used_parameters": {SOURCE: [], **{t.name: sorted(instances[t.name].used) for t in templates}},
        "workspaces": SortedEntries(_all_workspaces(expansion, root)),
    }


def _workspaces(*all_instances: Instances) -> Iterator[tuple[str, str]]:
    """Yield the name and the workspace of each instance of some templates, by name."""
    yield from sorted(
        (instances.name(index), instances.workspace(index))
        for instances in all_instances
        for index in range(len(instances))
    )


def _all_workspaces(expansion: Expansion, root: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the workspace of each instance, by name. Only a few are in memory at the same time.

    All names of a template's instances begin with the same text, the stem. If no stem begins with the stem of another
    template, the instances of one template follow those of the other.
    """
    stems = [(f"{name}_" if instances.grouping else name, name) for name, instances in expansion.templates.items()]
    together: list[Instances] = []
    before = ""
    for stem, name in sorted([(SOURCE, ""), *stems]):
        if not (before and stem.startswith(before)):
            yield from _workspaces(*together)
            together, before = [], stem
        if name:
            together.append(expansion.templates[name])
        else:
            yield SOURCE, root
    yield from _workspaces(*together)


def _combinations(parameters: Parameters) -> Iterator[tuple[str, Any]]:
    """Yield the labels and values of each combination, sorted by labels.

    If labels are equal, the last combination counts.
    """
    labels = list(labels_of(parameters, parameters.keys))
    order = sorted(range(len(labels)), key=labels.__getitem__)
    for index, following in zip(order, [*order[1:], None], strict=True):
        if following is None or labels[following] != labels[index]:
            params = [parameters.columns[key][index] for key in parameters.keys]
            yield (
                labels[index],
                {
                    "labels": {f"$({param.key}.label)": param.label for param in params},
                    "params": {f"$({param.key})": _value(parameters, param, index) for param in params},
                },
            )


def _value(parameters: Parameters, param: Param, index: int) -> Any:  # noqa: ANN401 - YAML
    """Return the original value if plain YAML can express it. Otherwise return its text in scripts."""
    value = parameters.values[param.key][index]
    return value if _is_plain(value) else param.value


def _is_plain(value: Any) -> bool:  # noqa: ANN401 - a generator may return anything
    """Return whether every YAML reader knows the type of a value. Numbers of numpy have other types."""
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
