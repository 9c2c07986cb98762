"""Reads the environment of this process that the steps of a study inherit: variables, umask, soft limits, niceness.

`maestro_es.core.exported_variables` decides which of the variables the steps get.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from maestro_es.adapters import schedulers
from maestro_es.adapters.schedulers import job_around
from maestro_es.core.exported_variables import Choice, ExportChoice, choose
from maestro_es.errors import RequestRefused

#: The soft limits that steps inherit, as `resource` names them.
_LIMITS = (
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "memlock",
    "msgqueue",
    "nofile",
    "nproc",
    "rss",
    "sigpending",
    "stack",
)

#: The smallest limit of open files with which a step can start. Its runner needs 11, because shells reserve
#: descriptors from 10 on.
_OPEN_FILES = 16


#: The values to which Python sets LC_CTYPE at its start in the locale C (PEP 538).
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


class Surroundings(NamedTuple):
    """The environment of a process: its variables in `choice`, its `job` (SCHEDULER:ID), and its limits."""

    choice: Choice
    export: ExportChoice
    umask: int
    limits: dict[str, int]
    nice: int
    job: str = ""


def surroundings(export: ExportChoice | None = None, environ: Mapping[str, str] | None = None) -> Surroundings:
    """Return the environment of this process. RequestRefused if no step could start in it."""
    limits = _soft_limits()
    if 0 <= limits.get("nofile", -1) < _OPEN_FILES:
        raise RequestRefused(
            f"the limit of open files is {limits['nofile']} here, and a step needs at least {_OPEN_FILES} to start: "
            f"raise it ('ulimit -S -n'), and try again"
        )
    export = export or ExportChoice()
    choice = choose(shell_variables() if environ is None else environ, export, schedulers.ALL)
    return Surroundings(choice, export, _umask(), limits, os.getpriority(os.PRIO_PROCESS, 0), job_around())


def shell_variables() -> dict[str, str]:
    """Return the variables of this process, but not an LC_CTYPE that only Python itself has set."""
    variables = dict(os.environ)
    if variables.get("LC_CTYPE") in _COERCED:
        with contextlib.suppress(OSError):  # macOS has no /proc
            if b"\0LC_CTYPE=" not in b"\0" + Path("/proc/self/environ").read_bytes():
                del variables["LC_CTYPE"]
    return variables


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _soft_limits() -> dict[str, int]:
    limits = {}
    for name in _LIMITS:
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is not None:
            soft = resource.getrlimit(number)[0]
            limits[name] = -1 if soft == resource.RLIM_INFINITY else soft
    return limits
