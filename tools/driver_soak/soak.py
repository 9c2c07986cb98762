"""A study that one driver advances, while its ticking processes are killed and the name of the host changes.

Each driver is as real as this machine allows. cron is Debian's, in namespaces of its own, with a clock that is 60
times as fast. The jobs of `drive` and of the scrontab are those of a real Slurm. No systemd of a user and no scrontab
was at hand. So the files that `cron install` has written are read and carried out here. Runners request no ticks.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.slurm_cluster.cluster import Cluster
from tools.testbed.processes import arguments, running_under

#: Each step signs a ledger with its token, and takes up to half a second.
SPEC = """\
description: {{name: soak, description: many short steps}}
{batch}
study:
- name: part
  description: d
  run: {{cmd: "echo $MAESTRO_ES_TOKEN >>{ledger}; sleep 0.$(( $(N) % 5 ))"{more}}}
- name: last
  description: d
  run: {{cmd: "echo $MAESTRO_ES_TOKEN >>{ledger}", depends: [part_*]{more}}}
global.parameters:
    N: {{values: [{values}], label: N.%%}}
"""
_BATCH = "batch: {type: slurm, host: soak, bank: soak, queue: debug}"
_JOB = ', nodes: 1, procs: 1, walltime: "10:00", args: {mem: "10"}'

#: The share of ticks that are killed, within this time; and the life of a longer process. In seconds.
_SHARE, _TICK, _LIFE = 0.5, 0.3, (1.0, 6.0)

#: A host has this number of names.
_HOSTS = 3

#: Debian's cron in namespaces, with private crontabs.
_CRON = r"""
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1730,gid="$(stat -c %g /var/spool/cron/crontabs)" tmpfs /var/spool/cron/crontabs
mount -t tmpfs tmpfs /etc/cron.d
mount --bind /dev/null /etc/crontab
"$0" -m maestro_es cron install
LD_PRELOAD=$1 FAKETIME='+0 x60' cron -f &
while :; do for name in host0 host1 host2; do hostname $name; sleep 3; done; done
"""


@dataclass
class Result:
    """The result of one driver. `twice` counts tokens that have run more than once."""

    driver: str
    seconds: float = 0.0
    killed: int = 0
    hosts: int = 0
    attempts: int = 0
    twice: int = 0
    put_back: int = 0
    faults: list[str] = field(default_factory=list)


class Soak:
    """One study in a folder, with a home of its own."""

    def __init__(self, folder: Path, driver: str, steps: int, seed: int, cluster: Cluster | None) -> None:
        self.folder = folder
        self.study, self.ledger = folder / "study", folder / "ledger"
        self.driver, self.steps, self.cluster = driver, steps, cluster
        self.dice = random.Random(seed)  # noqa: S311 - a soak can be repeated
        self.killed = 0
        self._turn = 0
        self.environment = {
            **(cluster.environment() if cluster else os.environ),
            "MAESTRO_ES_HOME": str(folder / "home"),
            "HOME": str(folder),
        }

    def run(self, seconds: float) -> Result:
        """Create the study, let the driver advance it for at most this time, and judge what has happened."""
        self._create()
        began = time.monotonic()
        stop = threading.Event()
        killer = threading.Thread(target=self._kill, args=(stop,))
        killer.start()
        try:
            with self._driven():
                while not self._ended() and time.monotonic() < began + seconds:
                    time.sleep(0.5)
        finally:
            stop.set()
            killer.join()
        return self._judge(time.monotonic() - began)

    # -- the study -------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        self.folder.mkdir(parents=True)
        by_jobs = self.driver == "scrontab"
        text = SPEC.format(
            batch=_BATCH if by_jobs else "",
            more=_JOB if by_jobs else "",
            ledger=self.ledger,
            values=", ".join(map(str, range(1, self.steps))),
        )
        (self.folder / "soak.yaml").write_text(text)
        environment = dict(self.environment)
        if self.driver == "drive":
            environment["SLURM_JOB_ID"] = "999999"  # a study that was started in a job that has ended
        few = ("--local-slots", "4", *(("--throttle", "4") if by_jobs else ()))  # so that it takes many ticks
        self._call("run", "-y", *few, "-o", self.study, self.folder / "soak.yaml", env=environment)
        alone = self.study / ".maestro-es/alone"
        alone.write_text("#!/bin/sh\n")
        alone.chmod(0o700)
        alone.rename(self.study / ".maestro-es/next-tick")

    def _call(
        self, *words: str | Path, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "maestro_es", *map(str, words)]
        done = subprocess.run(
            argv, env=env or self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        return done

    def _ended(self) -> bool:
        done = self._call("status", "--summary", "--json", self.study, check=False)
        return done.returncode in {0, 2} and json.loads(done.stdout)["study"]["status"] != "RUNNING"

    # -- what happens to it ----------------------------------------------------------------------------------------

    def _kill(self, stop: threading.Event) -> None:
        """Kill processes that tick: some ticks while they run, and each longer process after some seconds."""
        seen: set[int] = set()
        while not stop.wait(0.02):
            ticking = {*running_under(self.folder, _ticks)}
            for pid in ticking - seen:
                life = self._life(pid)
                if life is not None:
                    threading.Timer(life, self._end, (pid,)).start()
            seen = ticking

    def _end(self, pid: int) -> None:
        """Kill a process, if it still ticks."""
        if _ticks(arguments(pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
                self.killed += 1

    def _life(self, pid: int) -> float | None:
        """Return after how many seconds a process is killed (None: it is not)."""
        if b"tick" not in arguments(pid):
            return self.dice.uniform(*_LIFE)
        return self.dice.uniform(0, _TICK) if self.dice.random() < _SHARE else None

    def _host(self) -> list[str]:
        """Return the beginning of a command that runs on a host with the next name."""
        self._turn += 1
        return ["unshare", "--uts", "sh", "-c", f'hostname host{self._turn % _HOSTS} && exec "$@"', "sh"]

    @contextlib.contextmanager
    def _driven(self) -> Iterator[None]:
        """Run the driver in a thread, or cron in its namespaces."""
        if self.driver == "cron":
            library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
            private = [
                "unshare",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "/bin/sh",
                "-eu",
            ]
            argv = [*private, "-c", _CRON, sys.executable, str(library)]
            with subprocess.Popen(argv, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL) as cron:
                yield
                cron.kill()
            return
        again: Callable[[], None] = {
            "run --wait": lambda: self._once([sys.executable, "-m", "maestro_es", "run", "--wait", str(self.study)]),
            "drive": self._drive_job,
            "scrontab": self._scrontab_job(),
            "systemd": self._systemd_unit(),
        }[self.driver]
        stop = threading.Event()

        def repeat() -> None:
            while not stop.is_set():
                again()
                time.sleep(0.3)

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _once(self, argv: list[str], env: Mapping[str, str] | None = None) -> None:
        subprocess.run(
            [*self._host(), *argv], env={**self.environment, **(env or {})}, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    # -- drivers ---------------------------------------------------------------------------------------------------

    def _job(self, argv: list[str], *options: str) -> str:
        """Submit a job on the next node, whose host has the next name. Returns its id."""
        assert self.cluster
        script = self.folder / "job.sh"
        script.write_text(f"#!/bin/bash\nexec {shlex.join([*self._host(), *argv])}\n")
        words = ["sbatch", "--parsable", "-w", f"n{self._turn % 2 + 1}", "-o", str(self.folder / "job.out")]
        environment = {"PATH": self.environment["PATH"], "SLURM_CONF": str(self.cluster.conf)}
        kept = {name: self.environment[name] for name in ("MAESTRO_ES_HOME", "HOME")}
        done = subprocess.run(
            [*words, *options, str(script)],
            env={**environment, **kept},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def _drive_job(self) -> None:
        """Drive the study in a job, which is ended in one of three ways."""
        assert self.cluster
        job = self._job([sys.executable, "-m", "maestro_es", "drive", str(self.study)])
        end = time.monotonic() + self.dice.uniform(4, 12)
        while time.monotonic() < end and self._is_listed(job):
            time.sleep(0.2)
        self.cluster.run("scancel", *(("--full", "--signal=KILL") if self.dice.random() < 0.5 else ()), job)
        while self._is_listed(job):
            time.sleep(0.2)

    def _is_listed(self, job: str) -> bool:
        assert self.cluster
        return job in self.cluster.run("squeue", "-h", "-o", "%i").stdout.split()

    def _stand_ins(self, **programs: str) -> None:
        """Put programs that stand in for those of drivers onto the PATH."""
        (self.folder / "bin").mkdir(exist_ok=True)
        for name, text in programs.items():
            (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.folder / "bin" / name).chmod(0o755)
        self.environment["PATH"] = f"{self.folder / 'bin'}:{self.environment['PATH']}"

    def _scrontab_job(self) -> Callable[[], None]:
        if self.driver != "scrontab":
            return lambda: None
        table = self.folder / "scrontab"
        self._stand_ins(scrontab=f"case $1 in -l) cat {table} 2>/dev/null || {{ echo no crontab for me; exit 1; }};; "
                                 f'*) cat "$1" >{table};; esac')  # fmt: skip
        self._call("cron", "install", "--scrontab")
        lines = table.read_text().splitlines()
        command = next(line for line in lines if line.startswith("* * * * * ")).removeprefix("* * * * * ")
        options = [line.split(" ", 1)[1] for line in lines if line.startswith("#SCRON ")]
        flags = [word for option in options for word in shlex.split(option) if not word.startswith(("-o", "--output"))]

        def job() -> None:
            entry = self._job(["/bin/sh", "-c", command.replace(r"\%", "%")], *flags)
            while self._is_listed(entry):
                time.sleep(0.2)

        return job

    def _systemd_unit(self) -> Callable[[], None]:
        if self.driver != "systemd":
            return lambda: None
        self._stand_ins(systemctl=":", loginctl="echo Linger=yes")
        self._call("cron", "install", "--systemd")
        unit = (self.folder / ".config/systemd/user/maestro-es-tick.service").read_text().splitlines()

        def words(name: str) -> list[str]:
            values = [line.partition("=")[2] for line in unit if line.startswith(f"{name}=")]
            return [word.replace("%%", "%").replace("$$", "$") for value in values for word in shlex.split(value)]

        environment = dict(word.partition("=")[::2] for word in words("Environment"))
        return lambda: self._once(words("ExecStart"), environment)

    # -- the verdict -----------------------------------------------------------------------------------------------

    def _judge(self, seconds: float) -> Result:
        history = [json.loads(line) for line in self._call("history", self.study, "--json").stdout.splitlines()]
        tokens = self.ledger.read_text().split()
        summary = json.loads(self._call("status", "--summary", "--json", self.study, check=False).stdout)["study"]
        hosts = {event["data"]["host"] for event in history if event["type"] == "InvocationStarted"}
        failures = [event for event in history if event["type"] == "HardwareFailed"]
        result = Result(
            driver=self.driver,
            seconds=seconds,
            killed=self.killed,
            hosts=len(hosts),
            attempts=sum(event["type"] == "SubmissionRequested" for event in history),
            twice=len(tokens) - len(set(tokens)),
            put_back=len(failures),
        )
        states = summary["states"]
        if (summary["status"], states) != ("FINISHED", {"FINISHED": self.steps}):
            result.faults.append(f"it is {summary['status']}: {states}")
        if result.twice:
            result.faults.append(f"{result.twice} attempts have run twice")
        if any(event["type"] == "StepFailed" for event in history):
            result.faults.append("a step has failed")
        counted = [event for event in failures if event["data"]["number"]]
        if self.driver == "drive" and counted:
            result.faults.append(f"{len(counted)} ends with a job were counted")
        verified = self._call("verify", self.study, check=False)
        if verified.returncode:
            result.faults.append(verified.stdout + verified.stderr)
        return result


def _ticks(argv: list[bytes]) -> bool:
    """Return whether these are the arguments of a process that ticks."""
    ours = any(word.endswith((b"maestro_es", b"__main__.py")) for word in argv)
    return ours and bool({b"tick", b"drive", b"--wait"} & set(argv))
