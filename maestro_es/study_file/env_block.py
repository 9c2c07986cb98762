"""Reads the ``env`` of a study, and substitutes its variables, labels, dependencies and sources into steps.

Maestro substitutes in one pass: labels, then dependencies, then variables. So it does not resolve a name that is two
levels deep. This module first resolves each value completely, in any order of declaration. Two kinds of placeholders
stay as they are on purpose. ``$(OUTPUT_PATH)`` stays because a study can be moved. `render` replaces it with the
present directory. Placeholders that are not names of the environment stay because users write shell commands such as
``$(date)``.
"""

from __future__ import annotations

import functools
import os.path
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maestro_es.core.model import Scalar
from maestro_es.study_file.checks import items, section
from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.render import OUTPUT_PATH, map_strings

#: The maximum number of passes. Values may form new placeholders, which are replaced in the next pass.
_PASSES = 20

#: The maximum number of characters that names may add to a value. If each name contains another one ten times, the
#: value grows tenfold with each name.
_LONGEST = 1_000_000


@dataclass(frozen=True)
class RequiredPath:
    """A file or directory that must exist before the study starts."""

    name: str
    path: str
    line: int


@dataclass(frozen=True)
class GitSource:
    """A repository that is cloned to `path` before the study starts. If `ref` is set, it is checked out."""

    name: str
    url: str
    path: str
    ref: str
    line: int


@dataclass(frozen=True)
class EnvBlock:
    """The names of ``env`` with their resolved `values`. OUTPUT_PATH is not one of them. Its value is `output`."""

    values: Mapping[str, Scalar]
    sources: tuple[str, ...] = ()
    paths: tuple[RequiredPath, ...] = ()
    gits: tuple[GitSource, ...] = ()
    output: str | None = None

    def apply(self, item: Any) -> Any:  # noqa: ANN401 - whatever a step holds
        """Return `item` with all placeholders of the environment replaced, in every string of lists and mappings."""
        return map_strings(item, self._substitute)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _pattern_of(self.values)

    def _substitute(self, text: str) -> str:
        return _replace_placeholders(text, self._pattern, self.values) if "$(" in text else text


def read_environment(document: Document, spec_root: str, cwd: str, findings: Findings) -> EnvBlock:
    """Resolve the environment of a study. Relative paths of dependencies are relative to `cwd`, as in Maestro.

    A path that begins with ``$(OUTPUT_PATH)`` is inside the study. Names without a value are reported and left out.
    """
    raw, finish = _collect(document, spec_root, cwd)
    values, circles, endless = _resolve(raw, finish)
    for circle in circles:
        line = document.line("env", "variables", circle[0])
        message = f"The names {' -> '.join(circle)} in env are defined by each other"
        findings.problem(line, message, "Give one of them a value without the others' placeholders.")
    for name in endless:
        message = f"The names in the value of '{name}' add up to more than {_LONGEST} characters"
        findings.problem(document.line("env", "variables", name), message, "Use a file for so much text.")
    for name in (*endless, *(name for circle in circles for name in circle)):
        values.pop(name, None)
    dependencies = section(document.data, "env", "dependencies")
    output = values.pop("OUTPUT_PATH", None)
    _check_output(str(output or ""), document.line("env", "variables", "OUTPUT_PATH"), findings)
    resolved = EnvBlock(values)
    sources = section(document.data, "env").get("sources")
    return EnvBlock(
        values,
        tuple(resolved.apply(line) for line in sources if isinstance(line, str)) if isinstance(sources, list) else (),
        tuple(_paths(dependencies, values, document)),
        tuple(_gits(dependencies, resolved, document)),
        None if output is None else str(output),
    )


def _check_output(output: str, line: int, findings: Findings) -> None:
    if OUTPUT_PATH in output:
        findings.problem(line, "OUTPUT_PATH is defined by itself", "Give it the path of a directory.")
    elif "$" in output or output.startswith("~"):
        message = f"OUTPUT_PATH '{output}' is used unchanged, because no shell expands it"
        findings.warn(line, message, "Write the path out.")


def _collect(
    document: Document, spec_root: str, cwd: str
) -> tuple[dict[str, Scalar], dict[str, Callable[[str], str]]]:
    """Return the unresolved values of all names, and the functions that complete the values of dependencies."""
    raw: dict[str, Scalar] = {}
    finish: dict[str, Callable[[str], str]] = {}
    for kind in ("variables", "labels"):
        values = section(document.data, "env", kind)
        raw |= {name: value for name, value in values.items() if isinstance(value, (str, int, float))}
    dependencies = section(document.data, "env", "dependencies")
    for kind in ("paths", "git"):
        for _, item in items(dependencies, kind):
            if _has_texts(item, "name", "path") and item["name"] != "OUTPUT_PATH":
                name, path = item["name"], item["path"]
                raw[name] = os.path.join(path, name) if kind == "git" else path  # noqa: PTH118 - a placeholder
                finish[name] = lambda text: _absolute(text, cwd)
    return raw | {"SPECROOT": spec_root}, finish


def _has_texts(item: dict[str, Any], *keys: str) -> bool:
    return all(isinstance(item.get(key), str) for key in keys)


def _absolute(path: str, cwd: str) -> str:
    if path.startswith(OUTPUT_PATH):
        return path
    return os.path.normpath(os.path.join(cwd, path))  # noqa: PTH118 - pathlib keeps '..', Maestro does not


def _resolve(
    raw: Mapping[str, Scalar], finish: Mapping[str, Callable[[str], str]]
) -> tuple[dict[str, Scalar], list[list[str]], list[str]]:
    """Return all values with placeholders replaced, circular definitions, and names whose values grow too long."""
    done: dict[str, Scalar] = {name: value for name, value in raw.items() if not isinstance(value, str)}
    circles: list[list[str]] = []
    endless: list[str] = []
    # The study's directory is unknown until a step is rendered, so its placeholder stays in the values.
    pattern = _pattern_of(set(raw) - {"OUTPUT_PATH"})
    for start in raw:
        trail = [start] if start not in done else []
        while trail:
            name = trail[-1]
            text = _replace_placeholders(str(raw[name]), pattern, done)
            if len(text) - len(str(raw[name])) > _LONGEST:
                endless.append(name)
                text = ""
            pending = next((match[1] for match in pattern.finditer(text) if match[1] not in done), None)
            if pending is None:
                done[name] = finish[name](text) if name in finish else text
                trail.pop()
            elif pending in trail:
                circles.append([*trail[trail.index(pending) :], pending])
                done[pending] = ""
            else:
                trail.append(pending)
    return {name: done[name] for name in raw}, circles, endless


def _pattern_of(names: Any) -> re.Pattern[str]:  # noqa: ANN401 - any collection of names
    """Return the pattern of a placeholder of one of `names`. Without names, the pattern matches nothing."""
    return re.compile(r"\$\((" + "|".join(map(re.escape, names)) + r")\)") if names else re.compile(r"(?!)()")


def _replace_placeholders(text: str, pattern: re.Pattern[str], values: Mapping[str, Scalar]) -> str:
    """Replace placeholders until none is left. ``$(PATH_$(NAME))`` takes two passes. Names without a value stay."""
    for _ in range(_PASSES):
        replaced = pattern.sub(lambda match: str(values[match[1]]) if match[1] in values else match[0], text)
        if replaced == text:
            break
        text = replaced
    return text


def _paths(dependencies: dict[str, Any], values: Mapping[str, Scalar], document: Document) -> Iterator[RequiredPath]:
    for index, item in items(dependencies, "paths"):
        if _has_texts(item, "name", "path") and item["name"] in values:
            line = document.line("env", "dependencies", "paths", index)
            yield RequiredPath(item["name"], str(values[item["name"]]), line)


def _gits(dependencies: dict[str, Any], resolved: EnvBlock, document: Document) -> Iterator[GitSource]:
    """Yield the repositories. A tag is checked out as ``tags/NAME``, so git does not take a branch of that name."""
    for index, item in items(dependencies, "git"):
        if _has_texts(item, "name", "path", "url") and item["name"] in resolved.values:
            tag = f"tags/{resolved.apply(item['tag'])}" if isinstance(item.get("tag"), str) else ""
            ref = tag or resolved.apply(item.get("hash") or item.get("branch") or "")
            line = document.line("env", "dependencies", "git", index)
            url, path = resolved.apply(item["url"]), str(resolved.values[item["name"]])
            yield GitSource(item["name"], url, path, str(ref), line)
