"""File systems that fail: strace makes a process's system calls on chosen paths return an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

#: The beginning of the reason for a skipped test, which the summary of a run repeats.
NOT_TRIED = "NOT TRIED HERE"


def leave_out(reason: str) -> NoReturn:
    """Skip a test that can't run here, and report it in the summary. In continuous integration, the test fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{NOT_TRIED}: {reason}", pytrace=False)
    pytest.skip(f"{NOT_TRIED}: {reason}")


def needs_strace() -> None:
    """Skip a test if strace is missing."""
    if not shutil.which("strace"):
        leave_out("there is no strace, which lets system calls fail")


def with_fault(
    paths: Iterable[Path], calls: str, error: str, *words: str | Path, when: str = "1+"
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments. Its `calls` on the paths return the error; `when` says which of the calls."""
    needs_strace()
    only = [word for path in paths for word in ("-P", str(path))]
    inject = f"inject={calls}:error={error}:when={when}"
    return subprocess.run(
        ["strace", "-qq", "-f", "-o", "/dev/null", *only, "-e", f"trace={calls}", "-e", inject, sys.executable]
        + [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def traced(path: Path, calls: str, note: Path, *words: str | Path) -> list[str]:
    """Run Python with these arguments; returns its calls on a path as lines of strace: ``PID CALL(...) = ...``."""
    needs_strace()
    tracer = ["strace", "-qq", "-f", "-y", "-o", str(note), "-P", str(path), "-e", f"trace={calls}", sys.executable]
    subprocess.run([*tracer, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    return note.read_text().splitlines()
