"""Converts a study that was built in Python to the data of a study file, and collects facts about its steps.

`maestro_es.study_file` decides how this data is expanded to steps.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from maestro_es.core import arguments
from maestro_es.core.events import NewEvent, StepAdded, StepTemplateAdded
from maestro_es.core.model import SOURCE
from maestro_es.execution_graph import Step
from maestro_es.study_file.parameters import ParameterGenerator
from maestro_es.study_file.pgen_tools import apply_function
from maestro_es.study_file.render import OUTPUT_PATH, map_strings
from maestro_es.study_file.study_environment import SIGN, StudyEnvironment

#: The mark of a funnel, that is, of a dependency on all instances of a step.
_FUNNEL = re.compile(r"_\*|\*")


@dataclass
class Books:
    """Facts about the steps of a staged study, by name, in the form of Maestro's `Study`.

    `workspaces` holds the directory of each instance. `depends` holds the steps on which a step depends, and
    `hub_depends` the funnels. `used_params` holds its parameters, and `step_combos` the names of its instances.
    """

    workspaces: dict[str, str] = field(default_factory=dict)
    depends: dict[str, set[str]] = field(default_factory=dict)
    hub_depends: dict[str, set[str]] = field(default_factory=dict)
    used_params: dict[str, set[str]] = field(default_factory=dict)
    step_combos: dict[str, set[str]] = field(default_factory=dict)


def books(root: str, events: Iterable[NewEvent] = ()) -> Books:
    """Return the facts about a study in the directory `root`. The events add its steps."""
    result = Books({SOURCE: root}, {SOURCE: set()}, {SOURCE: set()}, {SOURCE: set()}, {SOURCE: set()})
    for _, event in events:
        if isinstance(event, StepTemplateAdded):
            parents = event.run.get("depends") or []
            result.depends[event.name] = {parent for parent in parents if "*" not in parent}
            result.hub_depends[event.name] = {funneled(parent) for parent in parents if "*" in parent}
            result.used_params[event.name] = set()
            result.step_combos[event.name] = set()
        elif isinstance(event, StepAdded):
            result.workspaces[event.name] = f"{root}/{event.workspace}"
            result.used_params[event.template] |= {param.key for param in event.params}
            result.step_combos[event.template].add(event.name)
    return result


def funneled(dependency: str) -> str:
    """Return the name of a step without the mark of a funnel."""
    return _FUNNEL.sub("", dependency)


def parents(step: Any) -> list[str]:  # noqa: ANN401 - of a class of ours, of Maestro's or of the program's
    """Return the names of the steps on which a step depends (empty: its ``depends`` is not a list of strings)."""
    depends = step.run.get("depends") if isinstance(step.run, Mapping) else None
    names = depends if isinstance(depends, (list, tuple)) else []
    return [funneled(parent) for parent in names if isinstance(parent, str)]


def real_name(step: Any) -> str:  # noqa: ANN401 - likewise
    """Return the name of a step instead of its nickname."""
    return arguments.name("step.name", getattr(step, "real_name", None) or step.name)


def check_run(name: str, step: Any) -> None:  # noqa: ANN401 - likewise
    """Check that a study file can contain the ``run`` keys of a step.

    TypeError or ValueError names the first wrong key.

    A value that contains itself is wrong, too.
    """
    if isinstance(step.run, Mapping):
        arguments.mapping(f"run of step {name!r}", step.run)


class AddedStep:
    """A step as it was added, before the values of the environment were filled in.

    The study file keeps this form, so that the study can be moved. But later changes by the program have priority.
    """

    def __init__(self, step: Any, environment: StudyEnvironment) -> None:  # noqa: ANN401 - likewise
        self._text = copy.deepcopy(step)
        self._lasting = all(item.token == SIGN for item in environment.items().values())
        vars(step).update(apply_function(vars(step), environment.apply_environment))
        self._applied = copy.deepcopy(vars(step))

    def as_file(self, step: Step) -> Step:
        """Return the form of the step for the study file."""
        text: Step = self._text
        return text if self._lasting and vars(step) == self._applied else step


def declaration(step: Any, more: Iterable[str] = ()) -> dict[str, Any]:  # noqa: ANN401 - likewise
    """Return a step in the form of a study file, without empty keys. The step also depends on the steps in `more`."""
    name = real_name(step)
    run = arguments.mapping(f"run of step {name!r}", step.run)
    named = {funneled(parent) for parent in parents(step)}
    extra = [parent for parent in more if parent not in named]
    if extra:
        run["depends"] = [*(run.get("depends") or []), *extra]
    return {
        "name": name,
        "description": arguments.text(f"description of step {name!r}", step.description) or name,
        "run": {key: value for key, value in run.items() if value not in ("", None, [])},
    }


def study_data(
    name: str,
    description: object,
    environment: StudyEnvironment,
    steps: list[dict[str, Any]],
    parameters: ParameterGenerator,
    root: str,
) -> dict[str, Any]:
    """Return the data of the study for a study file. Parameters that a file can't represent are left out.

    OUTPUT_PATH and SPECROOT are left out, because a launch sets them. An OUTPUT_PATH that is not the study's directory
    is an ordinary variable, and its value is filled in.
    """
    section = environment.section()
    section["variables"] = variables = dict(section.get("variables", {}))
    variables.pop("SPECROOT", None)
    output = str(variables.pop("OUTPUT_PATH", root))
    about = description if isinstance(description, Mapping) else {"description": description}
    data: dict[str, Any] = {
        "description": {**arguments.mapping("description", about), "name": name},
        "env": {key: value for key, value in section.items() if value},
        "study": steps,
        "global.parameters": _declared(parameters),
    }
    if os.path.abspath(output) != os.path.abspath(root):  # noqa: PTH100 - links stay
        data = map_strings(data, lambda text: text.replace(OUTPUT_PATH, output))
    return {key: value for key, value in data.items() if value}


def _declared(made: ParameterGenerator) -> dict[str, Any]:
    """Return parameters in the form of a study file (empty: it can't represent their labels, names or values)."""
    texts = all(isinstance(made.labels[key], str) and made.names[key] == key for key in made.parameters)
    values = [value for column in made.parameters.values() for value in column]
    if not texts or made.label_token != "%%" or {type(value) for value in values} - {str, int, float, bool}:  # noqa: S105 - no secret
        return {}
    return {key: {"values": list(column), "label": made.labels[key]} for key, column in made.parameters.items()}
