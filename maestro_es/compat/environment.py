"""Maestro's classes for the dependencies of a study. A path must exist, and a repository is cloned.

`maestro_es.study_file.dependencies` decides how a repository is cloned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from maestro_es.core import arguments
from maestro_es.creation.repositories import run_git
from maestro_es.errors import NotAcquired, SpecError
from maestro_es.study_file import env_block as resolved
from maestro_es.study_file.dependencies import clone
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.study_environment import SIGN, Dependency, Variable
from maestro_es.study_file.study_environment import StudyEnvironment as Declarations


class PathDependency(Variable, Dependency):
    """A file or directory that must exist. A relative path is relative to the current directory."""

    def __init__(self, name: str, value: str | os.PathLike[str], token: str = SIGN) -> None:
        path = arguments.path("value", value)
        super().__init__(name, path if path.startswith(SIGN) else os.path.abspath(path), token)  # noqa: PTH100 - links stay

    def acquire(self, substitutions: Iterable[Any] | None = None) -> None:
        """Check that the path exists. NotAcquired, a ValueError, if it does not."""
        path = _substituted(str(self.value), substitutions)
        if not os.path.exists(path):  # noqa: PTH110 - False for what can't be a path, where pathlib may raise
            raise NotAcquired(f"The specified path '{self.name}' does not exist: {path}")


class GitDependency(Variable, Dependency):
    """A repository with the address `value`, cloned to ``path/name``. It has at most one of hash, tag and branch."""

    def __init__(self, name: str, value: str, path: str | os.PathLike[str], token: str = SIGN, **at: str) -> None:
        refs = {key: ref for key, ref in at.items() if ref != ""}
        if len(refs) > 1 or at.keys() - {"hash", "tag", "branch"}:
            raise ValueError(f"a repository takes one of hash, tag and branch, not {', '.join(at)}")
        folder = arguments.path("path", path)
        super().__init__(name, f"{folder}/{name}", token)
        self.url = arguments.path("value", value)
        self.path = folder
        named = {key: arguments.name(key, ref) for key, ref in refs.items()}
        self.hash, self.tag, self.branch = (named.get(key, "") for key in ("hash", "tag", "branch"))
        self._is_acquired = False

    def acquire(self, substitutions: Iterable[Any] | None = None) -> None:
        """Clone the repository and check out its hash, tag or branch. NotAcquired, a RuntimeError, if that fails."""
        if self._is_acquired:
            return
        ref = f"tags/{self.tag}" if self.tag else self.hash or self.branch
        changes = list(substitutions or ())
        folder = _substituted(self.path, changes)
        path = os.path.abspath(os.path.join(folder, self.name))  # noqa: PTH100, PTH118 - links stay
        repository = resolved.GitSource(self.name, _substituted(self.url, changes), path, ref, 1)
        findings = Findings("environment")
        clone(repository, "", lambda argv: run_git(argv, os.environ), findings)
        try:
            findings.stop_if_problems()
        except SpecError as error:
            raise NotAcquired(str(error).removeprefix("environment:1: ")) from None
        self._is_acquired = True


def _substituted(text: str, substitutions: Iterable[Any] | None) -> str:
    for substitution in substitutions or ():
        text = substitution.substitute(text)
    return text


class StudyEnvironment(Declarations):
    """The variables, labels, sources and dependencies of a study. It can acquire the dependencies."""

    def acquire_environment(self) -> None:
        """Acquire the dependencies, once. NotAcquired if this fails. The message names the dependency."""
        self.acquire_with(())

    def acquire_with(self, more: Iterable[Variable]) -> None:
        """Acquire the dependencies, once. Their addresses may also contain the variables in `more`."""
        if self._is_set_up:
            return
        for dependency in self.dependencies.values():
            dependency.acquire(substitutions=[*self.labels.values(), *self.substitutions.values(), *more])
        self._is_set_up = True
