"""Generates random studies that Maestro can run: graphs, parameters, labels, placeholders and environments.

The studies leave out features with known differences, which the corpus covers. These are deeper nesting of variables
(for Maestro, every value with a "$" is nested), placeholders of a workspace without spaces around them, and values
with a comma, a line break or the placeholder of another parameter. They also leave out brackets after a launcher if
the resources are placeholders, and slashes in names for a scheduler. The studies do have collisions of names and
directories, workspaces of later steps, and slashes in names and labels of local studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import strategies as st

from tools.side_by_side.programs import Study

Draw = st.DrawFn

_STEP_NAMES = ("a", "b", "run", "run_", "post-process", "x.y", "in/out", "f(x)", "two words", "N.1", "a_N.1", "Änna")
_KEYS = ("N", "N2", "SIZE", "A.B", "P-Q", "lower", "Ö")
_VARIABLES = ("ROOT", "V1", "V2", "deep.er", "größe", "N3")
_WORDS = (
    "echo",
    "ls -l",
    "$HOME",
    "$(date)",
    "${X}",
    "$(UNKNOWN)",
    "'quoted'",
    '"q"',
    "%%",
    "{}",
    "ünï",
    "$(LAUNCHER)",
)
_TEXTS = ("x", "y", "z", "w", "a b", "a:b", "x=1", "007", "yes", "a.b", "-1", "%%", "ß", "a/b")
_LABELS = ("{}.%%", "{}.%%", "{}.%%", "%%", "{}%%_%%", "l %%", "%%{}", "(%%)", "same", "is/%%")


@dataclass
class _Names:
    """The names that the steps of a study may use."""

    variables: list[str]
    labels: list[str]
    keys: list[str]


@st.composite
def studies(draw: Draw) -> Study:
    """Draw a study file and the options of its run."""
    batch = draw(_batches())
    scheduled = batch.get("type", "local") != "local"
    parameters = _parameters(draw, scheduled=scheduled)
    environment, names = _environment(draw, list(parameters))
    data: dict[str, Any] = {
        "description": {"name": draw(st.sampled_from(["study", "a study", "st:udy", "Ü"])), "description": "random"},
        "env": environment,
        "study": _steps(draw, names, scheduled=scheduled),
        "batch": batch,
        "global.parameters": parameters,
    }
    data = {key: value for key, value in data.items() if value}
    options = draw(st.sampled_from([(), (), ("--hashws",), ("-r", "0"), ("--rlimit", "7", "--hashws"), ("--usetmp",)]))
    text = str(yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=1000))
    return Study("study.yaml", text, ("-o", "study", *options))


def _parameters(draw: Draw, *, scheduled: bool) -> dict[str, Any]:
    keys = draw(st.lists(st.sampled_from(_KEYS), max_size=3, unique=True))
    length = draw(st.integers(1, 4))
    texts, labels = _without_slashes(_TEXTS, scheduled), _without_slashes(_LABELS, scheduled)
    values = st.one_of(
        st.integers(-3, 12), st.sampled_from([0.1, 1.5, 1e-9, 2e20, True, False, None]), st.sampled_from(texts)
    )
    return {
        key: {
            "values": draw(st.lists(values, min_size=length, max_size=length)),
            "label": draw(st.sampled_from(labels)).format(key),
        }
        for key in keys
    }


def _without_slashes(texts: tuple[str, ...], scheduled: bool) -> list[str]:
    return [text for text in texts if not (scheduled and "/" in text)]


def _environment(draw: Draw, keys: list[str]) -> tuple[dict[str, Any], _Names]:
    """Draw variables of one level of nesting, and labels that may hold the tokens of parameters."""
    names = draw(st.lists(st.sampled_from(_VARIABLES), max_size=4, unique=True))
    plain = names[: draw(st.integers(0, len(names)))]
    variables: dict[str, Any] = {name: draw(st.sampled_from(["/data", "two words", 7, -0.5, "ä"])) for name in plain}
    beneath = [f"$({name})" for name in plain] + ["$(OUTPUT_PATH)", "$(SPECROOT)", "text"]
    for name in names[len(plain) :]:
        variables[name] = draw(st.lists(st.sampled_from(beneath), min_size=1, max_size=2).map("/".join))
    tokens = [f"$({key}{part})" for key in keys for part in ("", ".label", ".name")]
    labels = {
        name: draw(st.lists(st.sampled_from([*tokens, *beneath]), min_size=1, max_size=3).map("_".join))
        for name in draw(st.lists(st.sampled_from(["L1", "L2"]), unique=True))
    }
    environment = {"variables": variables, "labels": labels}
    return {key: value for key, value in environment.items() if value}, _Names(names, list(labels), keys)


def _steps(draw: Draw, names: _Names, *, scheduled: bool) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    known = _without_slashes(_STEP_NAMES, scheduled)
    chosen = draw(st.lists(st.sampled_from(known), min_size=1, max_size=5, unique=True))
    for index, name in enumerate(chosen):
        earlier = chosen[:index]
        depends = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        # Without a dependency, a step may come later in the order, and then its workspace is refused.
        above = earlier if draw(st.integers(0, 9)) == 0 else depends
        run: dict[str, Any] = {"cmd": _command(draw, names, above)}
        if draw(st.integers(0, 4)) == 0:
            run["restart"] = _command(draw, names, above)
        # A name that ends in "_" can't be a funnel: "run__*" is one of "run_", and "run_*" of "run".
        ways = [draw(st.sampled_from(["{}", "{}", "{}_*", "{}*"])) for _ in depends]
        marked = [way.format(parent) for way, parent in zip(ways, depends, strict=True)]
        empty: bool = draw(st.booleans())
        if marked or empty:
            run["depends"] = [way if parent != "run_" else parent for way, parent in zip(marked, depends, strict=True)]
        run |= draw(_resources(names.keys)) if scheduled else draw(_ignored())
        description = draw(st.sampled_from(["d", "of two words", *(f"with $({key})" for key in names.keys)]))
        steps.append({"name": name, "description": description, "run": run})
    return steps


def _command(draw: Draw, names: _Names, earlier: list[str]) -> str:
    pieces = [
        *_WORDS,
        *(f"$({name})" for name in (*names.variables, *names.labels, *names.variables)),
        *(f"$({key}{part})" for key in names.keys for part in ("", "", ".label", ".name", ".other")),
        *(f"$({name}.workspace)" for name in earlier if " " not in name),
        "$(WORKSPACE)",
        "$(OUTPUT_PATH)",
        "$(SPECROOT)",
        "\n",
    ]
    words = draw(st.lists(st.sampled_from(pieces), min_size=1, max_size=6))
    return "run " + " ".join(words)


@st.composite
def _batches(draw: Draw) -> dict[str, Any]:
    kind = draw(st.sampled_from(["", "local", "slurm", "lsf"]))
    batch: dict[str, Any] = {"type": kind} if kind else {}
    if kind in {"slurm", "lsf"}:
        batch |= {"host": "h", "bank": "b", "queue": "q"}
    if kind and draw(st.booleans()):
        batch["shell"] = draw(st.sampled_from(["/bin/sh", "/usr/bin/env bash"]))
    if kind == "slurm" and draw(st.booleans()):
        batch |= {"reservation": "r", "qos": "standby", "gpus": 2}
    return batch


@st.composite
def _resources(draw: Draw, keys: list[str]) -> dict[str, Any]:
    """Draw the resources of a scheduled step, or none for a local step."""
    if draw(st.integers(0, 2)) == 0:
        return {}
    run: dict[str, Any] = {"nodes": draw(st.integers(1, 4)), "procs": draw(st.integers(1, 9))}
    run["walltime"] = draw(st.sampled_from(["00:10:00", "1:2:3", "30"]))
    if draw(st.booleans()):
        run["reservation"] = draw(st.sampled_from(["r2", "r-3"]))
    if draw(st.booleans()):
        run |= {"gpus": draw(st.integers(0, 2)), "exclusive": draw(st.booleans())}
    if draw(st.booleans()):
        run["rs per node"] = draw(st.integers(1, 9))
    bound: bool = draw(st.booleans())
    if keys and bound:
        run["bind"] = f"$({draw(st.sampled_from(keys))})"
    return run


@st.composite
def _ignored(draw: Draw) -> dict[str, Any]:
    """Draw keys that a local step may have and that no program reads."""
    return draw(st.sampled_from([{}, {}, {"nodes": 2, "procs": 4}, {"walltime": "01:00:00"}, {"pre": "$(N)"}]))
