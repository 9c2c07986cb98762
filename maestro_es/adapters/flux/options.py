"""The options of a Flux job, in its script and on the command line, and the launcher.

The header of a script equals that of Maestro 1.2.1 with its interface for flux-core 0.49, line by line. It consists of
`directives`, which ``flux batch`` and ``flux submit`` also accept on their command lines. Directives are lines that
begin with ``#flux:``, in one block of comments (Flux RFC 36).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from maestro_es.adapters.base import stop_if
from maestro_es.adapters.launcher import Resources, whole_number
from maestro_es.adapters.script import Directive, embedded, exclusive, option, pairs, passed_through, refusals
from maestro_es.core.model import is_scheduled
from maestro_es.core.walltime import walltime_seconds

#: The beginning of each line of a script that contains options.
DIRECTIVE = "#flux:"

#: The long names of the groups of `allocation_args` and `launcher_args`, in the order in which Maestro writes them.
_GROUPS = {"S": "setattr", "setattr": "setattr", "o": "setopt", "setopt": "setopt", "conf": "conf"}

#: Keys that are a flag, in addition to the groups.
EXCLUSIVE = ("x", "exclusive")

#: Urgencies by priority. Maestro's schema allows "low" and "expedited", but its submission refuses them.
_URGENCIES = {"held": 0, "minimal": 1, "low": 9, "medium": 16, "high": 24, "expedited": 31}
_MOST_URGENT = 31

#: Options of flux-batch(1) that users can't set, because maestro-es decides what runs, where, how often, and under
#: which name.
_REFUSED = frozenset({"wrap", "dry-run", "job-name", "cwd", "cc", "bcc", "wait", "watch", "help", "h", "flags"})

#: The subset of these options that may appear in a script, because maestro-es overrides them, or has written them.
_HARMLESS = frozenset({"job-name", "cwd", "flags"})

#: The options that take whole numbers, and the keys of a step for them.
_COUNTS = {"nodes": 1, "procs": 1, "cores per task": 1, "gpus": 0}


def directives(batch: Mapping[str, Any], job_name: str, run: Mapping[str, Any]) -> list[Directive]:
    """Return the options of a step's job: first those of Maestro, in its order, then those that Maestro leaves out.

    As in Maestro, only known groups of `allocation_args` count. The others, including `exclusive`, are dropped.
    ValueError if no option can express a value.
    """
    groups = option_groups(batch.get("allocation_args"))
    alone = exclusive(run.get("exclusive"), "allocation")
    return [
        *option("-N", run.get("nodes")),
        *option("-n", "" if alone else run.get("procs")),
        Directive("-t", f"{walltime(run.get('walltime'))}s"),
        *option("-q", batch.get("queue")),
        *option("--bank", batch.get("bank")),
        Directive("--job-name", job_name, quoted=True),
        Directive("--output", f"{job_name}.{{{{id}}}}.out"),
        Directive("--error", f"{job_name}.{{{{id}}}}.err"),
        *([Directive("--exclusive")] if alone else []),
        *(directive for name in dict.fromkeys(_GROUPS.values()) for directive in rendered(name, groups.get(name, {}))),
        *(_added(run, alone=alone) if is_scheduled(run) else []),
    ]


def _added(run: Mapping[str, Any], *, alone: bool) -> list[Directive]:
    """Return the options that Maestro leaves out of the script. It passes some of them to Flux in another way.

    A step that has its nodes exclusively has all their cores and GPUs.
    """
    return [
        *option("-c", "" if alone else run.get("cores per task"), added=True),
        *option("-g", "" if alone else _gpus_per_slot(run), added=True),
        *option("--urgency", urgency(run.get("priority")), added=True),
        *option("--flags", "waitable" if run.get("waitable") else "", added=True),
        *passed_through([run.get("args")], _REFUSED),
    ]


def is_nested(run: Mapping[str, Any]) -> bool:
    """Return whether a step gets a separate Flux instance.

    The value may be text that replaced a placeholder. "False", for example, counts as false.
    """
    return str(run.get("nested", True)).strip().lower() not in ("false", "no", "off", "0", "")


def _gpus_per_slot(run: Mapping[str, Any]) -> str:
    """Return the GPUs of a slot as Maestro counts them. For a nested step, that is the share of one node."""
    gpus = whole_number(str(run.get("gpus") or "0"), "gpus")
    if is_nested(run):
        nodes = str(run.get("nodes") or "")
        gpus = math.ceil(gpus / (whole_number(nodes, "nodes") or 1)) if nodes else 0
    return str(gpus or "")


def walltime(asked: object) -> str:
    """Return a walltime in seconds as Maestro writes it: with ".0" if it contains a colon. 0 means no limit."""
    text = str(asked or "").strip()
    seconds = walltime_seconds(text)
    return f"{seconds}.0" if ":" in text else str(seconds)


def urgency(priority: object) -> str:
    """Return the urgency (0 to 31) of a priority, a word or a number from 0 to 1 (empty: there is no priority)."""
    if priority is None or priority == "":
        return ""
    word = str(priority).strip().lower()
    if word in _URGENCIES:
        return str(_URGENCIES[word])
    try:
        share = float(word)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"priority is {priority!r}; write {', '.join(_URGENCIES)}, or a number from 0 to 1")
    return str(math.ceil(share * _MOST_URGENT))


def option_groups(args: object) -> dict[str, Any]:
    """Return `allocation_args` or `launcher_args` by the long names of their groups. Dotted keys become mappings."""
    groups: dict[str, Any] = {}
    for key, setting in pairs(args):
        if key in EXCLUSIVE:
            continue
        name = _GROUPS.get(str(key), str(key))
        if not isinstance(setting, Mapping):
            groups[name] = setting
            continue
        tree = groups.setdefault(name, {})
        for path, value in _leaves(setting):
            _plant(tree, path.split("."), value)
    return groups


def _plant(tree: dict[str, Any], path: list[str], value: object) -> None:
    *parents, last = path
    for name in parents:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[last] = value


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, inner in node.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def rendered(name: str, group: object) -> Iterator[Directive]:
    """Yield the options of a group. A value of null makes a flag. In Maestro, 0 does, too."""
    dashes = "-" if len(name) == 1 else "--"
    for path, value in _leaves(group):
        text = str(value).lower() if isinstance(value, bool) else str("" if value is None else value)
        yield Directive(dashes + name, "=".join(filter(None, (path, text))) or None)


def launch(batch: Mapping[str, Any], asked: Resources, run: Mapping[str, Any], *, inside: bool = False) -> str:
    """Return the ``flux run`` command for these resources. `args` of the batch block is an older key for options.

    Inside an allocation, the agent provides more options.
    """
    extra = batch.get("launcher_args")
    alone = exclusive(run.get("exclusive"), "launcher", any(key in EXCLUSIVE for key, _ in pairs(extra)))
    groups = option_groups(extra)
    names = [*dict.fromkeys(_GROUPS.values()), *(name for name in groups if name not in _GROUPS.values())]
    options = [
        *option("-N", asked.nodes),
        *option("-n", asked.procs),
        *option("-c", "" if alone else run.get("cores per task")),
        *option("-g", "" if alone else run.get("gpus")),
        *([Directive("--exclusive")] if alone else []),
        *(directive for name in names for directive in rendered(name, groups.get(name, {}))),
        *rendered("setopt", batch.get("args") or {}),
    ]
    return " ".join(["flux run", *["$MAESTRO_ES_LAUNCHER"] * inside, *(directive.text for directive in options)])


def check(run: Mapping[str, Any]) -> None:
    """Refuse the resources of a step if no Flux accepts them. ValueError names all problems."""
    counts = {key: str(run[key]).strip() for key in _COUNTS if run.get(key) not in (None, "")}
    wrong = [
        f"{key} is {text!r}; Flux takes a whole number of at least {_COUNTS[key]}"
        for key, text in counts.items()
        if not (text.isascii() and text.isdigit() and int(text) >= _COUNTS[key])
    ]
    stop_if(wrong)
    if exclusive(run.get("exclusive"), "allocation"):
        stop_if([] if "nodes" in counts else ["exclusive needs the number of nodes: add 'nodes' to the step"])
    elif int(counts.get("nodes", 0)) > int(counts.get("procs", counts.get("nodes", 0))):
        nodes, procs = counts["nodes"], counts["procs"]
        stop_if([f"nodes is {nodes} and procs is {procs}; Flux needs at least one task for each node"])


def options_in(script: str) -> list[str]:
    """Return the options in a script that a user has edited. ValueError names those that can't be used there."""
    return embedded(script, DIRECTIVE, lambda options: refusals(options, _REFUSED - _HARMLESS))
