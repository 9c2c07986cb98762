"""Reads the usage of ended jobs from Slurm's accounting. Facts refer to Slurm 22.05 unless stated otherwise.

sacct prints a line for each job, followed by a line for each of its job steps, such as ``17.batch``. Only the lines of
job steps have a peak memory, and only the lines of jobs have the token. A site that gathers no such data
(``JobAcctGatherType=jobacct_gather/none``) still records nodes, cores and limits.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from msgspec import structs

from maestro_es.adapters.queue_entries import LIVE, AttemptsByJob, names_in
from maestro_es.adapters.slurm.arrays import indexes_of
from maestro_es.adapters.slurm.output import job_state
from maestro_es.core.usage import Usage

#: The columns. The last one may contain any character except a line break.
USAGE_FORMAT = "JobID,State,TotalCPU,MaxRSS,AllocNodes,AllocCPUS,TimelimitRaw,ReqMem,SubmitLine"
_COLUMNS = 9

#: A CPU time: ``[DAYS-[HOURS:]]MINUTES:SECONDS[.MILLISECONDS]``.
_CPU_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)(?:\.(\d{1,6}))?")

#: An amount of memory. Before 21.08, a requested amount ends with ``c`` (for each core) or ``n`` (for each node).
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)([cn]?)")
_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P"))}


def read_usage(text: str, tokens: Collection[str]) -> dict[str, Usage]:
    """Return the usage of ended jobs, by token, from the output of ``sacct -P`` with `USAGE_FORMAT`."""
    attempts = AttemptsByJob(tokens)
    usages: dict[str, Usage] = {}
    ours: list[str] = []
    for line in text.split("\n"):
        parts = line.split("|", _COLUMNS - 1)
        if len(parts) < _COLUMNS:
            continue
        job_id, state, cpu, memory, nodes, cores, minutes, limit, command = parts
        if "." in job_id:
            _add_memory(usages, ours, _size(memory))
            continue
        ours = attempts.of(names_in(command), indexes_of(job_id)) if job_state(state) not in LIVE else []
        usage = Usage(
            cpu=_cpu_time(cpu),
            nodes=_count(nodes),
            cores=_count(cores),
            walltime=int(minutes) * 60 if minutes.isdigit() else None,
            memory_limit=_requested(limit, _count(nodes), _count(cores)),
        )
        usages.update(dict.fromkeys(ours, usage))
    return {token: usage for token, usage in usages.items() if usage.nodes}


def _add_memory(usages: dict[str, Usage], ours: list[str], memory: int | None) -> None:
    """Raise the peak memory of these attempts to the peak memory of a job step."""
    for token in ours if memory else ():
        usages[token] = structs.replace(usages[token], memory=max(usages[token].memory or 0, memory or 0))


def _cpu_time(text: str) -> int | None:
    """Return a CPU time in microseconds."""
    match = _CPU_TIME.fullmatch(text)
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000 + int((match[5] or "").ljust(6, "0"))


def _size(text: str) -> int | None:
    """Return an amount of memory in bytes."""
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _requested(text: str, nodes: int | None, cores: int | None) -> int | None:
    """Return the memory that a job has requested, in bytes (None: no limit)."""
    each = {"c": cores, "n": nodes}.get(text[-1:], 1)
    return (_size(text) or 0) * (each or 1) or None


def _count(text: str) -> int | None:
    return int(text) or None if text.isdigit() else None
