"""Describes the host of this process: its identity, its size, and the job around the process."""

from __future__ import annotations

import os
import sys
import time
from typing import NamedTuple

from maestro_es.adapters import proc
from maestro_es.adapters.command import output_of
from maestro_es.adapters.schedulers import job_around
from maestro_es.core.environment import Environment
from maestro_es.core.model import Micros
from maestro_es.core.step_keys import Need
from maestro_es.errors import Unreachable
from maestro_es.sha256 import short_digest

_MACHINE_ID = 64
_GPUS = "/proc/driver/nvidia/gpus"


class Host(NamedTuple):
    """This host: its name, an id that changes with every boot, and the number of usable cores.

    `environment` is the environment of the study's steps, which has priority over that of this process. `namespace`
    identifies the PID namespace (empty: the first namespace of a host). `machine` distinguishes hosts with the same
    name (empty: unknown). `booted_at` is the time of the boot (0: unknown). `job` is the surrounding job,
    ``SCHEDULER:ID`` (empty: there is none). `trouble` says why the boot id can't be read. In this case nothing can be
    concluded about processes. `memory` is the size of the host's memory in megabytes, and `gpus` the number of its
    GPUs (0: unknown). `cpus` is a mask of the usable cores (0: unknown).
    """

    name: str
    boot_id: str
    cores: int
    environment: Environment = Environment()
    namespace: str = ""
    machine: str = ""
    booted_at: Micros = 0
    trouble: str = ""
    job: str = ""
    memory: int = 0
    gpus: int = 0
    cpus: int = 0

    @property
    def size(self) -> Need:
        """What this host has for steps."""
        return Need(self.cores, self.memory, self.gpus)


def this_host() -> Host:
    """Return this host."""
    return _this_host()._replace(memory=_memory(), gpus=_gpus(), cpus=proc.cpus_of(0))


def _this_host() -> Host:
    name = os.uname().nodename
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        if sys.platform == "linux":
            return Host(
                name, proc.boot_id(), cores, Environment(), proc.pid_namespace(), *_machine(), job=job_around()
            )
        return Host(name, output_of("sysctl", "-n", "kern.bootsessionuuid").strip(), cores, job=job_around())
    except Unreachable as error:
        return Host(name, "", cores, trouble=str(error), job=job_around())


def _machine() -> tuple[str, Micros]:
    """Return an id that distinguishes this host from others with the same name, and the time of its last boot.

    The machine id is confidential, so it is hashed, as machine-id(5) requires. Diskless hosts get a new one at each
    boot. So a machine id that is younger than the boot is not used.
    """
    booted_at = (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1000
    try:
        with open("/etc/machine-id", "rb") as file:
            young = os.fstat(file.fileno()).st_mtime_ns // 1000 >= booted_at
            text = file.read(_MACHINE_ID).strip()
    except OSError:
        return "", booted_at
    return ("" if young or not text else short_digest(b"maestro-es " + text)[:16]), booted_at


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        return 0


def _gpus() -> int:
    """Return the number of GPUs that Nvidia's driver lists, or that CUDA_VISIBLE_DEVICES names."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([*filter(str.strip, visible.split(","))])
    try:
        return len(os.listdir(_GPUS))
    except OSError:
        return 0
