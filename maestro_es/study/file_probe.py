"""Probes whether the guarantees of maestro-es hold on a file system, with several processes at once.

A claim needs this: of several processes that create one symbolic link, exactly one succeeds. The log and the tick lock
need locks that exclude other processes, and small files need a rename that never shows an incomplete file. All
processes run on this host. What another host sees depends on the options of the mount.

This file is also the program of these processes. So it imports nothing of maestro-es when it is loaded.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

#: How the names of a probe's files and directories begin.
PROBE = ".probe-of-maestro-es."

#: The number of processes, how many times each of them does everything, and their time limit in seconds.
_PROCESSES, _ROUNDS, _PATIENCE = 4, 25, 60.0

#: How long the processes wait for each other at their start, in seconds.
_MEETING = 10.0

#: The content of the file that is renamed. It is long enough to notice an incomplete file.
_LINE = b"0123456789" * 500

#: Types of file systems that keep files in memory, and options with which a lock holds on one host only.
_IN_MEMORY = ("tmpfs", "ramfs")
_LOCAL_LOCKS = ("nolock", "local_lock=all", "local_lock=posix", "localflock", "nobrl")


class Mount(NamedTuple):
    """A mounted file system: its type, its options, and where it is mounted."""

    kind: str
    options: tuple[str, ...]
    point: str

    @property
    def local_locks(self) -> str:
        """The mount option that makes locks hold on this host only (empty: there is none)."""
        return next((option for option in self.options if option in _LOCAL_LOCKS), "")

    @property
    def in_memory(self) -> bool:
        """Whether a reboot deletes all files."""
        return self.kind in _IN_MEMORY


def mount_of(folder: Path, table: str) -> Mount | None:
    """Return the mount that contains a directory, from the text of /proc/self/mountinfo (None: it is unknown).

    Of several mounts in one place, the last one is visible.
    """
    best = None
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        point = Path(unescaped(fields[4]))
        if (point == folder or point in folder.parents) and len(str(point)) >= len(best.point if best else ""):
            best = Mount(more[0], (*fields[5].split(","), *more[-1].split(",")), str(point))
    return best


def unescaped(text: str) -> str:
    """Return a path from the table of mounts without its escapes."""
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text


def probe(folder: Path) -> list[str]:
    """Return what does not work in a directory. OSError if nothing can be created there."""
    import tempfile  # noqa: PLC0415 - it is slow to import

    from maestro_es.adapters.command import Command, wait  # noqa: PLC0415 - the processes import nothing of ours

    with tempfile.TemporaryDirectory(dir=folder, prefix=PROBE, ignore_cleanup_errors=True) as place_name:
        program = [sys.executable, "-I", __file__, place_name]
        running = [Command([*program, str(number)], timeout=_PATIENCE) for number in range(_PROCESSES)]
        waiting = [*running]
        while waiting:
            ended = wait(waiting)
            waiting = [command for command in waiting if command not in ended]
        answers = [command.result() for command in running]
        if any(done.code for done in answers):
            message = next(" ".join((done.err or "no answer").split()[-12:]) for done in answers if done.code)
            return [f"the probe has failed: {message}"]
        return [*_problems([done.out.split() for done in answers], Path(place_name))]


def _problems(answers: list[list[str]], folder: Path) -> Iterator[str]:
    """Yield the problems. Each process has printed its links, the incomplete files, and the two errors of locks."""
    total = _PROCESSES * _ROUNDS
    links = sum(int(answer[0]) for answer in answers)
    if links != _ROUNDS:
        yield f"{links} processes have created {_ROUNDS} symbolic links, so a step might start twice"
    if any(int(answer[1]) for answer in answers):
        yield "a file was missing or incomplete while another process replaced it by a rename"
    for index, name in ((2, "flock"), (3, "fcntl")):
        problem = next((answer[index] for answer in answers if answer[index] != "-"), "")
        if problem:
            yield f"locks ({name}) fail with {problem}"
        elif (folder / name).stat().st_size != total:
            yield f"locks ({name}) do not exclude other processes"


# -- one of the processes ---------------------------------------------------------------------------------------------


def _main(folder: str, number: str) -> None:
    os.chdir(folder)
    _meet(number)
    links = incomplete = 0
    problems = {"flock": "-", "fcntl": "-"}
    for turn in range(_ROUNDS):
        with contextlib.suppress(FileExistsError):
            os.symlink(number, f"claim.{turn}")
            links += 1
        incomplete += not _rename(number)
        for name, lock in (("flock", fcntl.flock), ("fcntl", fcntl.lockf)):
            try:
                _append_locked(name, lock)
            except OSError as error:
                problems[name] = errno.errorcode.get(error.errno or 0, "an error")
    sys.stdout.write(" ".join(map(str, (links, incomplete, *problems.values()))))


def _meet(number: str) -> None:
    """Wait until all processes have started."""
    Path(f"ready.{number}").touch()
    end = time.monotonic() + _MEETING
    while sum(name.startswith("ready.") for name in os.listdir()) < _PROCESSES and time.monotonic() < end:
        time.sleep(0.001)


def _rename(number: str) -> bool:
    """Replace a file, and return whether it is complete."""
    own = Path(f"new.{number}")
    own.write_bytes(_LINE)
    os.rename(own, "renamed")
    try:
        return Path("renamed").read_bytes() == _LINE
    except FileNotFoundError:
        return False


def _append_locked(name: str, lock: Callable[[int, int], None]) -> None:
    """Read where a file ends, and add a byte there. Two processes at once would write to the same place."""
    handle = os.open(name, os.O_RDWR | os.O_CREAT)
    try:
        lock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        time.sleep(0.0005)  # long enough for another process that is not excluded
        os.pwrite(handle, b"x", size)
    finally:
        os.close(handle)


if __name__ == "__main__":
    _main(*sys.argv[1:])
