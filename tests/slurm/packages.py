"""What must be installed before there can be a cluster, and Debian's packages that bring it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: Where system programs are; a user's PATH often lacks the half of it.
PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
#: Each command that is used, and its package (Debian 12).
BASE = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "faketime": "faketime",
}
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing(*, accounting: bool, path: str = PATH) -> dict[str, str]:
    """Return the commands that are not there, and their packages."""
    wanted = {**BASE, **(ACCOUNTING if accounting else {})}
    return {command: package for command, package in wanted.items() if not shutil.which(command, path=path)}


def why_not(*, accounting: bool, user: int | None = None, path: str = PATH) -> str:
    """Say why no cluster can be started here; the empty text if one can. `user` is whose right it needs: root's."""
    absent = missing(accounting=accounting, path=path)
    if absent:
        return f"{', '.join(absent)} not installed (as root, on Debian: tools/slurm-cluster install)"
    return "" if (os.geteuid() if user is None else user) == 0 else "only root can start a Slurm cluster"


def install(*, accounting: bool) -> list[str]:
    """Install what is missing and return its packages; OSError with apt-get's own words if that fails."""
    packages = sorted(missing(accounting=accounting).values())
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
