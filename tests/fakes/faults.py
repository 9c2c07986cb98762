"""File systems that fail: strace lets system calls of a process on some paths end with an error of choice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

#: What the summary of a run repeats of tests that were left out.
NOT_TRIED = "NOT TRIED HERE"


def leave_out(reason: str) -> NoReturn:
    """Skip a test that can't be run here, which the summary says; in continuous integration it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{NOT_TRIED}: {reason}", pytrace=False)
    pytest.skip(f"{NOT_TRIED}: {reason}")


def needs_strace() -> None:
    """Leave a test out where there is no strace."""
    if not shutil.which("strace"):
        leave_out("there is no strace, which lets system calls fail")


def with_fault(
    paths: Iterable[Path], calls: str, error: str, *words: str | Path, when: str = "1+"
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments; its `calls` on the paths end with the error, `when` says the how-manieth."""
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
    """Run Python with these arguments; returns its calls on a path, as strace writes them: ``PID CALL(...) = ...``."""
    needs_strace()
    tracer = ["strace", "-qq", "-f", "-y", "-o", str(note), "-P", str(path), "-e", f"trace={calls}", sys.executable]
    subprocess.run([*tracer, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    return note.read_text().splitlines()
