"""Starts processes that outlive the tick, and finds out about running processes.

A process id alone does not identify a process, because it is reused. So the host, its boot id, and a unique argument
(the token of an attempt) are also compared. On Linux the facts come from ``/proc``, on other systems from ``ps``. A
system error proves nothing, so it is raised as `Unreachable`.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # `signal` is slow to import
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from maestro_es.adapters import proc
from maestro_es.adapters.command import run, start_process
from maestro_es.adapters.schedulers import job_around, jobs_like, outside_of
from maestro_es.core.environment import Environment
from maestro_es.core.model import Micros
from maestro_es.core.scheduler_facts import JobEnvironment
from maestro_es.errors import Unreachable
from maestro_es.sha256 import short_digest

#: The time limit of a question about a job, in seconds.
_PATIENCE = 30.0

_MACHINE_ID = 64
_GPUS = "/proc/driver/nvidia/gpus"
_STATE, _SESSION = 0, 3  # fields of /proc/PID/stat behind the command's name; see proc(5)


class Host(NamedTuple):
    """This host: its name, an id that changes with every boot, and the number of usable cores.

    `environment` is the environment of the study's steps, which has priority over that of this process. `namespace`
    identifies the PID namespace (empty: the first namespace of a host). `machine` distinguishes hosts with the same
    name (empty: unknown). `booted_at` is the time of the boot (0: unknown). `job` is the surrounding job,
    ``SCHEDULER:ID`` (empty: there is none). `trouble` says why the boot id can't be read. In this case nothing can be
    concluded about processes. `memory` is the size of the host's memory in megabytes, and `gpus` the number of its
    GPUs (0: unknown). `cpus` is a mask of the usable cores (0: unknown).
    """

    name: str
    boot_id: str
    cores: int
    environment: Environment = Environment()
    namespace: str = ""
    machine: str = ""
    booted_at: Micros = 0
    trouble: str = ""
    job: str = ""
    memory: int = 0
    gpus: int = 0
    cpus: int = 0


def this_host() -> Host:
    """Return this host."""
    return _this_host()._replace(memory=_memory(), gpus=_gpus(), cpus=proc.cpus_of(0))


def _this_host() -> Host:
    name = os.uname().nodename
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        if sys.platform == "linux":
            return Host(
                name, proc.boot_id(), cores, Environment(), proc.pid_namespace(), *_machine(), job=job_around()
            )
        return Host(name, _ask("sysctl", "-n", "kern.bootsessionuuid").strip(), cores, job=job_around())
    except Unreachable as error:
        return Host(name, "", cores, trouble=str(error), job=job_around())


def _machine() -> tuple[str, Micros]:
    """Return an id that distinguishes this host from others with the same name, and the time of its last boot.

    The machine id is confidential, so it is hashed, as machine-id(5) requires. Diskless hosts get a new one at each
    boot. So a machine id that is younger than the boot is not used.
    """
    booted_at = (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1000
    try:
        with open("/etc/machine-id", "rb") as file:
            young = os.fstat(file.fileno()).st_mtime_ns // 1000 >= booted_at
            text = file.read(_MACHINE_ID).strip()
    except OSError:
        return "", booted_at
    return ("" if young or not text else short_digest(b"maestro-es " + text)[:16]), booted_at


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        return 0


def _gpus() -> int:
    """Return the number of GPUs that Nvidia's driver lists, or that CUDA_VISIBLE_DEVICES names."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([*filter(str.strip, visible.split(","))])
    try:
        return len(os.listdir(_GPUS))
    except OSError:
        return 0


#: The processes that `spawn` started, with their arguments.
_spawned: dict[int, tuple[str, ...]] = {}


def spawn(argv: Sequence[str], env: Mapping[str, str], inherited: Environment | None = None) -> tuple[int, int]:
    """Start a process in its own session, without a terminal. Don't wait for it.

    Returns its process id, and a file descriptor for its standard input, which the caller must close. Its output is
    lost. For `inherited` see `start_process`.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    its_end, our_end = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((its_end, null, null))]
        pid = start_process(argv, env, actions, session=True, inherited=inherited)
    except OSError:
        os.close(our_end)
        raise
    finally:
        os.close(null)
        os.close(its_end)
    _spawned[pid] = tuple(argv)
    try:
        _wait_for_arguments(pid, argv[-1])
    except Unreachable:
        os.close(our_end)
        raise
    return pid, our_end


def spawn_piped(
    argv: Sequence[str], env: Mapping[str, str], inherited: Environment | None = None
) -> tuple[int, int, int]:
    """Start a process in its own session, and return its id, its standard input and its standard output.

    The caller must close both, and `reap` collects the process. Its errors are part of its output.
    """
    (its_input, our_end), (our_output, its_output) = os.pipe(), os.pipe()
    try:
        ends = (its_input, its_output, its_output)
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(ends)]
        pid = start_process(argv, env, actions, session=True, inherited=inherited)
    except OSError:
        os.close(our_end)
        os.close(our_output)
        raise
    finally:
        for end in (its_input, its_output):
            os.close(end)
    return pid, our_end, our_output


def _wait_for_arguments(pid: int, last: str) -> None:
    """Wait until /proc shows the arguments of a process, which identify it.

    On Linux, `posix_spawn` returns before /proc shows them. Until then, /proc shows the arguments of the parent, or
    none. With Linux 6.18, this happened to half of the processes. Without the wait, they would count as gone.
    """
    end = time.monotonic() + 1
    while sys.platform == "linux" and not is_running(pid, last) and time.monotonic() < end:
        if proc.stat(pid)[: _STATE + 1] in ([], ["Z"]):
            return
        os.sched_yield()


class Used(NamedTuple):
    """A process that has ended, with its CPU time in microseconds and its peak memory in bytes.

    Both include its descendants. Linux also counts the memory that it shared with its parent before its program ran.
    So `memory` is None (unknown) if the parent used as much.
    """

    argv: tuple[str, ...]
    cpu: int
    memory: int | None


#: The processes that have ended, and that `take_ended` has not returned.
_ended: list[Used] = []


def reap() -> int:
    """Collect the processes that `spawn` started and that have ended. Returns their number."""
    before = len(_spawned)
    for pid in list(_spawned):
        try:
            ended, _, used = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            del _spawned[pid]
            continue
        if ended:
            cpu = int((used.ru_utime + used.ru_stime) * 1e6)
            _ended.append(Used(_spawned.pop(pid), cpu, _memory_of(used.ru_maxrss)))
    return before - len(_spawned)


def unreaped(tokens: AbstractSet[str]) -> int:
    """Return how many processes that `spawn` started were not reaped, and have none of these tokens as arguments."""
    return sum(tokens.isdisjoint(argv) for argv in _spawned.values())


def _memory_of(largest: int) -> int | None:
    if sys.platform == "darwin":
        return largest
    return largest * 1024 if largest > proc.peak_memory() else None


def reap_all(seconds: float) -> bool:
    """Wait for all processes that `spawn` started, but not longer than this. Returns whether any has ended.

    Use this only if all these processes are about to end.
    """
    end = time.monotonic() + seconds
    while _spawned and not reap() and time.monotonic() < end:
        time.sleep(0.01)
    reap()
    return bool(_ended)


def take_ended() -> list[Used]:
    """Return the processes whose end `reap` has seen since the last call."""
    taken = _ended[:]
    _ended.clear()
    return taken


def is_running(pid: int, word: str) -> bool:
    """Return whether a process is running and has this word among its arguments. An ended process has no arguments."""
    if sys.platform == "linux":
        return word.encode() in proc.strings(pid, "cmdline")
    return word in _ask("ps", "-o", "command=", "-p", str(pid)).split()


def session_members(session: int) -> list[int]:
    """Return the running processes of a session."""
    if sys.platform != "linux":
        listed = _ask("ps", "-A", "-o", "pid=", "-o", "sess=", "-o", "stat=").split("\n")
        rows = [line.split() for line in listed if line.strip()]
        return [int(pid) for pid, member_of, state in rows if member_of == str(session) and state[0] != "Z"]
    stats = ((pid, proc.stat(pid)) for pid in proc.pids())
    members = [(pid, stat[_STATE]) for pid, stat in stats if stat and stat[_SESSION] == str(session)]
    return [pid for pid, state in members if state not in "ZX" or proc.other_threads(pid)]


class Running(NamedTuple):
    """A running process: its id, its arguments, and its current directory (empty: unknown)."""

    pid: int
    arguments: tuple[str, ...]
    folder: str


def of_this_user() -> Iterator[Running]:
    """Yield the processes of this user, except this one."""
    if sys.platform != "linux":
        for line in _ask("ps", "-x", "-o", "pid=", "-o", "command=").splitlines():
            pid, _, command = line.strip().partition(" ")
            if int(pid) != os.getpid():
                yield Running(int(pid), tuple(command.split()), "")
        return
    for number in proc.pids():
        if number != os.getpid() and proc.owner(number) == os.geteuid():
            argv = [word.decode(errors="surrogateescape") for word in proc.strings(number, "cmdline")]
            yield Running(number, tuple(argv[:-1]), proc.folder(number))


def has_open(pid: int, folder: str) -> bool:
    """Return whether a process has a file open in or below a directory.

    Only Linux shows this. Elsewhere the result is False.
    """
    return sys.platform == "linux" and any(path.startswith(f"{folder}/") for path in proc.open_files(pid))


def has_lost(pid: int, path: str) -> bool:
    """Return whether a process still has a file open that was removed from this path. Only Linux shows this."""
    return sys.platform == "linux" and f"{path} (deleted)" in proc.open_files(pid)


def is_marked(pid: int, word: str, variable: str) -> bool:
    """Return whether a process has this word among its arguments, or as the value of a variable in its environment."""
    if sys.platform != "linux":
        return is_running(pid, word)
    if word.encode() in proc.strings(pid, "cmdline"):
        return True
    return f"{variable}={word}".encode() in proc.strings(pid, "environ")


def marked(word: str, variable: str) -> list[int]:
    """Return the processes of this user for which `is_marked` returns True. This process is left out."""
    if sys.platform != "linux":
        return [running.pid for running in of_this_user() if word in running.arguments]
    ours = (pid for pid in proc.pids() if pid != os.getpid() and proc.owner(pid) == os.geteuid())
    return [pid for pid in ours if is_marked(pid, word, variable)]


def carriers(word: str, variable: str) -> list[int]:
    """Return the processes of this user whose environment has the variable with this value.

    This process is left out. Only Linux shows environments. A process that has cleared its environment is not found.
    """
    if sys.platform != "linux":
        return []
    text = f"{variable}={word}".encode()
    ours = (pid for pid in proc.pids() if pid != os.getpid() and proc.owner(pid) == os.geteuid())
    return [pid for pid in ours if proc.carries(pid, text)]


def _ask(*argv: str) -> str:
    """Return the output of a system program. Unreachable if it fails. Finding nothing is not a failure."""
    try:
        done = run(argv)
    except OSError as error:
        raise Unreachable(f"this host does not answer: {argv[0]}: {error.strerror}") from None
    if done.code not in (0, 1) or (done.code and (done.err or done.out)):
        message = " ".join(done.err.split()) or f"exit code {done.code}"
        raise Unreachable(f"this host does not answer: {argv[0]}: {message}")
    return done.out


def is_true(question: str, job: str, host: Host) -> bool:
    """Ask the scheduler of the study a question of `schedulers` about a job.

    Its settings may lead elsewhere by now, so the command also gets those of this process, as ``OUR_NAME``.
    """
    ours, settings = outside_of(host.job), (jobs_like(job) or JobEnvironment()).settings
    own = {f"OUR_{name}": ours[name] for name in settings if name in ours}
    environment = {**ours, **host.environment.variables, **own}
    return not run(["/bin/sh", "-c", question], timeout=_PATIENCE, env=environment).code


def terminate_group(leader: int) -> None:
    """Send SIGTERM to the process group of a session leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGTERM)


def kill(pids: Sequence[int]) -> list[int]:
    """Kill processes. Returns those that can't be killed because they run as another user."""
    others = []
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            others.append(pid)
    return others
