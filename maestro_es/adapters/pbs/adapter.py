"""The adapter for PBS (OpenPBS and PBS Pro). This module decides which options a job has, and writes its script.

Maestro has no adapter for PBS. The keys of a batch block and of a step have the same meaning as for Slurm:

- A step with nodes gets a chunk for each node, placed on different nodes, with its share of the procs:
  ``-l select=2:ncpus=4:mpiprocs=4 -l place=scatter`` for 2 nodes and 8 procs. ``gpus`` and ``memory`` are counted for
  each node. If the procs can't be divided equally, there are two kinds of chunks.
- A step with procs only gets a chunk for each proc, placed anywhere. With ``gpus`` or ``memory``, it gets one node.
- ``cores per task`` is the number of CPUs of each proc. ``exclusive`` adds ``excl`` to the placement.
- ``bank`` is the account (``-A``), and ``reservation`` the queue of a reservation.
- ``walltime`` is read as for Slurm: a number means minutes. qsub would read it as seconds.

``$(LAUNCHER)`` is ``mpiexec -n PROCS``, or the `launcher` of the batch block.

Names of jobs have at most 230 characters: letters, digits, and ``_ . + -``. Other characters become ``_``.
Directives begin with ``#PBS`` and have one dash. They end at the first command of a script.

`maestro_es.adapters.pbs.client` runs PBS's commands, and `maestro_es.adapters.pbs.output` reads their output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maestro_es.adapters import schedulers
from maestro_es.adapters.base import noting, stop_if
from maestro_es.adapters.host import Host
from maestro_es.adapters.launcher import Resources, custom_launch, fill_in, whole_number
from maestro_es.adapters.one_dash import OneDashAdapter
from maestro_es.adapters.pbs.client import PbsJobs, pbs_environment
from maestro_es.adapters.pbs.output import seconds_left
from maestro_es.adapters.script import (
    Directive,
    exclusive,
    option,
    resources,
)
from maestro_es.core.model import Micros
from maestro_es.core.scheduler_facts import COMMON_KEYS, Remark, SchedulerFacts
from maestro_es.core.usage import Usage
from maestro_es.core.walltime import walltime_seconds

#: Keys that a step inherits from the batch block if it does not set them itself.
_INHERITED = ("nodes", "procs", "queue", "bank", "reservation")

#: The options of qsub(1B) with the same meaning as a key of a step. ``-l`` has several meanings, so it adds to them.
_SAID_BY = {"queue": ("q",), "reservation": ("q",), "bank": ("A",)}

#: Options of qsub(1B) that users can't set, because maestro-es decides what runs, where, how often, and under which
#: name, and what qsub prints.
_REFUSED = frozenset({"N", "I", "J", "X", "G", "f", "k", "r", "z", "x", "V", "v"})

#: The subset of these options that may appear in a script, because the options of maestro-es override them.
_HARMLESS = frozenset({"N", "k", "r", "V"})

_LAUNCHER = "mpiexec -n {procs}"
_LONGEST_NAME = 230
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.+-]")

#: A size that PBS accepts. Without a unit, it is in megabytes, as for Slurm.
_SIZE = re.compile(r"([0-9]+)([kmgt]?)b?", re.IGNORECASE)


def review(batch: Mapping[str, Any], runs: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[Remark]:
    """Yield a remark for each key that has no meaning for PBS."""
    if batch.get("reservation") and batch.get("queue"):
        yield Remark(("batch", "queue"), "Remove it: a reservation has a queue of its own.", "is ignored")
    for index, run in runs:
        if run.get("qos"):
            yield Remark(("study", index, "run", "qos"), "Write the option of your site in args.", "is ignored by PBS")


FACTS = SchedulerFacts(
    name="pbs",
    extension="pbs.sh",
    keys=(*COMMON_KEYS, "procs", "reservation", "launcher"),
    passes_options=True,
    directive="#PBS",
    jobs=schedulers.WITH_ADAPTER["pbs"],
    seconds_left=seconds_left,
    forgets_within=lambda info, _: (
        "PBS keeps no history of ended jobs (job_history_enable)" if info.get("job_history_enable") == "False" else ""
    ),
    review=review,
)


def directives(
    batch: Mapping[str, Any],
    job_name: str,
    run: Mapping[str, Any],
) -> list[Directive]:
    """Return the options of a step's job. ValueError names the values that no option can express."""
    asked = resources(batch, _INHERITED, run)
    wrong: list[str] = []
    chunks: list[Directive] = []
    with noting(wrong):
        chunks = _chunks(asked)
    with noting(wrong):
        Directive("-N", job_name)
    stop_if(wrong)
    name = _NOT_IN_NAMES.sub("_", job_name)[:_LONGEST_NAME]
    time = walltime(asked.get("walltime"))
    return [
        *chunks,
        *option("-q", asked.get("reservation") or asked.get("queue")),
        *option("-A", asked.get("bank")),
        *option("-l", f"walltime={time}" if time else ""),
        Directive("-N", name),
        Directive("-o", f"{name}.out"),
        Directive("-e", f"{name}.err"),
    ]


def walltime(asked: object) -> str:
    """Return a walltime as ``HH:MM:SS``; empty if there is none."""
    seconds = walltime_seconds(asked)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if seconds else ""


def _chunks(asked: Mapping[str, Any]) -> list[Directive]:
    """Return the options for the nodes, CPUs, GPUs and memory of a job."""
    counts = Resources.by(asked)
    cores = whole_number(str(asked.get("cores per task") or 1), "cores per task")
    procs = whole_number(counts.procs or counts.nodes or "1", "procs")
    more = "".join(
        [
            f":ngpus={whole_number(str(asked['gpus']), 'gpus')}" if asked.get("gpus") else "",
            f":mem={_memory(asked['memory'])}" if asked.get("memory") else "",
        ]
    )
    placement = "excl" if exclusive(asked.get("exclusive"), "allocation") else ""
    if counts.nodes or more:
        nodes = whole_number(counts.nodes or "1", "nodes")
        share, left = divmod(procs, nodes)
        groups = [(left, share + 1), (nodes - left, share)]
        select = "+".join(
            f"{count}:ncpus={each * cores}:mpiprocs={each}{more}" for count, each in groups if count and each
        )
        placement = f"scatter:{placement}" if placement else "scatter"
    else:
        select = f"{procs}:ncpus={cores}:mpiprocs=1"
    return [*option("-l", f"select={select}"), *option("-l", f"place={placement}" if placement else "")]


def _memory(asked: object) -> str:
    size = _SIZE.fullmatch(str(asked).strip())
    if not size:
        raise ValueError(f"memory is {str(asked)!r}; write a whole number of megabytes, or one with K, M, G or T")
    return f"{size[1]}{size[2].lower() or 'm'}b"


class PbsAdapter(OneDashAdapter):
    """Writes scripts for ``qsub``, submits jobs, and queries them."""

    name, extension, grace_seconds, facts = FACTS.name, FACTS.extension, FACTS.grace_seconds, FACTS
    refused, harmless, by_key, has_long_names = _REFUSED, _HARMLESS, _SAID_BY, False
    of_files = ("-o", "-e")

    _jobs: PbsJobs

    def __init__(self, batch: Mapping[str, Any], host: Host) -> None:
        super().__init__(batch, PbsJobs(pbs_environment(os.environ, host.environment.variables), host.environment))

    def directives(self, job_name: str, run: Mapping[str, Any]) -> list[Directive]:
        """Return the options of a step's job. No option is marked as added, because Maestro has no options for PBS."""
        options: list[Directive] = []
        passed: list[Directive] = []
        wrong: list[str] = []
        with noting(wrong):
            options = directives(self._batch, job_name, run)
        with noting(wrong):
            passed = self.passed(run)
        stop_if(wrong)
        return [*options, *(Directive(each.option, each.value) for each in passed)]

    def query_usage(
        self,
        jobs: Mapping[str, str],
        since: Micros,  # noqa: ARG002 - protocol
        cluster_info: Mapping[str, str],
    ) -> dict[str, Usage]:
        return self._jobs.query_usage(jobs) if cluster_info.get("job_history_enable") == "True" else {}

    def command(self, text: str, run: Mapping[str, Any]) -> str:
        limits = Resources.by(resources(self._batch, ("nodes", "procs"), run))
        template = self._batch.get("launcher") or _LAUNCHER
        return fill_in(text, limits, limits, lambda asked: custom_launch(template, asked))


ADAPTER = PbsAdapter
