"""System calls of a tick: which there are, what they touch, and which of them change anything.

A process that is killed on entry to a call has done all that comes before it and nothing of what comes after. So what
it leaves behind depends only on the calls before that *change* something that outlives it; a kill at a call that only
looks leaves what a kill at the next change does. Both are tried, and counted apart: the first kind is the proof, the
second says that this reasoning is right.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

#: Calls that touch nothing outside their process: memory, signals, time, what it is itself, where it is in a file.
HARMLESS = (
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex", "set_robust_list", "rseq", "rt_sigprocmask",
    "rt_sigaction", "rt_sigreturn", "sigaltstack", "prlimit64", "clock_nanosleep", "sched_getaffinity", "sched_yield",
    "uname", "getrandom", "getpid", "gettid", "geteuid", "getuid", "getcwd", "sysinfo", "lseek", "ioctl", "exit",
    "exit_group",
)  # fmt: skip
#: Calls after which everything is as before once their process is dead; its locks die with it. An `openat` that makes
#: no file is one, too. Any call that is not named here is taken for one that changes something.
LOOKS = (
    "newfstatat", "fstat", "statx", "read", "pread64", "readlink", "getdents64", "access", "faccessat2", "fcntl",
    "flock", "close", "dup", "dup2", "pipe2",
)  # fmt: skip

#: At these a command of the scheduler is under way, which goes on by itself; so where it is then matters, too.
_MEANWHILE = ("read", "close")

#: What a call touches, by what is found in its line of the trace; the first that fits.
_TOUCHES = (
    ("journal", re.compile(r"events\.db-journal")),
    ("log", re.compile(r"events\.db")),
    ("inbox", re.compile(r"\.maestro-es/inbox")),
    ("claim", re.compile(r"\.claim\.")),
    ("lock", re.compile(r"\.maestro-es/[a-z]+\.lock")),
    ("status", re.compile(r"status\.csv|\.status\.lock|last-tick")),
    ("scheduler", re.compile(r"^(vfork|clone3?|wait4|poll|pipe2|dup2|kill)\(|<pipe:|<(UNIX|socket):")),
)
TOUCHED = (*(name for name, _ in _TOUCHES), "workspace")
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_NEW_THREAD = re.compile(r"CLONE_THREAD.* = (\d+)$")
_RESUMED_THREAD = re.compile(r"(\d+) +<\.\.\. clone3? resumed>.* = (\d+)$")


class Point(NamedTuple):
    """A moment in the life of a process: on entry to its N-th call of a kind, which `touches` something."""

    call: str
    number: int
    touches: str
    changes: bool = True


def read_trace(text: str, pid: str, root: str) -> list[Point]:
    """Return the calls of one process in a trace, in order; each of its threads counts for itself."""
    ours = threads(text, pid)
    counts: Counter[tuple[str, str]] = Counter()
    points = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and found[1] in ours:
            counts[found[1], found[2]] += 1
            points.append(_point(found[2], counts[found[1], found[2]], found[3], root))
    return points


def threads(text: str, pid: str) -> set[str]:
    """Return the thread ids of a process: its children have other lines of the trace."""
    ours = {pid}
    pending: set[str] = set()
    for line in text.splitlines():
        maker = line.split(" ", 1)[0]
        if maker in ours and "CLONE_THREAD" in line:
            made = _NEW_THREAD.search(line)
            if made:
                ours.add(made[1])
            else:
                pending.add(maker)
        resumed = _RESUMED_THREAD.match(line) if maker in pending else None
        if resumed:
            pending.discard(maker)
            ours.add(resumed[2])
    return ours


def _point(call: str, number: int, arguments: str, root: str) -> Point:
    what = touches(f"{call}({arguments}", root)
    looks = call in LOOKS or (call == "openat" and not re.search("O_CREAT|O_TRUNC", arguments))
    return Point(call, number, what, changes=not looks or (what == "scheduler" and call in _MEANWHILE))


def touches(call: str, root: str) -> str:
    """Return what a call touches; empty if it is nothing of the study: a module that is imported, a library."""
    for name, pattern in _TOUCHES:
        if pattern.search(call):
            return name
    return "workspace" if root in call else ""
