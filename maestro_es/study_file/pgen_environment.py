"""The environment of a study in the form that a generator reads and changes.

All values are resolved. The generator may add, change and remove items, as in Maestro. The steps get the changed
environment.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from maestro_es.core.model import Scalar
from maestro_es.study_file.checks import items, section
from maestro_es.study_file.document import Document
from maestro_es.study_file.study_environment import Script, StudyEnvironment, Variable, declared, kind_of

#: Names that a run defines. A generator can read them, but its changes to them are ignored.
_GIVEN = ("OUTPUT_PATH", "SPECROOT")


class FoundVariable(Variable, str):  # noqa: SLOT000 - it has the attributes of a variable
    """A value of the environment. It is a string and also has ``.value``, because generators use both."""

    def __new__(cls, name: str, value: Scalar) -> FoundVariable:  # noqa: ARG004 - str takes the value alone
        """Create the text `value` with its name."""
        return super().__new__(cls, value)

    __str__ = str.__str__


class GeneratorEnvironment(StudyEnvironment):
    """The environment of a study file with all `values` resolved. A generator may change it."""

    def __init__(self, document: Document, values: Mapping[str, Scalar]) -> None:
        super().__init__()
        self._before = section(document.data, "env")
        labels = _labels(self._before)
        repositories = {item.get("name"): item for _, item in items(section(self._before, "dependencies"), "git")}
        paths = {item.get("name") for _, item in items(section(self._before, "dependencies"), "paths")}
        for name, value in values.items():
            variable = FoundVariable(name, value)
            if name in repositories:
                refs = {"hash": "", "tag": "", "branch": "", **repositories[name]}
                vars(variable).update({key: refs.get(key) for key in ("url", "path", "hash", "tag", "branch")})
            group = self.labels if name in labels else self.substitutions
            (self.dependencies if name in paths or name in repositories else group)[name] = variable
        self.sources = [Script(text) for text in self._before.get("sources") or ()]
        self._shown = {name: _state(item) for name, item in self.items().items()}
        self._sources = [script.source for script in self.sources]

    def changed(self) -> dict[str, Any] | None:
        """Return the ``env`` of the study file with the generator's changes (None: there are none)."""
        now = {name: item for name, item in self.items().items() if name not in _GIVEN}
        gone = [name for name in self._shown if name not in now and name not in _GIVEN]
        new = {name: item for name, item in now.items() if self._shown.get(name) != _state(item)}
        sources = [script.source for script in self.sources]
        if not (gone or new or sources != self._sources):
            return None
        env = copy.deepcopy(self._before)
        for name in (*gone, *new):
            _take_out(env, name)
        for item in new.values():
            _put_in(env, item)
        return {**env, "sources": sources}


def _labels(env: dict[str, Any]) -> set[str]:
    """Return the names that Maestro treats as labels: those with a placeholder in their values."""
    both = {**section(env, "variables"), **section(env, "labels")}
    return {name for name, value in both.items() if isinstance(value, str) and "$" in value}


def _state(item: Any) -> tuple[int, str, Any]:  # noqa: ANN401 - of a class of ours or of Maestro's
    return id(item), kind_of(item), declared(item)


def _take_out(env: dict[str, Any], name: str) -> None:
    for kind in ("variables", "labels"):
        section(env, kind).pop(name, None)
    dependencies = section(env, "dependencies")
    for kind in ("paths", "git"):
        if isinstance(dependencies.get(kind), list):
            dependencies[kind] = [item for item in dependencies[kind] if item.get("name") != name]


def _put_in(env: dict[str, Any], item: Any) -> None:  # noqa: ANN401 - likewise
    kind = kind_of(item)
    if kind == "variables":
        env.setdefault("variables", {})[item.name] = item.value
    else:
        env.setdefault("dependencies", {}).setdefault(kind, []).append(declared(item))
