"""What steps may name: variables, labels, dependencies and sources, by Maestro's names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from maestro_es.core import arguments
from maestro_es.core.model import Scalar
from maestro_es.study_file.document import Document
from maestro_es.study_file.environment import read_environment
from maestro_es.study_file.findings import Findings


class Variable:
    """A variable or a label: ``$(name)`` stands for `value`."""

    def __init__(self, name: str, value: Scalar, token: str = "$") -> None:  # noqa: S107 - no password
        if not name or value is None:
            raise ValueError(f"a variable needs a name and a value, not {name!r} and {value!r}")
        name = arguments.name("name", name)
        value = arguments.scalar("value", value)
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


class PathDependency(Variable):
    """A file or directory that must exist; a relative path begins at the current directory."""

    def __init__(self, name: str, value: str, token: str = "$") -> None:  # noqa: S107 - no password
        value = arguments.path("value", value)
        super().__init__(name, value if value.startswith("$") else os.path.abspath(value), token)  # noqa: PTH100 - links stay


class GitDependency(Variable):
    """A repository at the address `value` that is cloned to ``path/name``, at most one of hash, tag and branch."""

    def __init__(self, name: str, value: str, path: str, token: str = "$", **at: str) -> None:  # noqa: S107 - likewise
        if len(at) > 1 or at.keys() - {"hash", "tag", "branch"}:
            raise ValueError(f"a repository takes one of hash, tag and branch, not {', '.join(at)}")
        path = arguments.path("path", path)
        super().__init__(name, f"{path}/{name}", token)
        self.url = arguments.path("value", value)
        self.path = path
        named = {key: arguments.name(key, wanted) for key, wanted in at.items()}
        self.hash, self.tag, self.branch = (named.get(key, "") for key in ("hash", "tag", "branch"))


class Script:
    """A shell line that comes before the commands of every step."""

    def __init__(self, source: str) -> None:
        self.source = arguments.name("source", source)


class StudyEnvironment:
    """The variables, labels, sources and dependencies of a study.

    As in Maestro, a variable with a token in its value is a label.
    """

    def __init__(self) -> None:
        self.substitutions: dict[str, Variable] = {}
        self.labels: dict[str, Variable] = {}
        self.dependencies: dict[str, Variable] = {}
        self.sources: list[Script] = []
        self.is_set_up = False

    def __bool__(self) -> bool:
        return any((self.substitutions, self.labels, self.dependencies))

    def add(self, item: Variable | Script) -> None:
        """Add an item of ours or of Maestro's. ValueError if there is one of that name."""
        found: Any = item
        if hasattr(found, "source") and not hasattr(found, "name"):
            self.sources.append(found)
            return
        if not all(hasattr(found, name) for name in ("name", "token", "substitute")):
            raise TypeError(f"an environment holds variables, dependencies and scripts, not {type(item).__name__}")
        if self.find(found.name) is not None:
            raise ValueError(f"there are two items {found.name!r} in the environment; give one of them another name")
        kind = kind_of(found)
        label = self.substitutions and isinstance(found.value, str) and found.token in found.value
        place = self.dependencies if kind != "variables" else self.labels if label else self.substitutions
        place[found.name] = found
        self.is_set_up = False

    def find(self, key: str) -> Variable | None:
        """Return the item of that name, or None."""
        return next((place[key] for place in self._places() if key in place), None)

    def remove(self, key: str) -> Variable | None:
        """Take out the item of that name and return it, or None."""
        return next((place.pop(key) for place in self._places() if key in place), None)

    def acquire_environment(self) -> None:
        """Note that dependencies are wanted: `Study.stage` acquires them."""
        self.is_set_up = True

    def apply_environment(self, item: Any) -> Any:  # noqa: ANN401 - whatever a step holds
        """Return an item with all tokens of the environment replaced, in the strings of lists and mappings too."""
        findings = Findings("environment")
        cwd = str(Path.cwd())
        return read_environment(Document({"env": self.section()}, None), cwd, cwd, findings).apply(item)

    def items(self) -> dict[str, Variable]:
        """Return everything that has a name, by name."""
        return {name: item for place in self._places() for name, item in place.items()}

    def section(self) -> dict[str, Any]:
        """Return the environment as a study file has it."""
        items = self.items().values()
        dependencies = {kind: [declared(item) for item in items if kind_of(item) == kind] for kind in ("paths", "git")}
        found = {
            "variables": {item.name: declared(item) for item in items if kind_of(item) == "variables"},
            "sources": [script.source for script in self.sources],
            "dependencies": {kind: listed for kind, listed in dependencies.items() if listed},
        }
        return {key: value for key, value in found.items() if value}

    def _places(self) -> tuple[dict[str, Variable], ...]:
        return self.substitutions, self.labels, self.dependencies


def kind_of(item: Any) -> str:  # noqa: ANN401 - of a class of ours or of Maestro's
    """Return where a study file has an item: under variables, paths or git."""
    return "git" if hasattr(item, "url") else "paths" if type(item).__name__ == "PathDependency" else "variables"


def declared(item: Any) -> Any:  # noqa: ANN401 - likewise
    """Return what a study file says of an item: a value, or a mapping for a dependency."""
    match kind_of(item):
        case "git":
            refs = {key: getattr(item, key, "") for key in ("hash", "tag", "branch")}
            given = {key: ref for key, ref in refs.items() if ref}
            return {"name": item.name, "path": item.path, "url": item.url, **given}
        case "paths":
            return {"name": item.name, "path": str(item.value)}
        case _:
            return item.value
