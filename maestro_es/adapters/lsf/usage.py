"""Reads from the output of ``bjobs`` what ended jobs have used.

IBM's documentation of LSF 10.1 names the fields, and has examples of their values. The long output (``bjobs -UF``) has
the same values. The forms marked [V] were observed with volclava 2.2, which prints no peak memory. No system of IBM
was available. A value in another form counts as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from maestro_es.core.usage import Usage

#: The fields of ``bjobs -o`` about usage.
USAGE_FIELDS = ("cpu_used", "max_mem", "nexec_host", "nalloc_slot", "runtimelimit", "memlimit")

#: Seconds as a number, for example in ``1.6 second(s)``, or as ``HHH:MM:SS.CC`` [V].
_CPU_TIME = re.compile(r"(?:([0-9]{1,6}):([0-9]{2}):)?([0-9]{1,10}(?:\.[0-9]+)?)(?: seconds?| second\(s\))?")

#: A size, such as ``4.2 Gbytes`` or ``100 M``. Without a unit, it is unknown what the number means.
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]+)?) ?([KMGTP])(?:bytes)?")
_UNITS = {unit: 1024**power for power, unit in enumerate("KMGTP", 1)}

#: A run limit in minutes. The name of a host may follow after a slash.
_MINUTES = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)(?: min)?(?:/.*)?")

_COUNT = re.compile("[0-9]{1,9}")

#: The values in the long output. There, a host with several slots is shown as ``<4*host>``, or several times [V].
_IN_TEXT = {
    "CPU_USED": re.compile(r"The CPU time used is ([0-9.]+ seconds)"),
    "MAX_MEM": re.compile(r"MAX MEM: ([0-9.]+ [KMGTP]bytes)"),
    "RUNTIMELIMIT": re.compile(r"RUNLIMIT\s+([0-9.]+ min)\b"),
    "MEMLIMIT": re.compile(r"MEMLIMIT\s+([0-9.]+ [KMGTP])\b"),
}
_HOSTS = re.compile(r"(?:Slot\(s\) on Host\(s\)|Started on(?: \d+ Hosts/Processors)?)((?: <[^>]+>)+)")
_HOST = re.compile(r"<(?:([0-9]{1,9})\*)?([^>]+)>")


def usage_in_record(record: Mapping[str, object]) -> Usage | None:
    """Return what a job has used, from its fields (None: the fields contain no usage)."""
    cpu, memory, nodes, cores, walltime, limit = (str(record.get(name.upper(), "")).strip() for name in USAGE_FIELDS)
    usage = Usage(
        cpu=_micros(cpu),
        memory=_bytes(memory),
        nodes=_count(nodes),
        cores=_count(cores),
        walltime=_seconds(walltime),
        memory_limit=_bytes(limit),
    )
    return None if usage == Usage() else usage


def usage_in_text(details: str) -> Usage | None:
    """Return what a job has used, from its long output (None: it contains no usage)."""
    matches = {name: pattern.search(details) for name, pattern in _IN_TEXT.items()}
    record: dict[str, object] = {name: match[1] for name, match in matches.items() if match}
    hosts = _HOST.findall("".join(_HOSTS.findall(details)[-1:]))
    if hosts:
        record["NEXEC_HOST"] = len({host for _, host in hosts})
        record["NALLOC_SLOT"] = sum(int(count or 1) for count, _ in hosts)
    return usage_in_record(record)


def _micros(text: str) -> int | None:
    match = _CPU_TIME.fullmatch(text)
    if not match:
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return round(((hours * 60 + minutes) * 60 + seconds) * 1_000_000)


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _seconds(text: str) -> int | None:
    match = _MINUTES.fullmatch(text)
    return int(float(match[1]) * 60) if match else None


def _count(text: str) -> int | None:
    return int(text) or None if _COUNT.fullmatch(text) else None
