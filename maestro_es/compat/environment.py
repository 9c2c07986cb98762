"""What steps may name: variables, labels, dependencies and sources, by Maestro's names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from maestro_es.core.model import Scalar
from maestro_es.spec.document import Document
from maestro_es.spec.environment import read_environment
from maestro_es.spec.findings import Findings


class Variable:
    """A variable or a label: ``$(name)`` stands for `value`. `kind` is where a study file has it."""

    kind = "variables"

    def __init__(self, name: str, value: Scalar, token: str = "$") -> None:  # noqa: S107 - no password
        if not name or value is None:
            raise ValueError(f"a variable needs a name and a value, not {name!r} and {value!r}")
        if token != "$":  # noqa: S105 - likewise
            raise ValueError(f"variables begin with '$' in maestro-es, not with {token!r}")
        self.name = name
        self.value = value
        self.token = token

    def get_var(self) -> str:
        """Return what stands for the value."""
        return f"{self.token}({self.name})"

    def substitute(self, data: str) -> str:
        """Return a text with the value in its places."""
        return data.replace(self.get_var(), str(self.value))

    def declared(self) -> Any:  # noqa: ANN401 - a value, or what a study file has for a dependency
        """Return what a study file says of it."""
        return self.value


class PathDependency(Variable):
    """A file or directory that must exist; a relative path begins at the current directory."""

    kind = "paths"

    def __init__(self, name: str, value: str, token: str = "$") -> None:  # noqa: S107 - no password
        super().__init__(name, value if value.startswith("$") else os.path.abspath(value), token)  # noqa: PTH100 - links stay

    def declared(self) -> dict[str, str]:
        return {"name": self.name, "path": str(self.value)}


class GitDependency(Variable):
    """A repository at the address `value` that is cloned to ``path/name``, at most one of hash, tag and branch."""

    kind = "git"

    def __init__(self, name: str, value: str, path: str, token: str = "$", **at: str) -> None:  # noqa: S107 - likewise
        if len(at) > 1 or at.keys() - {"hash", "tag", "branch"}:
            raise ValueError(f"a repository takes one of hash, tag and branch, not {', '.join(at)}")
        super().__init__(name, f"{path}/{name}", token)
        self.url = value
        self.path = path
        self.at = at

    def declared(self) -> dict[str, str]:
        return {"name": self.name, "path": self.path, "url": self.url, **self.at}


class Script:
    """A shell line that comes before the commands of every step."""

    def __init__(self, source: str) -> None:
        self.source = source


class StudyEnvironment:
    """The variables, labels, sources and dependencies of a study."""

    def __init__(self) -> None:
        self.sources: list[Script] = []
        self.is_set_up = False
        self._items: dict[str, Variable] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Variable | Script) -> None:
        """Add an item. ValueError if there is one of that name."""
        if isinstance(item, Script):
            self.sources.append(item)
            return
        if not isinstance(item, Variable):
            raise TypeError(f"an environment holds variables, dependencies and scripts, not {type(item).__name__}")
        if item.name in self._items:
            raise ValueError(f"there are two items {item.name!r} in the environment; give one of them another name")
        self._items[item.name] = item
        self.is_set_up = False

    def find(self, key: str) -> Variable | None:
        """Return the item of that name, or None."""
        return self._items.get(key)

    def remove(self, key: str) -> Variable | None:
        """Take out the item of that name and return it, or None."""
        return self._items.pop(key, None)

    def acquire_environment(self) -> None:
        """Note that dependencies are wanted: `Study.stage` acquires them."""
        self.is_set_up = True

    def apply_environment(self, item: Any) -> Any:  # noqa: ANN401 - whatever a step holds
        """Return an item with all tokens of the environment replaced, in the strings of lists and mappings too."""
        findings = Findings("environment")
        cwd = str(Path.cwd())
        return read_environment(Document({"env": self.section()}, None), cwd, cwd, findings).apply(item)

    def section(self) -> dict[str, Any]:
        """Return the environment as a study file has it."""
        items = self._items.values()
        dependencies = {kind: [item.declared() for item in items if item.kind == kind] for kind in ("paths", "git")}
        found = {
            "variables": {item.name: item.declared() for item in items if item.kind == "variables"},
            "sources": [script.source for script in self.sources],
            "dependencies": {kind: declared for kind, declared in dependencies.items() if declared},
        }
        return {key: value for key, value in found.items() if value}
