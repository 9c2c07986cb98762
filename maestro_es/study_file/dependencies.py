"""External dependencies of a study: checks paths that must exist, and clones git repositories.

`env_block` decides which paths and repositories a study needs. `maestro_es.creation.repositories` runs git.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Sequence

from maestro_es.study_file.env_block import GitSource, RequiredPath
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.render import OUTPUT_PATH

#: Runs an argument list and returns its exit code, standard output and standard error.
Run = Callable[[Sequence[str]], tuple[int, str, str]]


def check_outside(paths: Iterable[RequiredPath], gits: Iterable[GitSource], findings: Findings) -> None:
    """Report the problems that are visible before the study directory exists. Paths inside it are checked later."""
    check_paths((dependency for dependency in paths if OUTPUT_PATH not in dependency.path), "", findings)
    for dependency in gits:
        if OUTPUT_PATH not in dependency.path:
            _check_destination(dependency, dependency.path, findings)


def check_paths(dependencies: Iterable[RequiredPath], output: str, findings: Findings) -> None:
    """Report the paths that don't exist. `output` is the study's directory."""
    for dependency in dependencies:
        path = dependency.path.replace(OUTPUT_PATH, output)
        if not os.path.exists(path):  # noqa: PTH110 - False for an impossible path, where pathlib may raise
            message = f"The specified path '{dependency.name}' does not exist: {path}"
            findings.problem(dependency.line, message, "Relative paths are relative to the current directory.")


def _check_destination(dependency: GitSource, path: str, findings: Findings) -> bool:
    taken = os.path.lexists(path)
    if taken:
        message = f"The git dependency '{dependency.name}' can't be cloned: '{path}' already exists"
        findings.problem(dependency.line, message, "Remove it, or give another path such as $(OUTPUT_PATH).")
    return not taken


def clone_path(dependency: GitSource, output: str) -> str:
    """Return the directory into which a repository is cloned. `output` is the study's directory."""
    return dependency.path.replace(OUTPUT_PATH, output)


def clone(dependency: GitSource, output: str, run: Run, findings: Findings) -> None:
    """Clone one repository into its directory and check out its `ref`. Report the first command that fails."""
    path = clone_path(dependency, output)
    url = dependency.url.replace(OUTPUT_PATH, output)
    if not _check_destination(dependency, path, findings):
        return
    calls = [
        (["git", "ls-remote", "--", url], f"Connectivity check failed for {url}"),
        (["git", "clone", "--", url, path], f"Cloning {url} into '{path}' failed"),
    ]
    if dependency.ref:
        calls.append(
            (["git", "-C", path, "checkout", dependency.ref, "--"], f"Unable to check out '{dependency.ref}'")
        )
    for argv, failure in calls:
        code, _, stderr = run(argv)
        if code:
            detail = " ".join(stderr.split()).rstrip(".") or f"git exited with {code}"
            message = f"The git dependency '{dependency.name}' could not be acquired. {failure}: {detail}"
            findings.problem(dependency.line, message, "Check the address, your permissions and the network.")
            return
