"""Claims: symbolic links in a step's workspace, made once for a token by whoever comes first.

The text of the link names the owner: ``JOB HOST INSTANCE NONCE`` for a runner, ``abandoned`` for the poller. Only this
module writes and parses it, and ``runner.sh``: a runner in a job makes its own claim. To make the link is atomic and
exclusive and carries its content, on NFS and Lustre too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from maestro_es.core.observations import Claim, ClaimState

_PREFIX = ".claim."
_ABANDONED = "abandoned"
_WORKSPACE_MODE = 0o775
_JOB_WORDS = 4


def claim_path(workspace: Path, token: str) -> Path:
    """Return the place of a token's claim."""
    return workspace / f"{_PREFIX}{token}"


def read_claim(workspace: Path, token: str) -> Claim:
    """Return what a token's claim says. OSError if the workspace can't be looked into."""
    path = claim_path(workspace, token)
    try:
        owner = os.readlink(path)
    except FileNotFoundError:
        if not _is_listed(path):
            return Claim(ClaimState.NONE)
        owner = os.readlink(path)
    if owner == _ABANDONED:
        return Claim(ClaimState.ABANDONED)
    fields = owner.split(" ")
    if len(fields) != _JOB_WORDS:
        return Claim(ClaimState.JOB)
    return Claim(ClaimState.JOB, job_id=fields[0], host=fields[1], instance=fields[2])


def tokens_claimed(workspace: Path) -> list[str]:
    """Return the tokens of which there are claims. OSError if the workspace can't be looked into."""
    try:
        with os.scandir(workspace) as entries:
            return sorted(entry.name.removeprefix(_PREFIX) for entry in entries if entry.name.startswith(_PREFIX))
    except FileNotFoundError:
        return []


def _is_listed(path: Path) -> bool:
    """Whether the directory lists the file after all: NFS and Lustre remember for a while that it was not there."""
    with contextlib.suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        return any(entry.name == path.name for entry in entries)
    return False


def make_claim(workspace: Path, token: str, job_id: str, host: str, instance: str, nonce: str) -> bool:
    """Make the claim for a runner; returns whether it is that owner's now. OSError if it can't be made.

    The `nonce` differs between two starts that have the same job, host and instance.
    """
    owner = f"{job_id} {host} {instance} {nonce}"
    path = claim_path(workspace, token)
    try:
        os.symlink(owner, path)
    except FileExistsError:
        return os.readlink(path) == owner  # our own call, sent twice by the file system
    return True


def make_workspace(workspace: Path) -> None:
    """Make a step's directory. The umask says whether the group can write in it; all others never can."""
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(workspace, _WORKSPACE_MODE)
        except FileNotFoundError:
            make_workspace(workspace.parent)
            os.mkdir(workspace, _WORKSPACE_MODE)


def abandon(workspace: Path, token: str) -> Claim:
    """Make the claim ourselves, so that the attempt can never start; returns the claim as it stands then."""
    make_workspace(workspace)
    with contextlib.suppress(FileExistsError):
        os.symlink(_ABANDONED, claim_path(workspace, token))
    return read_claim(workspace, token)
