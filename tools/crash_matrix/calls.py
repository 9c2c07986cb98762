"""Reads the system calls of a tick from a trace, with the files that they touch and whether they change anything.

If a process is killed on entry to a call, all earlier calls are complete and no later call has begun. So the state
after the kill depends only on the earlier calls that *change* something outside the process. A kill at a call that
only reads leaves the same state as a kill at the next change. The matrix tests both kinds and counts them separately.
The first kind proves the promise, and the second confirms this reasoning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

#: Calls that touch nothing outside their process, such as memory, signals, time, its ids and file positions.
HARMLESS = (
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex", "set_robust_list", "rseq", "rt_sigprocmask",
    "rt_sigaction", "rt_sigreturn", "sigaltstack", "prlimit64", "clock_nanosleep", "sched_getaffinity", "sched_yield",
    "uname", "getrandom", "getpid", "gettid", "geteuid", "getuid", "getcwd", "sysinfo", "lseek", "ioctl", "exit",
    "exit_group",
)  # fmt: skip
#: Calls without an effect after the death of their process, such as locks. An `openat` that creates no file is one,
#: too. Any other call counts as a change.
LOOKS = (
    "newfstatat", "fstat", "statx", "read", "pread64", "readlink", "getdents64", "access", "faccessat2", "fcntl",
    "flock", "close", "dup", "dup2", "pipe2",
)  # fmt: skip

#: During these calls a command of the scheduler runs and continues by itself. So its progress matters, too.
_MEANWHILE = ("read", "close")

JOURNAL = "journal"
#: The kind of file that a call touches, by a text in its line of the trace. The first match counts.
_TOUCHES = (
    (JOURNAL, re.compile(r"events\.db-journal")),
    ("log", re.compile(r"events\.db")),
    ("inbox", re.compile(r"\.maestro-es/inbox")),
    ("claim", re.compile(r"\.claim\.")),
    ("lock", re.compile(r"\.maestro-es/[a-z]+\.lock")),
    ("status", re.compile(r"status\.csv|\.status\.lock|last-tick|status-blocks")),
    ("scheduler", re.compile(r"^(vfork|clone3?|wait4|poll|pipe2|dup2|kill)\(|<pipe:|<(UNIX|socket):")),
)
#: The calls of a command that submits.
CLIENT = "client"
TOUCHED = (*(name for name, _ in _TOUCHES), "workspace", CLIENT)
_LINE = re.compile(r"(\w+)\((.*)")
_EFFECT = re.compile(r"kill\(\d+, 0\)")


@dataclass(frozen=True)
class Point:
    """A moment in a tick: the entry to the N-th `call` that `touches` a kind of file, after `since` effects.

    `when` is the number of the call among all calls of that name since then, as strace counts them. For the journal,
    strace counts only calls on this file. `when` depends on other things, such as the number of processes on the host.
    So it does not identify the call.
    """

    call: str
    number: int
    touches: str
    changes: bool = True
    since: int = 0
    when: int = field(default=0, compare=False)


class Call(NamedTuple):
    """A call in a trace, and its number among all calls of that name since the trace began."""

    point: Point
    raw: int


def read_trace(lines: Iterable[str], root: str, since: int = 0) -> list[Call]:
    """Return the calls of a process in order. The trace begins after `since` effects.

    In the trace, an effect is a signal 0 that the process sends to itself. After an effect, points are counted from
    one again.
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
    """Return the kind of file that a call touches, and whether it changes anything."""
    what = touches(f"{call}({arguments}", root)
    looks = call in LOOKS or (call == "openat" and not re.search("O_CREAT|O_TRUNC", arguments))
    return what, not looks or (what == "scheduler" and call in _MEANWHILE)


def touches(call: str, root: str) -> str:
    """Return the kind of file that a call touches.

    Empty if the file is not one of the study, but for example a library.
    """
    for name, pattern in _TOUCHES:
        if pattern.search(call):
            return name
    return "workspace" if root in call else ""
