"""`start_process` by Maestro's name: a process of the program's own, with pipes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


def start_process(
    cmd: str | Sequence[str],
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    shell: bool = True,  # noqa: FBT001, FBT002 - Maestro's signature
) -> subprocess.Popen[str]:
    """Start a command, a text by the shell and a list without; its output is text in pipes."""
    options: dict[str, Any] = {} if cwd is None else {"cwd": cwd}
    options |= {} if env is None else {"env": env}
    by_shell = shell and not isinstance(cmd, (list, tuple))
    return subprocess.Popen(  # noqa: S603 - the program's own words
        cmd, shell=by_shell, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def run_to_end(argv: Sequence[str]) -> int:
    """Run a command on this terminal; returns its exit code."""
    return subprocess.call(argv)  # noqa: S603 - our own words
