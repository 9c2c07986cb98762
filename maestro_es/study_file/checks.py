"""Makes the checks of a study file that a schema can't express, such as matching names and the needs of schedulers.

These checks also run on data that does not match the schema, so that a user sees both kinds of problems at once.
`section` and `items` return the well-formed parts, and leave out the others, which `validation` has reported.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from maestro_es.core.scheduler_facts import Remark, SchedulerFacts, Schedulers
from maestro_es.errors import UnknownAdapter
from maestro_es.study_file.document import Document
from maestro_es.study_file.findings import Findings, did_you_mean, shown
from maestro_es.study_file.scalars import warn_of_scalars
from maestro_es.study_file.validation import study_schema

#: Keys whose values must fit on one line of a script's header. In a local study, only `shell` is read.
_ON_ONE_LINE = ("shell", "host", "bank", "queue", "reservation", "qos", "nodes", "procs", "gpus")

_TOP_LEVEL = ("description", "env", "batch", "study", "global.parameters")
#: Keys that users often write at the top level, by the blocks to which they belong.
_HOMES = {
    "env": ("variables", "labels", "sources", "dependencies"),
    "batch": ("type", "shell", "host", "bank", "queue", "reservation", "qos"),
}
_DEPENDENCY_KINDS = ("paths", "git")
_GIT_KEYS = ("name", "path", "url", "tag", "hash", "branch")


def section(data: Any, *path: str) -> dict[str, Any]:  # noqa: ANN401 - not known to be a study yet
    """Return the mapping at `path`, or an empty one."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def items(data: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the index and the value of each mapping in the list under `key`."""
    value = data.get(key)
    if isinstance(value, list):
        yield from ((index, item) for index, item in enumerate(value) if isinstance(item, dict))


def check_meaning(document: Document, schedulers: Schedulers, findings: Findings) -> None:
    """Report what is wrong, ignored or suspicious in a file, even if the file does not match the schema."""
    warn_of_scalars(document, findings)
    _check_ignored_keys(document, findings)
    _check_sources(document, findings)
    _check_batch(document, schedulers, findings)
    _check_names(document, findings)
    _check_git(document, findings)
    _check_parameters(document, findings)


def _check_ignored_keys(document: Document, findings: Findings) -> None:
    """Warn of keys that Maestro silently ignores."""
    dependencies = section(document.data, "env", "dependencies")
    places: list[tuple[tuple[str | int, ...], dict[str, Any], tuple[str, ...]]] = [
        ((), section(document.data), _TOP_LEVEL),
        (("env", "dependencies"), dependencies, _DEPENDENCY_KINDS),
    ]
    for index, item in items(dependencies, "git"):
        places.append((("env", "dependencies", "git", index), item, _GIT_KEYS))
    for path, mapping, known in places:
        for key in mapping.keys() - set(known):
            home = next((home for home, keys in _HOMES.items() if key in keys and not path), "")
            advice = f"Put it under {home}." if home else did_you_mean(key, known)
            remedy = f"{advice} Known keys here: {', '.join(known)}."
            findings.warn(document.line(*path, key), f"The key '{key}' is ignored", remedy)


def _check_sources(document: Document, findings: Findings) -> None:
    """Warn of sources. Maestro reads them and never uses them, but maestro-es puts them into scripts."""
    sources = section(document.data, "env").get("sources")
    for index, entry in enumerate(sources if isinstance(sources, list) else []):
        if isinstance(entry, str) and entry:
            message = f"Under sources, {shown(entry)} is a shell line in front of the commands of every step"
            remedy = "Maestro ignores sources: remove it, unless the steps need it."
            findings.warn(document.line("env", "sources", index), message, remedy)


def _check_batch(document: Document, schedulers: Schedulers, findings: Findings) -> None:
    batch = section(document.data, "batch")
    facts = _facts(document, batch.get("type", "local"), schedulers, findings)
    if facts is None:
        return
    for key in facts.needed_keys:
        if batch.get(key) in (None, ""):
            remedy = f"A batch of type {facts.name} needs {', '.join(facts.needed_keys)}."
            findings.problem(document.line("batch"), f"Key '{key}' is missing from batch", remedy)
    _check_batch_keys(document, facts, schedulers, findings)
    _check_values(document, batch, findings)
    _check_lines(document, _ON_ONE_LINE if facts.name != "local" else ("shell",), batch, findings)
    _check_options(document, facts, batch, findings)
    runs = [(index, section(step, "run")) for index, step in items(section(document.data), "study")]
    for remark in facts.review(batch, runs):
        _note(document, remark, findings)


def _facts(document: Document, kind: object, schedulers: Schedulers, findings: Findings) -> SchedulerFacts | None:
    """Return the facts of a batch type, or report that there is no such type or that its adapter is broken."""
    line = document.line("batch", "type")
    try:
        facts = schedulers.find(kind) if isinstance(kind, str) else None
    except UnknownAdapter as error:
        findings.problem(line, f"In batch, the type {shown(kind)} can't be used: {error}")
        return None
    if facts is None:
        names = schedulers.names()
        remedy = f"{did_you_mean(str(kind), names)} Known types: {', '.join(names)}."
        findings.problem(line, f"In batch, the type {shown(kind)} is unknown", remedy)
    return facts


def _note(document: Document, remark: Remark, findings: Findings) -> None:
    """Report an adapter's remark about a value."""
    block, *keys = remark.path
    value: Any = document.data
    for key in remark.path:
        value = value[key]
    where = f"In {block}, {'.'.join(map(str, keys))}"
    if block == "study":
        where = f"In study step {shown(document.data['study'][keys[0]].get('name'))}, {keys[-1]}"
    message = f"{where} {remark.predicate or f'is {shown(value)}'}"
    if remark.fatal:
        findings.problem(document.line(*remark.path), message, remark.remedy, faults=[remark.path])
    else:
        findings.warn(document.line(*remark.path), message, remark.remedy)


def _check_batch_keys(document: Document, facts: SchedulerFacts, schedulers: Schedulers, findings: Findings) -> None:
    """Warn of keys that are not read, and name the right place for keys that belong to a step.

    A block of type local may have the keys of any scheduler, because users try a study locally by changing only the
    type.
    """
    unread = section(document.data, "batch").keys() - set(facts.keys)
    if not unread:
        return
    every = tuple(dict.fromkeys(key for other in schedulers.built_in() for key in other.keys))
    known = facts.keys if facts.name != "local" else every
    steps_keys = study_schema()["definitions"]["step"]["properties"]["run"]["properties"]
    for key in unread - set(known):
        advice = (
            "Put it under run of each step." if key in steps_keys and key not in every else did_you_mean(key, known)
        )
        remedy = f"{advice} Known keys of type {facts.name}: {', '.join(known)}."
        findings.warn(document.line("batch", key), f"In batch, the key {shown(key)} is ignored", remedy)


def _check_values(document: Document, batch: dict[str, Any], findings: Findings) -> None:
    """Report values that have no clear text, such as YAML's dates."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [(("batch",), batch)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, (dict, list)):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [((*path, key), inner) for key, inner in pairs]
        elif isinstance(value, (dt.date, bytes, set, tuple)):
            message = f"In batch, {path[-1]} is read as {shown(value)}"
            findings.problem(document.line(*path), message, "Quote it.", faults=[path])


def _check_lines(document: Document, keys: Sequence[str], batch: dict[str, Any], findings: Findings) -> None:
    """Report values that would break the header of a script. Numbers are allowed, for example as names of banks."""
    for key in keys:
        value, remedy = batch.get(key), ""
        if isinstance(value, (list, dict)):
            remedy = "Write one text."
        elif isinstance(value, str) and value and value.splitlines() != [value]:
            remedy = "Write it on one line."
        if remedy:
            message = f"In batch, {key} is {shown(value)}"
            findings.problem(document.line("batch", key), message, remedy, faults=[("batch", key)])


def _check_options(document: Document, facts: SchedulerFacts, batch: dict[str, Any], findings: Findings) -> None:
    """Report options that can't be passed to the scheduler."""
    args = batch.get("args")
    if args and facts.name != "local" and not isinstance(args, dict):
        remedy = "Write a mapping of options to values, with null for an option that takes none."
        message = f"In batch, args is {shown(args)}"
        findings.problem(document.line("batch", "args"), message, remedy, faults=[("batch", "args")])
    for key, value in section(batch, "args").items() if facts.passes_options else ():
        if isinstance(value, (bool, list, dict)):
            remedy = "Write a string or a number, or null for an option that takes no value."
            path, message = ("batch", "args", key), f"In batch, args.{key} is {shown(value)}"
            findings.problem(document.line(*path), message, remedy, faults=[path])


def _check_names(document: Document, findings: Findings) -> None:
    """Report names that are declared twice, and names that maestro-es defines itself."""
    seen: dict[str, int] = {}
    for path, name in environment_names(document.data):
        line = document.line(*path)
        if not name:
            findings.problem(line, "All variables must have a valid name. Empty strings are not allowed", "Name it.")
        elif name == "SPECROOT":
            message = "A duplicate name 'SPECROOT' has been detected: it always is the directory of the study file"
            findings.problem(line, message, "Choose another name.")
        elif name in seen:
            message = f"A duplicate name '{name}' has been detected, first in line {seen[name]}"
            findings.problem(line, message, "All names in env must be unique: rename one of them.")
        seen.setdefault(name, line)
    for path in (path for path, name in environment_names(document.data) if name == "OUTPUT_PATH"):
        if path[1] == "dependencies":
            findings.problem(document.line(*path), "OUTPUT_PATH can't be a dependency", "Make it a variable.")


def environment_names(data: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:  # noqa: ANN401 - as in section
    """Yield the path and the name of each item that env declares, even if its value is wrong."""
    for kind in ("variables", "labels"):
        yield from ((("env", kind, name), name) for name in section(data, "env", kind))
    for kind in _DEPENDENCY_KINDS:
        for index, item in items(section(data, "env", "dependencies"), kind):
            if isinstance(item.get("name"), str):
                yield ("env", "dependencies", kind, index, "name"), item["name"]


def _check_git(document: Document, findings: Findings) -> None:
    for index, item in items(section(document.data, "env", "dependencies"), "git"):
        refs = [key for key in ("hash", "tag", "branch") if item.get(key)]
        line = document.line("env", "dependencies", "git", index)
        if len(refs) > 1:
            message = f"The git dependency {shown(item.get('name'))} gives {' and '.join(refs)}"
            findings.problem(line, message, "Give one of them.")
        for key in (*refs, "url"):
            if str(item.get(key)).startswith("-"):
                message = f"In the git dependency {shown(item.get('name'))}, {key} begins with '-'"
                findings.problem(line, message, "Git would take it for an option.")


def _check_parameters(document: Document, findings: Findings) -> None:
    """Report lists of values that are empty or of unequal lengths."""
    first: tuple[str, int] | None = None
    taken = {"SPECROOT", "OUTPUT_PATH", *(name for _, name in environment_names(document.data))}
    for name in section(document.data, "global.parameters"):
        if name in taken:
            message = f"The parameter '{name}' never takes effect: $({name}) is already set in env"
            findings.warn(document.line("global.parameters", name), message, "Rename one of the two.")
        values = section(document.data, "global.parameters", name).get("values")
        if not isinstance(values, list):
            continue
        line = document.line("global.parameters", name, "values")
        if not values:
            findings.problem(line, f"Global parameter '{name}' has no values", "Give it at least one.")
        elif first is None:
            first = (name, len(values))
        elif len(values) != first[1]:
            message = f"Global parameter '{name}' is not the same length as other parameters"
            remedy = (
                f"The number of values is {len(values)} here, and {first[1]} for '{first[0]}'. Combination i "
                "consists of the i-th value of each parameter."
            )
            findings.problem(line, message, remedy)
