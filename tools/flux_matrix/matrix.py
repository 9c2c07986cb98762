"""Kills ticks, and the commands of Flux that they call, on entry to their system calls.

Each trial is a study on one shared instance. Its steps sign a ledger when they begin and when they end, and hold a
lock in between. Ticks drive the study to its end. Most of them are killed, or a command that they call is killed.
Afterwards the ledger is compared with the log, as by `tools/crash-matrix`.

A trial first traces ticks that are left alone, to learn which calls they make. `strace -e inject` then sends SIGKILL
on entry to the N-th call of one name. A kill counts only if its end by SIGKILL was observed.
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

import maestro_es.adapters.flux.adapter  # noqa: F401 - otherwise each tick loads it, and those calls are counted
from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core.model import StudyStatus
from maestro_es.creation.create import create_study
from maestro_es.drivers.cron_tick import TRY_AGAIN
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from maestro_es.study_file.plan import plan_study
from tools.crash_matrix import ticks
from tools.crash_matrix.calls import Point
from tools.crash_matrix.study import BEGIN, END, SETTINGS, judge
from tools.crash_matrix.ticks import How
from tools.testbed.processes import running_under

TICK, CLIENT = "tick", "client"

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

#: A script that replaces ``flux``. It takes the file of a point from its directory and kills the command there.
_CLIENT = """#!/bin/sh
here={folder}
for found in "$here"/points/*; do
    name=${{found##*/}} call=${{found##*.}}
    case "$1-$2" in ${{name%%.*}}*) ;; *) continue ;; esac
    rm "$found" 2>/dev/null || continue
    number=${{name#*.}} number=${{number%%.*}}
    strace -f -q -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$number {real} "$@"
    code=$?
    [ $code != 137 ] || echo "$1 $2 $call $number" >>"$here/killed"
    [ $code != 137 ] || kill -KILL $$
    exit $code
done
exec {real} "$@"
"""

_STUDY = """
description: {{name: matrix, description: a study of the matrix}}
batch: {{type: flux, host: here, bank: mine, queue: debug}}
study:
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


def study_file(ledger: Path, seconds: float = 0.3) -> str:
    """Return a study of eighteen steps: nested ones, others, local ones, and one that times out and is restarted."""
    begin, end = BEGIN.format(ledger=ledger), END.format(ledger=ledger)
    cmd = f"{begin}; sleep {seconds:g}; {end}"
    steps = []

    def add(name: str, *parents: str, command: str = cmd, **run: object) -> None:
        keys = {"cmd": command, **({"depends": list(parents)} if parents else {}), **run}
        steps.append(f"  - {json.dumps({'name': name, 'description': 'd', 'run': keys})}\n")

    add("pre")
    for number in range(4):
        add(f"chain{number}", f"chain{number - 1}" if number else "pre", procs=1, nested=number == 1)
    for number in range(8):
        add(f"fan{number}", "pre", procs=1, nested=number == 0)
    add("join", *(f"fan{number}" for number in range(8)), procs=2, nodes=1, nested=False)
    add("side")
    slow = f"{begin}; sleep 1000"
    add("slow", "pre", command=slow, restart=cmd, walltime="00:00:03", procs=1, nested=False)
    add("post", "join", "slow", "chain3", "side", procs=1, nested=False)
    return _STUDY.format() + "".join(steps)


class Trial:
    """One study, whose ticks are attacked."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.root = folder / "study"
        self.ledger = folder / "ledger"
        self.kills: Counter[str] = Counter()
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._known: dict[str, int] = {}
        (folder / "bin" / "points").mkdir(parents=True)
        real = shutil.which("flux")
        script = folder / "bin" / "flux"
        script.write_text(_CLIENT.format(folder=folder / "bin", real=real))
        script.chmod(0o755)
        os.environ["MAESTRO_ES_HOME"] = str(folder / "home")
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"

    def create(self, seconds: float = 0.3) -> None:
        """Create the study."""
        spec = self.folder / "study.yaml"
        spec.write_text(study_file(self.ledger, seconds))
        create_study(plan_study(spec, SCHEDULERS, output=self.root, timestamp=""), SETTINGS, Runtime())

    def running(self) -> bool:
        """Return whether the study has not ended."""
        with Session(self.root) as study:
            return study.status is StudyStatus.RUNNING

    def tick(self) -> None:
        """Run a tick to its end."""
        code = ticks.wait(ticks.start(self.root, How()))
        assert code in (0, 1, TRY_AGAIN), code

    def learn(self) -> None:
        """Run a tick under a tracer, to learn how often it makes which calls."""
        _, calls = ticks.trace(self.root, How(), self.folder / "trace")
        for call, number in Counter(call.point.call for call in calls).items():
            self._known[call] = max(number, self._known.get(call, 0))

    def attack_tick(self) -> None:
        """Kill a tick on entry to one of its calls."""
        call = self._dice.choice([call for call in _CALLS if call in self._known])
        number = self._dice.randint(1, self._known[call])
        inject = "signal=KILL:when={when}"
        attacked = ticks.attack(self.root, How(), self.folder / "trace", Point(call, number, "", when=number), inject)
        assert attacked.code in (0, 1, TRY_AGAIN, -9), attacked.code
        if attacked.code < 0:
            self.kills[f"{TICK}: {call}"] += 1

    def attack_client(self) -> None:
        """Kill the next command of a kind on entry to one of its calls."""
        command = self._dice.choice(["job-submit"] * 6 + ["job-list", "ping", "batch", "submit"])
        call = self._dice.choice(_OF_CLIENT)
        number = self._dice.randint(1, 12)
        (self.folder / "bin" / "points" / f"{command}.{number}.{call}").touch()
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
        note = self.folder / "bin" / "killed"
        for line in note.read_text().splitlines() if note.exists() else ():
            self.kills[f"{CLIENT}: flux {line.rpartition(' ')[0]}"] += 1

    def settle(self) -> None:
        """Wait until no process of the study runs, so that late starts are seen, too."""
        end = time.monotonic() + 60
        while running_under(self.root):
            assert time.monotonic() < end, "processes of the study still run"
            time.sleep(0.1)


def play(folder: Path, seed: int) -> Row:
    """Play one trial in this process."""
    began, row = time.monotonic(), Row(seed)
    try:
        trial = Trial(folder, seed)
        trial.create()
        trial.drive()
        trial.settle()
        row.kills = dict(trial.kills)
        row.outcome = asdict(judge(trial.root, trial.ledger, {}))
    except Exception:  # noqa: BLE001 - the other trials are to be heard, too
        row.error = traceback.format_exc()
    row.seconds = time.monotonic() - began
    return row


def play_apart(folder: Path, seed: int) -> Row:
    """Play one trial in a process of its own."""
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "tools.flux_matrix.matrix", str(folder), str(seed)]
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
    sys.stdout.write(json.dumps(asdict(play(Path(sys.argv[1]), int(sys.argv[2])))))
