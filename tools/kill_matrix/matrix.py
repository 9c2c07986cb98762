"""Kills ticks, and the commands that they call, on entry to their system calls, or lets these calls fail.

Each trial is a study on one shared scheduler. Its steps sign a ledger when they begin and when they end, and hold a
lock in between. Ticks drive the study to its end. Most of them are killed, or a command that they call is killed.
Afterwards the ledger is compared with the log, as by `tools/crash-matrix`.

A trial first traces ticks that are left alone, to learn which calls they make. `strace -e inject` then sends SIGKILL
on entry to the N-th call of one name. A kill counts only if its end by SIGKILL was observed. Or the call fails.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from maestro_es.adapters.registry import SCHEDULERS, find_facts
from maestro_es.core.model import StudyStatus
from maestro_es.creation.create import create_study
from maestro_es.drivers.cron_tick import TRY_AGAIN
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from maestro_es.study_file.plan import plan_study
from tools.crash_matrix import ticks
from tools.crash_matrix.calls import Point
from tools.crash_matrix.scenes import MANY
from tools.crash_matrix.study import BEGIN, END, SETTINGS, judge
from tools.crash_matrix.ticks import How
from tools.kill_matrix.clusters import SCHEDULERS as REAL
from tools.kill_matrix.real_scheduler import RealScheduler
from tools.testbed.processes import running_under

TICK, CLIENT, FAILED = "tick", "client", "failed call"

#: The limit of a trial in seconds.
_DEADLINE = 300.0

#: How many ticks in a row are attacked at most, before one is left alone.
_ATTACKS = 4

#: The calls of a tick at which it is killed: those that change something, or wait for a command.
_CALLS = (
    "write", "pwrite64", "openat", "unlink", "rename", "symlink", "link", "mkdir", "fsync", "fdatasync", "ftruncate",
    "vfork", "clone", "clone3", "poll", "read", "wait4", "memfd_create", "close", "fcntl", "newfstatat", "pidfd_open",
)  # fmt: skip

#: The calls of a command at which it is killed.
_OF_CLIENT = ("openat", "connect", "sendmsg", "sendto", "write", "read", "recvmsg", "recvfrom", "epoll_wait", "close")

#: From a few jobs on, one command submits them, if the scheduler has one.
_HOW = How(many=MANY)

#: How often a call is made before the fault, at most.
_REACH = 40

#: What happens to a command: it is killed, or its call fails.
_FAULTS = {CLIENT: "signal=KILL", FAILED: "error=EIO"}

#: A script that replaces a command. It takes the file of a point from its directory, and injects the fault there.
_CLIENT = """#!/bin/sh
here={folder}
for found in "$here"/points/{name}*; do
    IFS=: read command call fault number <"$found" || continue
    case "{name} $1-$2" in $command*) ;; *) continue ;; esac
    rm "$found" 2>/dev/null || continue
    note=$here/traces/${{found##*/}}
    export TRACER="strace -f -q -o $note -e trace=$call -e inject=$call:$fault:when=$number"
    {real} "$@"
    code=$?
    ! grep -q "INJECTED\\|killed by SIGKILL" "$note" || echo "$fault: $command" >>"$here/hit"
    [ $code != 137 ] || kill -KILL $$
    exit $code
done
exec {real} "$@"
"""


@dataclass
class Row:
    """The result of a trial: the kills, and the outcome of its study."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.error and not any(
            self.outcome[key] for key in ("lost", "doubled", "wrongly_failed", "broken", "beside")
        )


def study_file(scheduler: type[RealScheduler], ledger: Path, seconds: float = 0.3) -> str:
    """Return a study of eighteen steps: scheduled and local ones, and one that times out and is restarted.

    On Flux, some of them are nested. LSF has walltimes of whole minutes, so no step times out there.
    """
    begin, end = BEGIN.format(ledger=ledger), END.format(ledger=ledger)
    cmd = f"{begin}; sleep {seconds:g}; {end}"
    steps = []

    def add(name: str, *parents: str, command: str = cmd, nested: bool = False, **run: object) -> None:
        kinds = {"nested": nested} if scheduler.kind == "flux" and "procs" in run else {}
        keys = {"cmd": command, **({"depends": list(parents)} if parents else {}), **run, **kinds}
        steps.append(f"  - {json.dumps({'name': name, 'description': 'd', 'run': keys})}\n")

    add("pre")
    for number in range(4):
        add(f"chain{number}", f"chain{number - 1}" if number else "pre", procs=1, nested=number == 1)
    for number in range(8):
        add(f"fan{number}", "pre", procs=1, nested=number == 0)
    add("join", *(f"fan{number}" for number in range(8)), procs=2, nodes=1)
    add("side")
    slow = f"{begin}; sleep 1000" if ":" in scheduler.shortest else cmd
    add("slow", "pre", command=slow, restart=cmd, walltime=scheduler.shortest, procs=1)
    add("post", "join", "slow", "chain3", "side", procs=1)
    return f"description: {{name: matrix, description: d}}\n{scheduler.head}study:\n{''.join(steps)}"


class Trial:
    """One study, whose ticks are attacked."""

    def __init__(self, folder: Path, kind: str, seed: int) -> None:
        find_facts(kind)  # otherwise each tick loads the adapter, and those calls are counted
        [self.scheduler] = (each for each in REAL.values() if each.kind == kind)
        self.folder = folder
        self.root = folder / "study"
        self.ledger = folder / "ledger"
        self.kills: Counter[str] = Counter()
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._known: dict[str, int] = {}
        self._points = 0
        for name in ("points", "traces"):
            (folder / "bin" / name).mkdir(parents=True)
        for name in {command.partition(" ")[0] for command in self.scheduler.killed}:
            real = shutil.which(name)
            script = folder / "bin" / name
            script.write_text(_CLIENT.format(folder=folder / "bin", name=name, real=real))
            script.chmod(0o755)
        os.environ["MAESTRO_ES_HOME"] = str(folder / "home")
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"

    def create(self, seconds: float = 0.3) -> None:
        """Create the study."""
        spec = self.folder / "study.yaml"
        spec.write_text(study_file(self.scheduler, self.ledger, seconds))
        plan = plan_study(spec, SCHEDULERS, output=self.root, timestamp="", restart_limit=0)
        create_study(plan, SETTINGS, Runtime())

    def running(self) -> bool:
        """Return whether the study has not ended."""
        with Session(self.root) as study:
            return study.status is StudyStatus.RUNNING

    def tick(self) -> None:
        """Run a tick to its end."""
        code = ticks.wait(ticks.start(self.root, _HOW))
        assert code in (0, 1, TRY_AGAIN), code

    def learn(self) -> None:
        """Run a tick under a tracer, to learn how often it makes which calls."""
        _, calls = ticks.trace(self.root, _HOW, self.folder / "trace")
        for call, number in Counter(call.point.call for call in calls).items():
            self._known[call] = max(number, self._known.get(call, 0))

    def attack_tick(self) -> None:
        """Kill a tick on entry to one of its calls."""
        call = self._dice.choice([call for call in _CALLS if call in self._known])
        number = self._dice.randint(1, self._known[call])
        inject = "signal=KILL:when={when}"
        attacked = ticks.attack(self.root, _HOW, self.folder / "trace", Point(call, number, "", when=number), inject)
        assert attacked.code in (0, 1, TRY_AGAIN, -9), attacked.code
        if attacked.code < 0:
            self.kills[f"{TICK}: {call}"] += 1

    def attack_client(self) -> None:
        """Let the next command of a kind be killed on entry to one of its calls, or let that call fail."""
        command, call = self._dice.choice(self.scheduler.killed), self._dice.choice(_OF_CLIENT)
        fault = _FAULTS[self._dice.choice([CLIENT, CLIENT, FAILED])]
        point = f"{command}:{call}:{fault}:{self._dice.randint(1, _REACH)}\n"
        self._points += 1
        (self.folder / "bin" / "points" / f"{command.partition(' ')[0]}.{self._points}").write_text(point)
        self.tick()

    def drive(self) -> None:
        """Run ticks until the study has ended. Most of them, or their commands, are killed."""
        end = time.monotonic() + _DEADLINE
        attacks = 0
        while self.running():
            assert time.monotonic() < end, "the study has not ended"
            if attacks >= _ATTACKS or len(self._known) == 0:
                self.learn() if self._dice.random() < 0.3 or not self._known else self.tick()
                attacks = 0
            else:
                self._dice.choice([self.attack_tick, self.attack_tick, self.attack_client])()
                attacks += 1
            time.sleep(0.05)
        note = self.folder / "bin" / "hit"
        names = {fault: kind for kind, fault in _FAULTS.items()}
        for line in note.read_text().splitlines() if note.exists() else ():
            fault, _, command = line.partition(": ")
            self.kills[f"{names[fault]}: {command}"] += 1

    def settle(self) -> None:
        """Wait until no process of the study runs, so that late starts are seen, too."""
        end = time.monotonic() + 60
        while running_under(self.root):
            assert time.monotonic() < end, "processes of the study still run"
            time.sleep(0.1)


def play(folder: Path, kind: str, seed: int) -> Row:
    """Play one trial in this process."""
    began, row = time.monotonic(), Row(seed)
    try:
        trial = Trial(folder, kind, seed)
        trial.create()
        trial.drive()
        trial.settle()
        row.kills = dict(trial.kills)
        row.outcome = asdict(judge(trial.root, trial.ledger, {}))
    except Exception:  # noqa: BLE001 - the other trials are to be heard, too
        row.error = traceback.format_exc()
    row.seconds = time.monotonic() - began
    return row


def play_apart(folder: Path, kind: str, seed: int) -> Row:
    """Play one trial in a process of its own."""
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "tools.kill_matrix.matrix", str(folder), kind, str(seed)]
    repository = Path(__file__).parents[2]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, cwd=repository, timeout=_DEADLINE + 120, check=False
        )
    except subprocess.TimeoutExpired:
        return Row(seed, error="the trial hangs")
    if done.returncode:
        return Row(seed, error=done.stderr)
    row = Row(**json.loads(done.stdout))
    if row.good:
        shutil.rmtree(folder, ignore_errors=True)
    return row


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(play(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))))
