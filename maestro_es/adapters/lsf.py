"""LSF: writes the scripts of steps. It can't submit jobs.

The header equals that of Maestro 1.2.1, line by line. It consists of `directives`, which ``bsub`` also accepts on its
command line. Options have one dash, and a space precedes their values. ``bsub -W`` takes ``[HOURS:]MINUTES``, and
``jsrun`` starts resource sets, not processes. Both follow LSF 10.1 on IBM's CORAL systems, for which Maestro's adapter
was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maestro_es.adapters import schedulers
from maestro_es.adapters.launcher import Resources, fill_in, whole_number
from maestro_es.adapters.process import Host
from maestro_es.adapters.script import (
    Directive,
    ScriptsOnly,
    header,
    names_beaten,
    option,
    passed_through,
    resources,
    shebang,
)
from maestro_es.core.model import is_scheduled
from maestro_es.core.scheduler_facts import COMMON_KEYS, SchedulerFacts
from maestro_es.core.walltime import walltime_remedy, walltime_seconds

#: Keys that a step inherits from the batch block if it does not set them itself. The default is one node.
_INHERITED = ("nodes", "queue", "bank", "reservation")
_NODES = {"nodes": "1"}

#: The options of bsub(1) with the same meaning as a key of a step.
_SAID_BY = {
    "nodes": ("nnodes",), "walltime": ("W",), "reservation": ("U",), "queue": ("q",), "bank": ("G",),
}  # fmt: skip

#: Options of bsub(1) that users can't set, because maestro-es decides what runs, where, how often, and under which
#: name.
_REFUSED = frozenset({
    "J", "K", "I", "Ip", "Is", "IS", "ISp", "ISs", "IX", "cwd", "r", "rn", "Q", "h", "V", "Zs", "pack", "json",
    "jsdl", "jsdl_strict", "yaml",
})  # fmt: skip


FACTS = SchedulerFacts(
    name="lsf",
    extension="lsf.sh",
    needed_keys=("host", "bank", "queue"),
    keys=(*COMMON_KEYS, "reservation"),
    passes_options=True,
    directive="#BSUB",
    jobs=schedulers.WITH_ADAPTER["lsf"],
    # The name of a host may follow after a slash.
    walltime_remedy=lambda walltime: walltime_remedy(str(walltime or "").partition("/")[0]),
)


def directives(batch: Mapping[str, Any], job_name: str, run: Mapping[str, Any]) -> list[Directive]:
    """Return the options of a step's job: first those of Maestro, in its order, then those that Maestro leaves out.

    ValueError if a value can't be an option.
    """
    asked = resources(_NODES | dict(batch), _INHERITED, run)
    return [
        *option("-nnodes", asked.get("nodes")),
        *option("-q", asked.get("queue")),
        *option("-G", asked.get("bank")),
        *option("-W", walltime(asked.get("walltime"))),
        Directive("-J", job_name),
        Directive("-o", f"{job_name}.%J.out"),
        *option("-U", asked.get("reservation")),
        Directive("-e", f"{job_name}.%J.err"),
        *option("-R", f"rusage[mem={asked['memory']}]" if "memory" in asked else "", added=True),
        *passed_through(
            (batch.get("args"), run.get("args")), _REFUSED, single_dash=True, beaten=names_beaten(_SAID_BY, run)
        ),
    ]


def walltime(asked: object) -> str:
    """Return a walltime as ``bsub -W`` reads it; empty if there is none.

    As in Maestro, a plain number means minutes, two parts mean ``HH:MM``, and both stay as they are. For other
    schedulers, two parts are minutes and seconds. A walltime with seconds or days becomes ``HH:MM``, rounded up. The
    name of the host to whose speed it refers may follow after a slash.
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


class LsfAdapter(ScriptsOnly):
    """Writes scripts for ``bsub``."""

    name, extension, grace_seconds = FACTS.name, FACTS.extension, FACTS.grace_seconds

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:  # noqa: ARG002 - all adapters have the same arguments
        self._batch = dict(batch)

    def directives(self, job_name: str, run: Mapping[str, Any]) -> list[Directive]:
        """Return the options of a step's job, for its script and for the submit command."""
        return directives(self._batch, job_name, run)

    def header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:  # noqa: ARG002 - protocol
        """Return the header. As in Maestro, its shell is bash, whatever the batch block says."""
        return header([shebang("")], "#BSUB", self.directives(job_name, run) if is_scheduled(run) else [])

    def spare_header(self, job_name: str, description: str, run: Mapping[str, Any]) -> str:
        return self.header(job_name, description, run)

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        limits = Resources.by(resources(_NODES | self._batch, ("nodes",), run))
        return fill_in(text, Resources.by(run), limits, lambda asked: launch(asked, run))


ADAPTER = LsfAdapter
