"""Creates and reads claims: symbolic links in the workspace of a step. Each token has at most one claim.

The text of the link names the owner. The link of a runner has the text ``JOB HOST INSTANCE NONCE``. The link of a tick
has the text ``abandoned``. INSTANCE distinguishes boots and containers of one host. A fifth word is the time at which
the job started, in seconds, if the scheduler tells it to the job. Only this module and ``runner.sh`` write and parse
the text. The runner of a scheduler's job creates its claim itself. `make_claim` creates the claim for the runner of a
local step. Creating a link together with its text is atomic and exclusive, on NFS and Lustre too.

`maestro_es.core.verdict` decides what a claim proves about an attempt.
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
_WITH_START = 5


def claim_path(workspace: Path, token: str) -> Path:
    """Return the path of the claim for a token."""
    return workspace / f"{_PREFIX}{token}"


def read_claim(workspace: Path, token: str) -> Claim:
    """Return the claim for a token. OSError if the workspace can't be read."""
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
    began_at = int(fields.pop()) * 1_000_000 if len(fields) == _WITH_START and fields[-1].isdecimal() else None
    if len(fields) != _JOB_WORDS:
        return Claim(ClaimState.JOB)
    return Claim(ClaimState.JOB, job_id=fields[0], host=fields[1], instance=fields[2], began_at=began_at)


def tokens_claimed(workspace: Path) -> list[str]:
    """Return the tokens that have claims. OSError if the workspace can't be read."""
    try:
        with os.scandir(workspace) as entries:
            return sorted(entry.name.removeprefix(_PREFIX) for entry in entries if entry.name.startswith(_PREFIX))
    except FileNotFoundError:
        return []


def _is_listed(path: Path) -> bool:
    """Return whether the directory lists the file.

    NFS and Lustre remember for a while that a file is missing. So a lookup of its path may be out of date.
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        return any(entry.name == path.name for entry in entries)
    return False


def make_claim(workspace: Path, token: str, job_id: str, host: str, instance: str, nonce: str) -> bool:
    """Create the claim for a runner, and return whether this runner owns it. OSError if it can't be created.

    The `nonce` distinguishes two starts that have the same job, host and instance.
    """
    owner = f"{job_id} {host} {instance} {nonce}"
    path = claim_path(workspace, token)
    try:
        os.symlink(owner, path)
    except FileExistsError:
        # A network file system may send the call twice. In this case the first call makes the link, and the second
        # fails.
        return os.readlink(path) == owner
    return True


def make_workspace(workspace: Path) -> None:
    """Create the workspace of a step. The umask decides whether the group can write to it. Other users never can."""
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(workspace, _WORKSPACE_MODE)
        except FileNotFoundError:
            make_workspace(workspace.parent)
            os.mkdir(workspace, _WORKSPACE_MODE)


def abandon(workspace: Path, token: str) -> Claim:
    """Create an ``abandoned`` claim, so that the attempt can never start. Return the claim that exists now.

    If the attempt has already started, the claim of its runner exists and stays.
    """
    make_workspace(workspace)
    with contextlib.suppress(FileExistsError):
        os.symlink(_ABANDONED, claim_path(workspace, token))
    return read_claim(workspace, token)
