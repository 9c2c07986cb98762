"""Converts the study that a program has created to texts that can be compared line by line.

A picture maps each compared item to its lines::

    exit code       one line; if it is not 0 there is nothing else
    directory       where the study is
    instances       in launch order: name, workspace, who runs it, restart limit
    edges           "parent -> child", sorted; "_source" is the parent of those that wait for nothing
    files           every path, "/" after a directory, "*" after what the owner may execute
    status.csv      line by line, with times masked
    meta/...        as YAML with sorted keys, sets as sorted lists
    batch.info      likewise
    anything else   a file of the study, line by line

In every text, ``<HERE>`` stands for the folder in which the program ran. The intended differences in every study are
left out. ``test_corpus.py`` asserts them (`OURS_ALONE`, `MAESTROS_ALONE`).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from maestro_es.core.events import StepAdded
from maestro_es.study.session import Session
from tools.side_by_side.worker import plain

Picture = dict[str, list[str]]

#: The differences of each compared item. "-" precedes a line of Maestro, and "+" a line of maestro-es.
Differences = dict[str, tuple[str, ...]]

#: Paths in every study directory that only one of the programs creates.
OURS_ALONE = re.compile(r"events\.db(-journal)?|\.maestro-es/.*")
MAESTROS_ALONE = re.compile(r"[^/]*\.pkl|meta/environment\.yaml|meta/study/(env\.pkl)?|logs/[^/]+\.log")

#: Times in status.csv, and in the name of the study directory.
_TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d{8}-\d{6}")

_META = ("metadata.yaml", "parameters.yaml")
_READ_OTHERWISE = ("status.csv", *(f"meta/{name}" for name in _META))


def compare(maestros: Picture, ours: Picture) -> Differences:
    """Return the differences between two pictures."""
    if maestros["exit code"] != ours["exit code"]:
        return {"exit code": ("-" + maestros["exit code"][0], "+" + ours["exit code"][0])}
    differences = {}
    for what in sorted({*maestros, *ours}):
        lines = difflib.ndiff(maestros.get(what, []), ours.get(what, []))
        changed = tuple(line[0] + line[2:] for line in lines if line[0] in "-+")
        if changed:
            differences[what] = changed
    return differences


def study_in(here: Path) -> Path:
    """Return the study directory that a program has created below its folder."""
    return min((path.parent for path in here.rglob("status.csv")), key=lambda path: len(path.parts))


def maestros_picture(exit_code: int, known: Mapping[str, Any], here: Path) -> Picture:
    """Return the picture of the study that Maestro has created in a folder.

    `known` comes from Maestro's own classes.
    """
    if exit_code:
        return {"exit code": [str(exit_code)]}
    study = study_in(here)
    instances = [_instance(**{key: step[key] for key in step if key != "params"}) for step in known["instances"]]
    edges = sorted(f"{parent} -> {child}" for parent, child in known["edges"])
    picture = _common(study, MAESTROS_ALONE)
    picture["status.csv"] = (study / "status.csv").read_text().split("\n")
    for name in _META:
        picture[f"meta/{name}"] = _yaml_lines(known["meta"][name])
    return _finish({**picture, "instances": instances, "edges": edges}, study, here)


def our_picture(exit_code: int, order: Mapping[str, Sequence[str]], here: Path) -> Picture:
    """Return the picture of the study that maestro-es has created in a folder.

    `order` has the parameters of each instance in Maestro's order, which is that of a set.
    """
    if exit_code:
        return {"exit code": [str(exit_code)]}
    study = study_in(here)
    with Session(study) as opened:
        steps = {record.step: record.event for record in opened.log.events() if isinstance(record.event, StepAdded)}
    picture = _common(study, OURS_ALONE)
    picture["instances"] = [
        _instance(step.name, step.workspace, scheduled=step.scheduled, restart_limit=step.restart_limit)
        for step in steps.values()
    ]
    picture["edges"] = _edges(steps)
    picture["status.csv"] = _in_order((study / "status.csv").read_text(), order)
    for name in _META:
        picture[f"meta/{name}"] = _yaml_lines(plain(yaml.safe_load((study / "meta" / name).read_bytes())))
    return _finish(picture, study, here)


def orders(known: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the parameters of each instance in Maestro's order."""
    return {step["name"]: [key for key, _ in step["params"]] for step in known.get("instances", ())}


def _instance(name: str, workspace: str, *, scheduled: bool, restart_limit: int) -> str:
    return f"{name!r} in {workspace!r}, {'scheduled' if scheduled else 'local'}, restart limit {restart_limit}"


def _edges(steps: Mapping[int | None, StepAdded]) -> list[str]:
    edges = set()
    for step in steps.values():
        parents = [steps[number].name for number in step.parents]
        parents += [other.name for other in steps.values() if other.template in step.funnels]
        edges |= {f"{parent} -> {step.name}" for parent in parents or ["_source"]}
    return sorted(edges)


def _common(study: Path, alone: re.Pattern[str]) -> Picture:
    """Return the files that are compared unchanged: the list of paths, and the texts of most files."""
    picture: Picture = {"exit code": ["0"], "files": []}
    for path in sorted(path for path in _paths(study) if not alone.fullmatch(path)):
        file = study / path
        executable = not path.endswith("/") and file.stat().st_mode & 0o100
        picture["files"].append(path + "*" * bool(executable))
        if path == "batch.info":
            picture[path] = _yaml_lines(yaml.safe_load(file.read_bytes()))
        elif path not in _READ_OTHERWISE and not path.endswith("/"):
            picture[path] = file.read_bytes().decode(errors="surrogateescape").split("\n")
    return picture


def _paths(study: Path) -> Iterator[str]:
    """Yield the relative paths of all files in a study, except git's, with "/" after directories."""
    for folder, folders, files in os.walk(study):
        if ".git" in folders:
            folders.remove(".git")
        inside = os.path.relpath(folder, study)
        for name in (*(f"{name}/" for name in folders), *files):
            yield name if inside == "." else f"{inside}/{name}"


def _yaml_lines(data: object) -> list[str]:
    return str(yaml.safe_dump(data, allow_unicode=True, default_flow_style=False, width=1000)).splitlines()


def _in_order(text: str, order: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the table of maestro-es with the parameters of each step in Maestro's order. No cell contains a comma."""
    rows = [line.split(",") for line in text.split("\n")]
    for row in rows:
        keys = order.get(row[0], [])
        if len(keys) > 1:
            row[-1] = _reordered(row[-1], keys)
    return [",".join(row) for row in rows]


def _reordered(params: str, keys: Sequence[str]) -> str:
    """Return ``K:V;K:V`` with the keys in another order.

    A value may contain ``;`` and ``:``, so the text is searched for the keys.
    """
    places = sorted((place, key) for key in keys if (place := _place(params, key)) is not None)
    ends = [place - 1 for place, _ in places[1:]] + [len(params)]
    parts = {key: params[place:end] for (place, key), end in zip(places, ends, strict=True)}
    return ";".join(parts[key] for key in keys if key in parts)


def _place(params: str, key: str) -> int | None:
    found = re.search(rf"(?:^|;){re.escape(key)}:", params)
    return None if found is None else found.end() - len(key) - 1


def _finish(picture: Picture, study: Path, here: Path) -> Picture:
    def mask(line: str) -> str:
        return _TIMES.sub("<TIME>", line.replace(str(here), "<HERE>"))

    masked = {mask(what): [mask(line) for line in lines] for what, lines in picture.items()}
    return {**masked, "directory": [mask(str(study))]}
