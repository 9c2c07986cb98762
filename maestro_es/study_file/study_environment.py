"""The environment of a study in Python: variables, labels, dependencies and sources, with Maestro's names.

`env_block` decides how placeholders are resolved.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maestro_es.core import arguments
from maestro_es.core.model import Scalar
from maestro_es.study_file.document import Document
from maestro_es.study_file.env_block import read_environment
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.render import OUTPUT_PATH, map_strings

#: The first character of a placeholder in a study file. A program may choose another one for a variable.
SIGN = "$"

_SPEC_ROOT = "SPECROOT"


class EnvObject(ABC):
    """An item of an environment."""

    @abstractmethod
    def _verify(self) -> bool:
        """Whether the object is complete."""

    def _verification(self, error: str) -> None:
        """Raise a ValueError with this message if the object is not complete."""
        if not self._verify():
            raise ValueError(error)


class Substitution(EnvObject):
    """An item that replaces its placeholder in texts."""

    @abstractmethod
    def substitute(self, data: str) -> str:
        """Return a string with the value in place of the placeholder."""


class Source(EnvObject):
    """An item that precedes the commands of a step."""

    @abstractmethod
    def apply(self, data: Iterable[str]) -> list[str]:
        """Return the lines with this one before them."""


class Dependency(Substitution):
    """An external dependency of a study."""

    @abstractmethod
    def acquire(self, substitutions: Iterable[Any] | None = None) -> None:
        """Acquire the dependency, after these substitutions in its address."""


class Variable(Substitution):
    """A variable or a label. ``$(name)`` stands for `value`."""

    def __init__(self, name: str, value: Scalar | os.PathLike[str], token: str = SIGN) -> None:
        if not name or value is None:
            raise ValueError(f"a variable needs a name and a value, not {name!r} and {value!r}")
        self.name = arguments.name("name", name)
        self.value: Scalar = (
            arguments.path("value", value) if hasattr(value, "__fspath__") else arguments.scalar("value", value)
        )
        self.token = arguments.name("token", token)

    def get_var(self) -> str:
        """Return the placeholder."""
        return f"{self.token}({self.name})"

    def substitute(self, data: str) -> str:
        """Return a string with the value in place of each placeholder."""
        return data.replace(self.get_var(), str(self.value))

    def _verify(self) -> bool:
        return bool(self.name) and self.value is not None

    def __str__(self) -> str:
        """Return the placeholder."""
        return self.get_var()


class Script(Source):
    """A shell line that precedes the commands of every step."""

    def __init__(self, source: str) -> None:
        self.source = arguments.name("source", source)

    def apply(self, data: Iterable[str]) -> list[str]:
        """Return a list of commands with this line before them."""
        return [self.source, *data]

    def _verify(self) -> bool:
        return bool(self.source)


class StudyEnvironment:
    """The variables, labels, sources and dependencies of a study.

    As in Maestro, a variable with a placeholder in its value is a label.
    """

    def __init__(self) -> None:
        self.substitutions: dict[str, Any] = {}
        self.labels: dict[str, Any] = {}
        self.dependencies: dict[str, Any] = {}
        self.sources: list[Any] = []
        self._placeholders: set[str] = set()
        self._is_set_up = False

    def __bool__(self) -> bool:
        return any((self.substitutions, self.labels, self.dependencies, self.sources))

    @property
    def is_set_up(self) -> bool:
        """Whether the dependencies were acquired."""
        return self._is_set_up

    def add(self, item: EnvObject) -> None:
        """Add an item. Its class may come from maestro-es or Maestro. ValueError if an item with this name exists."""
        entry: Any = item
        if hasattr(entry, "source") and not hasattr(entry, "name"):
            self.sources.append(entry)
            return
        if not all(hasattr(entry, name) for name in ("name", "token", "substitute")):
            raise TypeError(f"an environment holds variables, dependencies and scripts, not {type(item).__name__}")
        if self.find(entry.name) is not None:
            raise ValueError(f"there are two items {entry.name!r} in the environment; give one of them another name")
        self._place_of(entry)[entry.name] = entry
        self._is_set_up = False

    def _place_of(self, item: Any) -> dict[str, Any]:  # noqa: ANN401 - of a class of ours or of Maestro's
        if kind_of(item) != "variables" or hasattr(item, "acquire"):
            return self.dependencies
        if isinstance(item.value, str) and any(placeholder in item.value for placeholder in self._placeholders):
            return self.labels
        self._placeholders.add(item.token)
        return self.substitutions

    def find(self, key: str) -> Any:  # noqa: ANN401 - likewise
        """Return the item with this name, or None."""
        return next((group[key] for group in self._places() if key in group), None)

    def remove(self, key: str) -> Any:  # noqa: ANN401 - likewise
        """Remove the item with this name and return it (None: there is none)."""
        return next((group.pop(key) for group in self._places() if key in group), None)

    def acquire_environment(self) -> None:
        """Note that the dependencies must be acquired."""
        self._is_set_up = True

    def apply_environment(self, item: Any) -> Any:  # noqa: ANN401 - whatever a step holds
        """Return an item with all placeholders replaced, including those in lists and mappings."""
        if not item:
            return item
        root = self.find(_SPEC_ROOT)
        spec_root = str(root.value) if root else f"{SIGN}({_SPEC_ROOT})"
        document = Document({"env": self.section()})
        resolved = read_environment(document, spec_root, str(Path.cwd()), Findings("environment"))
        others = [item for item in self.items().values() if item.token != SIGN]

        def change(text: str) -> str:
            for other in others:
                text = resolved.apply(other.substitute(text))
            return text if resolved.output is None else text.replace(OUTPUT_PATH, resolved.output)

        return map_strings(resolved.apply(item), change)

    def items(self) -> dict[str, Any]:
        """Return all items that have a name, by name."""
        return {name: item for group in self._places() for name, item in group.items()}

    def section(self) -> dict[str, Any]:
        """Return the block ``env`` of a study file. It includes only items whose placeholders begin with ``$``."""
        items = [item for item in self.items().values() if item.token == SIGN]
        dependencies = {kind: [declared(item) for item in items if kind_of(item) == kind] for kind in ("paths", "git")}
        entries = {
            "variables": {item.name: declared(item) for item in items if kind_of(item) == "variables"},
            "sources": [script.source for script in self.sources],
            "dependencies": {kind: listed for kind, listed in dependencies.items() if listed},
        }
        return {key: value for key, value in entries.items() if value}

    def _places(self) -> tuple[dict[str, Any], ...]:
        return self.dependencies, self.substitutions, self.labels


def kind_of(item: Any) -> str:  # noqa: ANN401 - of a class of ours or of Maestro's
    """Return the key of a study file under which an item is declared: variables, paths or git."""
    return "git" if hasattr(item, "url") else "paths" if type(item).__name__ == "PathDependency" else "variables"


def declared(item: Any) -> Any:  # noqa: ANN401 - likewise
    """Return the declaration of an item in a study file. It is a value or, for a dependency, a mapping."""
    match kind_of(item):
        case "git":
            refs = {key: getattr(item, key, "") for key in ("hash", "tag", "branch")}
            ref_given = {key: ref for key, ref in refs.items() if ref}
            return {"name": item.name, "path": item.path, "url": item.url, **ref_given}
        case "paths":
            return {"name": item.name, "path": str(item.value)}
        case _:  # a program's own class may have no value, but replaces its placeholder
            return item.value if hasattr(item, "value") else item.substitute(f"{item.token}({item.name})")
