"""The adapter for LSF. This module decides which options a job has, and writes its script.

Without a `launcher` in the batch block, the header equals that of Maestro 1.2.1, line by line. Maestro's adapter was
written for LSF 10.1 on IBM's CORAL systems, where a job gets whole nodes (``-nnodes``, which needs CSM), and ``jsrun``
starts resource sets, not processes. With a `launcher`, such as ``mpirun``, a job gets slots (``-n``), distributed over
its nodes by ``span[ptile=N]``, as all other LSF clusters require.

The header consists of `directives`, which ``bsub`` also accepts on its command line. Options have one dash, and a
space precedes their values. ``bsub -W`` takes ``[HOURS:]MINUTES``, without seconds.

`maestro_es.adapters.lsf.client` runs LSF's commands, and `maestro_es.adapters.lsf.output` reads their output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maestro_es.adapters import schedulers
from maestro_es.adapters.batch import UsageInList
from maestro_es.adapters.host import Host
from maestro_es.adapters.launcher import Resources, custom_launch, fill_in, per_node, whole_number
from maestro_es.adapters.lsf.client import LsfJobs, lsf_environment
from maestro_es.adapters.lsf.output import seconds_left
from maestro_es.adapters.one_dash import OneDashAdapter
from maestro_es.adapters.script import (
    Directive,
    embedded,
    exclusive,
    option,
    resources,
    shebang,
)
from maestro_es.core.scheduler_facts import COMMON_KEYS, Remark, SchedulerFacts
from maestro_es.core.submission import Outcome, ScriptFailed
from maestro_es.core.walltime import walltime_remedy, walltime_seconds

#: Keys that a step inherits from the batch block if it does not set them itself. The default is one node.
_INHERITED = ("nodes", "queue", "bank", "reservation")
_NODES = {"nodes": "1"}
_JSRUN = "jsrun"

#: The options of bsub(1) with the same meaning as a key of a step.
_SAID_BY = {
    "nodes": ("nnodes",), "procs": ("n",), "walltime": ("W",), "reservation": ("U",), "queue": ("q",), "bank": ("G",),
    "gpus": ("gpu",), "exclusive": ("x",),
}  # fmt: skip

#: Options of bsub(1) that users can't set, because maestro-es decides what runs, where, how often, and under which
#: name.
_REFUSED = frozenset({
    "J", "K", "I", "Ip", "Is", "IS", "ISp", "ISs", "IX", "cwd", "r", "rn", "Q", "h", "V", "Zs", "pack", "json",
    "jsdl", "jsdl_strict", "yaml",
})  # fmt: skip

#: The subset of these options that may appear in a script, because the options of maestro-es override them.
_HARMLESS = frozenset({"J", "cwd", "rn", "r", "Q"})

#: The characters in a job's name that would make it a job array.
_ARRAY = re.compile(r"[\[\]%]")


#: A walltime with seconds. ``MM:SS`` is missing, because LSF reads it as hours and minutes.
_WITH_SECONDS = re.compile(r"(?:[0-9]+-)?[0-9]+:[0-9]+:0*[1-9][0-9]*")

#: Keys of a step for the resource sets of jsrun, keys without a meaning for a job with whole nodes, and the remedies.
_OF_JSRUN = (
    ("rs per node", "tasks per rs", "cpus per rs", "bind", "bind gpus"),
    "Write options of the launcher into 'launcher' of the batch block.",
)
_OF_SLOTS = (
    ("cores per task", "exclusive"),
    "With jsrun, a job has whole nodes. For another launcher, set 'launcher' in the batch block.",
)


def review(batch: Mapping[str, Any], runs: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[Remark]:
    """Yield a remark for each value that LSF ignores or changes."""
    if batch.get("shell") not in (None, "", "/bin/bash"):
        yield Remark(("batch", "shell"), "Scripts for LSF run with /bin/bash.", "is ignored, as in Maestro")
    keys, remedy = _OF_SLOTS if is_coral(batch) else _OF_JSRUN
    remedies = {"qos": "Write the option of your site in args.", **dict.fromkeys(keys, remedy)}
    for index, run in runs:
        for key in (key for key in remedies if run.get(key)):
            yield Remark(("study", index, "run", key), remedies[key], "is ignored by LSF")
        time = str(run.get("walltime") or "")
        if _WITH_SECONDS.fullmatch(time):
            remedy = f"LSF counts whole minutes. Write {walltime(time)}:00."
            yield Remark(("study", index, "run", "walltime"), remedy, "is rounded up")


FACTS = SchedulerFacts(
    name="lsf",
    extension="lsf.sh",
    needed_keys=("host", "bank", "queue"),
    keys=(*COMMON_KEYS, "reservation", "launcher"),
    passes_options=True,
    directive="#BSUB",
    jobs=schedulers.WITH_ADAPTER["lsf"],
    review=review,
    seconds_left=seconds_left,
    # The name of a host may follow after a slash.
    walltime_remedy=lambda walltime: walltime_remedy(str(walltime or "").partition("/")[0]),
)


def directives(batch: Mapping[str, Any], job_name: str, run: Mapping[str, Any]) -> list[Directive]:
    """Return the options of a step's job: first those of Maestro, in its order, then those that Maestro leaves out.

    ValueError if no option can express a value.
    """
    asked = resources(_NODES | dict(batch), _INHERITED, run)
    name = _ARRAY.sub("_", job_name)
    return [
        *(option("-nnodes", asked.get("nodes")) if is_coral(batch) else _slots(batch, run)),
        *option("-q", asked.get("queue")),
        *option("-G", asked.get("bank")),
        *option("-W", walltime(asked.get("walltime"))),
        Directive("-J", name),
        Directive("-o", f"{name}.%J.out"),
        *option("-U", asked.get("reservation")),
        Directive("-e", f"{name}.%J.err"),
        *option("-R", f"rusage[mem={asked['memory']}]" if "memory" in asked else "", added=True),
    ]


def is_coral(batch: Mapping[str, Any]) -> bool:
    """Whether the jobs run as on IBM's CORAL systems: on whole nodes, with ``jsrun``."""
    return str(batch.get("launcher") or _JSRUN).split()[0] == _JSRUN


def _slots(batch: Mapping[str, Any], run: Mapping[str, Any]) -> list[Directive]:
    """Return the options for slots: one for each proc, or for each core of each proc."""
    asked = Resources.by(resources(batch, ("nodes", "procs"), run))
    cores = whole_number(str(run.get("cores per task") or 1), "cores per task")
    procs = whole_number(asked.procs or asked.nodes or "1", "procs")
    slots = [Directive("-n", str(procs * cores))]
    if asked.nodes:
        slots += option("-R", f"span[ptile={per_node(asked) * cores}]")
    gpus = option("-gpu", f"num={run['gpus']}" if run.get("gpus") else "")
    return [*slots, *gpus, *([Directive("-x")] if exclusive(run.get("exclusive"), "allocation") else [])]


def walltime(asked: object) -> str:
    """Return a walltime as ``bsub -W`` reads it; empty if there is none.

    As in Maestro, a plain number means minutes, two parts mean ``HH:MM``, and both stay as they are. For other
    schedulers, two parts are minutes and seconds. A walltime with seconds or days becomes ``HH:MM``, rounded up. The
    walltime may refer to the speed of a host, whose name then follows after a slash.
    """
    text, slash, host = str(asked or "").strip().partition("/")
    seconds = walltime_seconds(text)
    if "-" not in text and text.count(":") < len("::"):
        return f"{text}{slash}{host}"
    minutes = -(-seconds // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}{slash}{host}"


def launch(asked: Resources, run: Mapping[str, Any]) -> str:
    """Return the ``jsrun`` command for these resources.

    ``jsrun`` counts resource sets, not nodes. If only nodes are requested, it gets as many sets as fit on them.
    """
    per_node = run.get("rs per node") or 1
    sets = asked.procs
    if not sets:
        sets = str(whole_number(asked.nodes, "nodes") * whole_number(str(per_node), "rs per node"))
    parts = [
        ("--nrs", sets),
        ("-b", run.get("bind") or "rs"),
        ("-g", run.get("gpus")),
        ("-B", run.get("bind gpus")),
        ("-a", run.get("tasks per rs") or 1),
        ("-r", per_node),
        ("-c", run.get("cpus per rs") or 1),
    ]
    return " ".join(["jsrun", *(f"{flag} {value}" for flag, value in parts if value)])


class LsfAdapter(OneDashAdapter, UsageInList):
    """Writes scripts for ``bsub``, submits jobs, and queries them."""

    name, extension, grace_seconds, facts = FACTS.name, FACTS.extension, FACTS.grace_seconds, FACTS
    refused, harmless, by_key, has_long_names = _REFUSED, _HARMLESS, _SAID_BY, True
    of_files = ("-o", "-e", "-oo", "-eo", "-i")

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:
        super().__init__(batch, LsfJobs(lsf_environment(os.environ, host.environment.variables), host.environment))

    def directives(self, job_name: str, run: Mapping[str, Any]) -> list[Directive]:
        return [*directives(self._batch, job_name, run), *self.passed(run)]

    def shell(self) -> str:
        """Return the first line of a script. As in Maestro, its shell is bash, whatever the batch block says."""
        return shebang("")

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        if is_coral(self._batch):
            limits = Resources.by(resources(_NODES | self._batch, ("nodes",), run))
            return fill_in(text, Resources.by(run), limits, lambda asked: launch(asked, run))
        limits = Resources.by(resources(self._batch, ("nodes", "procs"), run))
        return fill_in(text, limits, limits, lambda asked: custom_launch(self._batch["launcher"], asked))

    def submit_script(self, path: str, folder: str, environment: Mapping[str, str]) -> Outcome:
        """Submit a script as Maestro does. Its header has the options of the job."""
        try:
            text = Path(path).read_text(errors="surrogateescape")
            options = embedded(text, FACTS.directive)
        except (OSError, ValueError) as error:
            return ScriptFailed(f"{path}: {error}")
        return LsfJobs(environment).submit_script(path, folder, options)


ADAPTER = LsfAdapter
