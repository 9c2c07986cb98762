"""What must be installed before there can be a cluster, and Debian's packages that bring it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: Where another Slurm than Debian's is installed, if the tests are to use that.
OTHER = os.environ.get("MAESTRO_ES_SLURM", "")
_FIRST = f"{OTHER}/sbin:{OTHER}/bin:" if OTHER else ""
#: Where system programs are; a user's PATH often lacks the half of it.
PATH = f"{_FIRST}/usr/sbin:/sbin:/usr/bin:/bin"
#: Each command that is used, and its package (Debian 12).
PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "faketime": "faketime",
}
#: How tests say that they were not run because there can be no cluster.
NO_SLURM = "NO SLURM HERE"
POLICY = Path("/usr/sbin/policy-rc.d")


def first(path: str) -> str:
    """Return a PATH with the Slurm that is to be used before any other."""
    return path if _FIRST in f"{path}:" else _FIRST + path


def missing(path: str = PATH) -> dict[str, str]:
    """Return the commands that are not there, and their packages."""
    return {command: package for command, package in PACKAGES.items() if not shutil.which(command, path=path)}


def why_not(user: int, path: str = PATH) -> str:
    """Say why this user, by number, can't start a cluster here; the empty text if there is no reason."""
    absent = missing(path)
    if absent:
        return f"{', '.join(absent)} not installed (as root, on Debian: tools/slurm-cluster install)"
    return "only root can start a Slurm cluster" if user else ""


def install() -> list[str]:
    """Install what is missing and return its packages; OSError with apt-get's own words if that fails."""
    packages = sorted(missing().values())
    if packages:
        with _no_daemons():
            _apt_get("update")
            _apt_get("install", "--yes", "--no-install-recommends", *packages)
    return packages


def _apt_get(*words: str) -> None:
    done = subprocess.run(
        ["apt-get", "-qq", *words],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"apt-get {' '.join(words)} failed:\n{done.stdout}")


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting the daemons that they bring, which is what Debian's policy-rc.d is for."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
