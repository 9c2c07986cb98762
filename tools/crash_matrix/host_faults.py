"""Faults of the login node, and of the files that it shares with the cluster."""

from __future__ import annotations

import os
import signal
import time
import uuid
from dataclasses import replace

from maestro_es.adapters import process
from maestro_es.core.model import Phase, State, StepRecord
from maestro_es.drivers.cron_tick import TRY_AGAIN
from tools.crash_matrix import ticks
from tools.crash_matrix.ticks import GRACE
from tools.crash_matrix.trial import Trial
from tools.testbed.processes import arguments, running_under, send


def ticks_at_once(trial: Trial) -> None:
    """Run three ticks at the same time, without the lock."""
    trial.create()
    how = replace(trial.how, lock=False)
    while trial.running():
        pids = []
        for _ in range(3):
            pids.append(ticks.start(trial.root, how))
            time.sleep(trial.dice.choice((0, 0, 0.005, 0.03)))
        codes = [ticks.wait(pid) for pid in pids]
        assert set(codes) <= {0, TRY_AGAIN, ticks.LOST_RACE}, codes
        trial.hit()
        time.sleep(0.02)


def ticks_overlap(trial: Trial) -> None:
    """Start one tick after the other as cron does, with the lock.

    Earlier ticks may have ended, may still run, or may hang.
    """
    trial.create()
    going: list[int] = []
    while trial.running():
        going = [pid for pid in going if _goes_on(pid)]
        if len(going) < 6:
            if going:
                trial.hit()
            going.append(ticks.start(trial.root, trial.how))
            hangs = trial.dice.random() < 0.1
            time.sleep(trial.dice.uniform(0, 0.05))
            if hangs:  # it may hold a lock on the log, and then this process would hang too and could not continue it
                os.kill(going[-1], signal.SIGSTOP)
                trial.background("sh", "-c", f"sleep 0.5; kill -CONT {going[-1]}")
        time.sleep(0.02)
    while going:
        going = [pid for pid in going if _goes_on(pid)]
        time.sleep(0.02)


def _goes_on(pid: int) -> bool:
    """Return whether a tick has not ended yet."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    assert not ended or os.waitstatus_to_exitcode(status) in (0, TRY_AGAIN)
    return not ended


def frozen(trial: Trial) -> None:
    """Freeze a tick after an effect. Other ticks run until the grace time is over. Then the frozen tick continues."""
    trial.create()
    others = replace(trial.how, lock=False)
    while trial.running():
        effect = trial.dice.choice(("append", "script", "script", "submit"))
        pid = ticks.start(trial.root, replace(trial.how, freeze_after=effect, side_by_side=False))
        if not _is_stopped(pid):
            continue
        if any(step.phase is Phase.REQUESTED for step in trial.in_flight()):
            trial.hit(f"after {effect}")
        end = time.monotonic() + GRACE * trial.dice.choice((0.5, 2, 4))
        while time.monotonic() < end:
            trial.tick(others)
            time.sleep(0.05)
        os.kill(pid, signal.SIGCONT)
        code = ticks.wait(pid)
        assert code in (0, 1, TRY_AGAIN), code


def _is_stopped(pid: int) -> bool:
    """Wait until a tick is frozen or has ended. Returns whether it is frozen."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    return os.WIFSTOPPED(status)


def reboot(trial: Trial) -> None:
    """Kill all processes of the login node in the middle of a tick, and change its boot id."""
    trial.create()

    def between() -> None:
        if trial.tried > 4 or trial.dice.random() > 0.12:
            return
        pid = ticks.start(trial.root, trial.how)
        time.sleep(trial.dice.uniform(0, 0.1))
        ticks.kill(pid)
        for _ in range(2):
            for local in _on_the_login_node(trial):
                send(local, signal.SIGKILL)
        boot_id = trial.folder / f"boot-{trial.tried}"
        boot_id.write_text(f"{uuid.UUID(int=trial.dice.getrandbits(128))}\n")
        trial.how = replace(trial.how, boot_id=boot_id)
        trial.hit()

    trial.drive(between)


def _on_the_login_node(trial: Trial) -> list[int]:
    """Return the processes of the study that do not belong to Slurm."""
    found = []
    for pid in running_under(trial.root):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                scheduled = b"SLURM_JOB_ID=" in file.read()
            with open(f"/proc/{pid}/comm") as file:
                scheduled = scheduled or file.read().startswith("slurm")
        except OSError:
            continue
        if not scheduled:
            found.append(pid)
    return found


def local_runner_killed(trial: Trial) -> None:
    """Kill runners of local steps. The processes that they have started continue."""
    trial.create()

    def between() -> None:
        for step in trial.in_flight():
            here = not step.scheduled and step.phase is Phase.SUBMITTED and step.attempt < 4
            if here and trial.dice.random() < 0.2 and step.token.encode() in arguments(int(step.job_id)):
                send(int(step.job_id), signal.SIGKILL)
                trial.hit()

    trial.drive(between)


#: The system calls by which a tick queries the host about local steps, with their files.
_QUESTIONS = [
    (path, call)
    for path, calls in {
        "/proc/{pid}/cmdline": "openat read", "/proc/{pid}/stat": "openat read", "/proc/{pid}/environ": "openat read",
        "/proc/{pid}/task": "openat getdents64", "/proc/{pid}": "newfstatat", "/proc": "openat getdents64",
        "/proc/self": "readlink", "/proc/self/ns/pid": "newfstatat", "/proc/sys/kernel/random/boot_id": "openat read",
    }.items()
    for call in calls.split()
]  # fmt: skip
_ERRORS = ("ENFILE", "EMFILE", "ENOMEM", "EIO", "EACCES")


def host_error(trial: Trial) -> None:
    """Let the host answer with an error when a tick queries a local step.

    The runner of the step may have been killed.
    """
    trial.create()
    note = trial.folder / "trace"

    def between() -> None:
        here = [step for step in trial.in_flight() if not step.scheduled and step.phase is Phase.SUBMITTED]
        if not here:
            return
        victim = trial.dice.choice(here)
        pids = process.session_members(int(victim.job_id))
        if victim.attempt < 4 and trial.dice.random() < 0.3 and victim.token.encode() in arguments(int(victim.job_id)):
            send(int(victim.job_id), signal.SIGKILL)
        path, call = trial.dice.choice(_QUESTIONS)
        error, when = trial.dice.choice(_ERRORS), trial.dice.choice(("1", "1+"))
        only = [word for pid in pids for word in ("-P", path.format(pid=pid))]
        options = [*only, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
        code, _ = ticks.trace(trial.root, trial.how, note, options)
        assert code in (0, TRY_AGAIN), f"{code} after {error} of {call} on {path}"
        if "(INJECTED)" in note.read_text(errors="replace"):
            trial.hit(f"{path}: {call}")

    trial.drive(between)


def job_runner_killed(trial: Trial) -> None:
    """Kill the runner of one job. Slurm reports FAILED, so the step and the steps that depend on it must fail."""
    trial.create()

    def between() -> None:
        spared = {"slow", *trial.expected}  # Slurm would not end this job
        running = [step for step in trial.jobs() if step.name not in spared]
        if trial.tried > 5 or not running or trial.dice.random() > 0.5:
            return
        victim = trial.dice.choice(running)
        for pid in _runners(trial, victim):
            send(pid, signal.SIGKILL)
            trial.hit()
            trial.expect(victim.name, State.FAILED)

    trial.drive(between)


def _runners(trial: Trial, step: StepRecord) -> list[int]:
    """Return the process of a job's runner. Slurm runs a copy of the file, with the same arguments."""
    return [pid for pid in running_under(trial.root) if step.token.encode() in arguments(pid)][:1]


def report_lost(trial: Trial) -> None:
    """Remove reports before a tick can read them."""
    trial.create()

    def between() -> None:
        time.sleep(0.3)  # until there are some
        for report in trial.dir.inbox.glob("*.exit.*"):
            if trial.dice.random() < 0.5:
                report.unlink()
                trial.hit()

    trial.drive(between)
