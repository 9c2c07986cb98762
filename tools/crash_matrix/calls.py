"""System calls of a tick: which there are, what they touch, and which of them change anything.

A process that is killed on entry to a call has done all that comes before it and nothing of what comes after. So what
it leaves behind depends only on the calls before that *change* something that outlives it; a kill at a call that only
looks leaves what a kill at the next change does. Both are tried, and counted apart: the first kind is the proof, the
second says that this reasoning is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
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

JOURNAL = "journal"
#: What a call touches, by what is found in its line of the trace; the first that fits.
_TOUCHES = (
    (JOURNAL, re.compile(r"events\.db-journal")),
    ("log", re.compile(r"events\.db")),
    ("inbox", re.compile(r"\.maestro-es/inbox")),
    ("claim", re.compile(r"\.claim\.")),
    ("lock", re.compile(r"\.maestro-es/[a-z]+\.lock")),
    ("status", re.compile(r"status\.csv|\.status\.lock|last-tick|status-blocks")),
    ("scheduler", re.compile(r"^(vfork|clone3?|wait4|poll|pipe2|dup2|kill)\(|<pipe:|<(UNIX|socket):")),
)
#: The calls of sbatch itself, which has no scenes, but is one of its own.
SBATCH = "sbatch"
TOUCHED = (*(name for name, _ in _TOUCHES), "workspace", SBATCH)
_LINE = re.compile(r"(\w+)\((.*)")
_EFFECT = re.compile(r"kill\(\d+, 0\)")


@dataclass(frozen=True)
class Point:
    """A moment in a tick: on entry to the N-th `call` that `touches` this, after so many effects (`since`).

    `when` is its number among all calls of that name since then, which is what strace counts; of the journal, which
    strace can tell from other files, among those of the journal. It depends on what else there is, such as how many
    processes a tick looks through; so it does not say which call it is.
    """

    call: str
    number: int
    touches: str
    changes: bool = True
    since: int = 0
    when: int = field(default=0, compare=False)


class Call(NamedTuple):
    """A call of a trace, and its number among all of that name since the trace began."""

    point: Point
    raw: int


def read_trace(lines: Iterable[str], root: str, since: int = 0) -> list[Call]:
    """Return the calls of a process in a trace that begins after so many effects, in order.

    After an effect, which shows as a signal 0 to itself, points count from one again.
    """
    raw: Counter[str] = Counter()
    counts: Counter[tuple[object, ...]] = Counter()
    calls = []
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        call, arguments = found.groups()
        raw[call] += 1
        if _EFFECT.match(line):
            since += 1
            counts.clear()
            continue
        what, changes = _kind(call, arguments, root)
        counted = (call, what == JOURNAL)
        for key in ((call,), counted, (call, what, changes)):
            counts[key] += 1
        when = counts[counted if what == JOURNAL else (call,)]
        calls.append(Call(Point(call, counts[call, what, changes], what, changes, since, when), raw[call]))
    return calls


def _kind(call: str, arguments: str, root: str) -> tuple[str, bool]:
    """Return what a call touches, and whether it changes anything."""
    what = touches(f"{call}({arguments}", root)
    looks = call in LOOKS or (call == "openat" and not re.search("O_CREAT|O_TRUNC", arguments))
    return what, not looks or (what == "scheduler" and call in _MEANWHILE)


def touches(call: str, root: str) -> str:
    """Return what a call touches; empty if it is nothing of the study: a module that is imported, a library."""
    for name, pattern in _TOUCHES:
        if pattern.search(call):
            return name
    return "workspace" if root in call else ""
