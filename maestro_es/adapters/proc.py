"""Reads ``/proc`` about processes, and distinguishes an answer from an error.

A missing file or process (ENOENT, ESRCH) means that the process is gone. Any other error is a system error: the host
has run out of files or memory, or denies access. Such an error proves nothing, so it is raised as `Unreachable`. The
same happens if ``/proc`` is not mounted, or shows the process ids of another namespace.
"""

from __future__ import annotations

import errno
import os
import time

from maestro_es.errors import Unreachable

_GONE = (errno.ENOENT, errno.ESRCH)
_DENIED = (errno.EACCES, errno.EPERM)

#: The inode of the first PID namespace of a host: PROC_PID_INIT_INO in Linux's source.
_FIRST_NAMESPACE = 0xEFFFFFFC

#: The flags of a process among the fields of `stat`, and two of them: PF_EXITING and PF_KTHREAD in Linux's source.
_FLAGS, _EXITING, _KERNEL_THREAD = 6, 0x4, 0x200000

#: How long a process may take to start a program.
_EXEC_SECONDS = 1

#: After this many readings that find one file of a process empty and the other not, the first counts as empty.
_READINGS = 3


def boot_id() -> str:
    """Return the id that the kernel generated when it booted."""
    path = "/proc/sys/kernel/random/boot_id"
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        raise _no_answer(path, error) from None


def pid_namespace() -> str:
    """Return an id of this process's PID namespace (empty: the first namespace of a host)."""
    path = "/proc/self/ns/pid"
    try:
        inode = os.stat(path).st_ino
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise _no_answer(path, error) from None
        check()
        return ""  # the kernel has no namespaces
    return "" if inode == _FIRST_NAMESPACE else str(inode)


def peak_memory() -> int:
    """Return the largest resident memory of this process since its program started, in KiB (0: unknown).

    `getrusage` also counts the memory of the process that started this one.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            peaks = [line for line in file if line.startswith(b"VmHWM:")]
    except OSError:
        return 0
    return int(peaks[0].split()[1]) if peaks else 0


def check() -> None:
    """Check that ``/proc`` is mounted and shows our process ids. Only then does a missing entry prove anything."""
    try:
        shown = os.readlink("/proc/self")
    except OSError as error:
        raise _no_answer("/proc/self", error) from None
    if shown != str(os.getpid()):
        raise Unreachable("/proc shows the processes of another PID namespace; mount one of this namespace there")


def pids() -> list[int]:
    """Return the ids of all visible processes."""
    check()
    try:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError as error:
        raise _no_answer("/proc", error) from None


def carries(pid: int, text: bytes) -> bool:
    """Return whether a process has a string in its environment (False: it is gone, or denies access)."""
    path = f"/proc/{pid}/environ"
    try:
        with open(path, "rb") as file:
            environment = file.read()
    except OSError as error:
        if error.errno not in (*_GONE, *_DENIED):
            raise _no_answer(path, error) from None
        return False
    return text in (environment.split(b"\0") if environment else strings(pid, "environ"))


def stat(pid: int) -> list[str]:
    """Return the fields after the command's name in a process's stat; see proc(5). Empty if the process is gone."""
    return _read(pid, f"{pid}/stat").decode(errors="replace").rpartition(")")[2].split()


def arguments(pid: int) -> list[bytes]:
    """Return what ``cmdline`` of a process shows now. Don't wait for a process that is starting a program."""
    return _read(pid, f"{pid}/cmdline").split(b"\0")


def strings(pid: int, name: str) -> list[bytes]:
    """Return the content of ``cmdline`` or ``environ`` of a process.

    If its first thread has ended, another thread is read.

    Both files are empty for a moment while a process starts another program. This function waits until they are not.
    If only one file is empty, the process has no such strings, or it keeps starting other programs. So both files are
    read again.
    """
    end, shown = time.monotonic() + _EXEC_SECONDS, 0
    while not (text := _read_any(pid, name)) and shown < _READINGS and _may_start_program(pid):
        shown = shown + 1 if any(_read_any(pid, each) for each in ("cmdline", "environ")) else 0
        if time.monotonic() > end:
            raise Unreachable(f"this host does not answer: process {pid} has shown no arguments for a second")
        os.sched_yield()
    return text.split(b"\0")


def _read_any(pid: int, name: str) -> bytes:
    """Return the content of a file of a process, or of the first of its threads that shows it."""
    text = _read(pid, f"{pid}/{name}")
    for thread in () if text else other_threads(pid):
        text = text or _read(pid, f"{pid}/task/{thread}/{name}")
    return text


def _may_start_program(pid: int) -> bool:
    """Return whether a process of this user is alive, and not ending."""
    fields = stat(pid)
    return (
        bool(fields)
        and fields[0] not in "ZX"
        and not int(fields[_FLAGS]) & (_EXITING | _KERNEL_THREAD)
        and _is_ours(pid)
    )


def other_threads(pid: int) -> list[str]:
    """Return the other threads of a process. If the first thread ends before them, the process looks like a zombie."""
    path = f"/proc/{pid}/task"
    try:
        threads = os.listdir(path)
    except OSError as error:
        _judge(pid, path, error)
        return []
    return [thread for thread in threads if thread != str(pid)]


def owner(pid: int) -> int | None:
    """Return the user of a process (None: it is gone). Processes that deny access belong to root."""
    path = f"/proc/{pid}"
    try:
        return os.stat(path).st_uid
    except OSError as error:
        if error.errno not in _GONE:
            raise _no_answer(path, error) from None
        return None


def cpus_of(pid: int) -> int:
    """Return a mask of the cores that a process may use, 0 for this process (0: unknown, or the process is gone)."""
    try:
        return sum(1 << cpu for cpu in os.sched_getaffinity(pid))
    except (AttributeError, OSError):  # AttributeError: not Linux
        return 0


def folder(pid: int) -> str:
    """Return the current directory of a process (empty: it is gone, or denies access)."""
    path = f"/proc/{pid}/cwd"
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno not in (*_GONE, *_DENIED):
            raise _no_answer(path, error) from None
        return ""


def open_files(pid: int) -> list[str]:
    """Return the paths of a process's open files (empty: it is gone, or denies access)."""
    path = f"/proc/{pid}/fd"
    paths = []
    try:
        for entry in os.listdir(path):
            try:
                paths.append(os.readlink(f"{path}/{entry}"))
            except FileNotFoundError:
                continue  # the process has closed this file
    except OSError as error:
        if error.errno not in (*_GONE, *_DENIED):
            raise _no_answer(path, error) from None
    return paths


def _read(pid: int, name: str) -> bytes:
    """Return the content of a file of a process (empty: the process is gone)."""
    path = f"/proc/{name}"
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        _judge(pid, path, error)
        return b""


def _judge(pid: int, path: str, error: OSError) -> None:
    """Raise Unreachable, unless the error means that the process does not exist, or that it belongs to another user.

    With ``hidepid`` the system denies access to processes of other users. But an access error proves that a process
    belongs to another user only if sending a signal is not allowed either.
    """
    if error.errno in _GONE:
        check()
    elif error.errno not in _DENIED or _is_ours(pid):
        raise _no_answer(path, error) from None


def _is_ours(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _no_answer(path: str, error: OSError) -> Unreachable:
    hint = "; is /proc mounted?" if error.errno == errno.ENOENT else ""
    return Unreachable(f"this host does not answer: {path}: {error.strerror}{hint}")
