"""Flux: writes the scripts of steps, in the form of Maestro's interface for flux-core 0.49. It can't submit jobs.

The header equals that of Maestro 1.2.1, line by line. It consists of `directives`, which ``flux batch`` also accepts
on its command line. A step with ``nested: false`` gets no Flux instance of its own; it belongs to ``flux submit``,
which has the same short options. Directives are lines that begin with ``#flux:``, in one block of comments (Flux RFC
36).

Maestro queries the broker for its version, for a comment, and for its queues, to omit the queue if the broker has
none. Here, writing a script does not contact a broker.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maestro_es.adapters import schedulers
from maestro_es.adapters.launcher import Resources, fill_in, whole_number
from maestro_es.adapters.process import Host
from maestro_es.adapters.script import (
    Directive,
    ScriptsOnly,
    exclusive,
    header,
    option,
    pairs,
    passed_through,
    shebang,
)
from maestro_es.core.model import is_scheduled
from maestro_es.core.scheduler_facts import COMMON_KEYS, Remark, SchedulerFacts
from maestro_es.core.walltime import walltime_seconds

#: The only supported interface. Maestro's older interfaces write ``flux mini``, which flux-core has removed.
_INTERFACE = "0.49.0"

#: The long names of the groups of `allocation_args` and `launcher_args`, in the order in which Maestro writes them.
_GROUPS = {"S": "setattr", "setattr": "setattr", "o": "setopt", "setopt": "setopt", "conf": "conf"}

#: Keys beside the groups that are a flag.
_EXCLUSIVE = ("x", "exclusive")

#: Urgencies by priority. Maestro's schema allows "low" and "expedited", but its submission refuses them.
_URGENCIES = {"held": 0, "minimal": 1, "low": 9, "medium": 16, "high": 24, "expedited": 31}
_MOST_URGENT = 31

#: Options of flux-batch(1) that users can't set, because maestro-es decides what runs, where, how often, and under
#: which name.
_REFUSED = frozenset({"wrap", "dry-run", "job-name", "cwd", "cc", "bcc", "wait", "watch", "help", "h", "flags"})


#: The groups of `allocation_args` that Maestro knows.
_ALLOCATION_ARGS = ("setopt", "o", "setattr", "S", "conf")


def review(batch: Mapping[str, Any], runs: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[Remark]:
    """Yield remarks about values that Flux, or Maestro's interface to it, does not accept or ignores."""
    if batch.get("version", _INTERFACE) != _INTERFACE:
        remedy = f"Scripts are written for {_INTERFACE}, which is Maestro's default: remove the key."
        yield Remark(("batch", "version"), remedy, fatal=True)
    for index, run in runs:
        if run.get("memory"):
            yield Remark(("study", index, "run", "memory"), "Flux allocates none.", "is ignored")
    groups = batch.get("allocation_args")
    for key in groups.keys() - set(_ALLOCATION_ARGS) if isinstance(groups, dict) else ():
        remedy = f"Write it into args of the steps, or into {', '.join(_ALLOCATION_ARGS)}."
        if key in _EXCLUSIVE:
            remedy = "Write 'exclusive: true' into the steps."
        yield Remark(("batch", "allocation_args", key), remedy, "is ignored, as in Maestro")


FACTS = SchedulerFacts(
    name="flux",
    extension="flux.sh",
    keys=(*COMMON_KEYS, "allocation_args", "launcher_args", "uri", "version"),
    directive="#flux:",
    jobs=schedulers.WITH_ADAPTER["flux"],
    review=review,
)


def directives(batch: Mapping[str, Any], job_name: str, run: Mapping[str, Any]) -> list[Directive]:
    """Return the options of a step's job: first those of Maestro, in its order, then those that Maestro leaves out.

    As in Maestro, only known groups of `allocation_args` count. The others, including `exclusive`, are dropped.
    ValueError if a value can't be an option.
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


def _gpus_per_slot(run: Mapping[str, Any]) -> str:
    """Return the GPUs of a slot as Maestro counts them. For a nested step, that is the share of one node."""
    gpus = whole_number(str(run.get("gpus") or "0"), "gpus")
    if run.get("nested", True):
        nodes = str(run.get("nodes") or "")
        gpus = math.ceil(gpus / (whole_number(nodes, "nodes") or 1)) if nodes else 0
    return str(gpus or "")


def walltime(asked: object) -> str:
    """Return a walltime in seconds as Maestro writes it: with ".0" if it contains a colon. 0 means no limit."""
    text = str(asked or "").strip()
    seconds = walltime_seconds(text)
    return f"{seconds}.0" if ":" in text else str(seconds)


def urgency(priority: object) -> str:
    """Return the urgency, from 0 to 31, of a priority (a word, or a number from 0 to 1); empty without a priority."""
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
        if key in _EXCLUSIVE:
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
    """Yield the options of a group. A value of null makes a flag; in Maestro, 0 does, too."""
    dashes = "-" if len(name) == 1 else "--"
    for path, value in _leaves(group):
        text = str(value).lower() if isinstance(value, bool) else str("" if value is None else value)
        yield Directive(dashes + name, "=".join(filter(None, (path, text))) or None)


def launch(batch: Mapping[str, Any], asked: Resources, run: Mapping[str, Any]) -> str:
    """Return the ``flux run`` command for these resources. `args` of the batch block is an older key for options."""
    extra = batch.get("launcher_args")
    alone = exclusive(run.get("exclusive"), "launcher", any(key in _EXCLUSIVE for key, _ in pairs(extra)))
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
    return " ".join(["flux run", *(directive.text for directive in options)])


class FluxAdapter(ScriptsOnly):
    """Writes scripts for ``flux batch``."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:
        self._batch = dict(batch)
        self._uri = str(batch.get("uri") or {**os.environ, **host.environment.variables}.get("FLUX_URI", ""))

    def directives(self, job_name: str, run: Mapping[str, Any]) -> list[Directive]:
        """Return the options of a step's job, for its script and for the submit command."""
        return directives(self._batch, job_name, run)

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:  # noqa: ARG002 - protocol
        """Return the header. As in Maestro, it is complete even for steps that Flux does not run."""
        first = [shebang(self._batch.get("shell")), f"#MAESTRO-INFO (flux adapter version) {_INTERFACE}"]
        first += [f"#MAESTRO-INFO {directive.text}" for directive in [*option("(flux_uri)", self._uri)]]
        return header([*first, "#"], "#flux:", self.directives(job_name, run))

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        return fill_in(text, Resources.by(run), Resources.by(run), lambda asked: launch(self._batch, asked, run))


ADAPTER = FluxAdapter
