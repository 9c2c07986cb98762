"""The commands that a cluster needs, and the Debian packages that contain them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: The directory of a Slurm that tests use instead of Debian's, if any.
OTHER = os.environ.get("MAESTRO_ES_SLURM", "")
_FIRST = f"{OTHER}/sbin:{OTHER}/bin:" if OTHER else ""
#: The directories of system programs. A user's PATH often lacks some of them.
PATH = f"{_FIRST}/usr/sbin:/sbin:/usr/bin:/bin"
#: The commands that are used, with their packages (Debian 12).
PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "faketime": "faketime",
}
#: The message of tests that are skipped because no cluster can run.
NO_SLURM = "NO SLURM HERE"
POLICY = Path("/usr/sbin/policy-rc.d")


def first(path: str) -> str:
    """Return a PATH in which the chosen Slurm comes first."""
    return path if _FIRST in f"{path}:" else _FIRST + path


def missing(path: str = PATH) -> dict[str, str]:
    """Return the missing commands, with their packages."""
    return {command: package for command, package in PACKAGES.items() if not shutil.which(command, path=path)}


def why_not(user: int, path: str = PATH) -> str:
    """Return why the user with this id can't start a cluster here (empty: there is no reason)."""
    absent = missing(path)
    if absent:
        return f"{', '.join(absent)} not installed (as root, on Debian: tools/slurm-cluster install)"
    return "only root can start a Slurm cluster" if user else ""


def install() -> list[str]:
    """Install the missing packages and return them. OSError with the message of apt-get if that fails."""
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
    """Prevent packages from starting their daemons, by Debian's policy-rc.d."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
