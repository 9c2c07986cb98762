"""A real Slurm cluster for tests, which starts in a second and lives in one directory.

Configuration, keys, spool, database, logs and pids are all in that directory. The daemons listen only on the loopback
address, on their own ports. So several clusters can run at the same time. A cluster needs root and the packages of
`packages.py`, but no systemd. `tools/slurm-cluster` starts one by hand, and `conftest.py` has fixtures.

Tested with Slurm 22.05 of Debian 12.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tools.slurm_cluster.configuration import Options, Ports, free_ports, host_name, write_configuration
from tools.slurm_cluster.daemons import ClusterError, Daemon, deliver, descendants, step_daemons, wait
from tools.slurm_cluster.packages import PATH, first, why_not

#: The file of a cluster with its processes, and the data to start them again.
NOTES = "cluster.json"
#: Variables in a user's environment that change the behaviour of Slurm's commands.
PREFIXES = ("SLURM", "SBATCH", "SQUEUE", "SACCT", "SCANCEL", "SINFO", "SALLOC", "SRUN")
#: The maximum length of the path of a Unix socket.
LONGEST_FOLDER = 90
MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")


class Cluster:
    """A cluster in a directory. Its daemons are munged, mariadbd, slurmdbd, slurmctld, slurmd-n1, slurmd-n2 ..."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.oom = False
        self.daemons: dict[str, Daemon] = {}

    @classmethod
    def start(cls, folder: Path, options: Options | None = None) -> Cluster:
        """Start a cluster in an empty or new directory. Return when its nodes are idle."""
        cluster = cls(folder)
        cluster._prepare(options or Options())
        try:
            cluster.resume()
            cluster.wait_for_nodes()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @classmethod
    def load(cls, folder: Path) -> Cluster:
        """Return the cluster that another process has started in this directory."""
        cluster = cls(folder)
        try:
            notes = json.loads((cluster.folder / NOTES).read_text())
        except FileNotFoundError:
            raise ClusterError(f"no cluster in {folder}") from None
        cluster.oom = notes["oom"]
        cluster.daemons = {daemon["name"]: Daemon(**daemon) for daemon in notes["daemons"]}
        return cluster

    # -- for who uses it ---------------------------------------------------------------------------------------------

    @property
    def conf(self) -> Path:
        """The slurm.conf, for SLURM_CONF."""
        return self.folder / "etc" / "slurm.conf"

    def environment(self) -> dict[str, str]:
        """Return the environment in which Slurm's commands use this cluster."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
        return {**ours, "PATH": first(ours["PATH"]), "SLURM_CONF": str(self.conf)}

    def run(self, *words: str | Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command, such as squeue, against this cluster."""
        return subprocess.run(
            list(map(str, words)),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def wait_for_nodes(self) -> None:
        """Wait until each node with a slurmd can take jobs."""
        running = [name for name, daemon in self.daemons.items() if daemon.running()]
        here = {name.removeprefix("slurmd-") for name in running if name.startswith("slurmd-")}
        try:
            wait("nodes that take jobs", lambda: self._nodes(here) <= {"idle", "mix", "alloc"})
        except ClusterError as error:
            words = [daemon.last_words() for daemon in self.daemons.values()]
            raise ClusterError("\n".join([str(error), *filter(None, words)])) from None

    def recover(self) -> None:
        """Undo the changes of a test. Afterwards all daemons run, all jobs have ended, and all nodes are idle."""
        for daemon in self.daemons.values():
            daemon.thaw()
        self.resume()
        self.run("scontrol", "update", "nodename=ALL", "state=resume")
        self.cancel_all()
        wait("the end of all jobs", lambda: not self.run("squeue", "--noheader").stdout)
        self.wait_for_nodes()

    def cancel_all(self) -> None:
        """Kill running jobs, and cancel waiting ones."""
        self.run("scancel", "--quiet", "--full", "--signal=KILL", "--state=RUNNING")
        for state in ("PENDING", "RUNNING", "SUSPENDED"):
            self.run("scancel", "--quiet", f"--state={state}")

    # -- its daemons -------------------------------------------------------------------------------------------------

    def send(self, name: str, number: int) -> None:
        """Send a signal to a daemon, and wait until it has had its effect."""
        self._daemon(name).send(number)

    def kill(self, name: str) -> None:
        """Kill a daemon, as a crash does."""
        self.send(name, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """Freeze a daemon, so that all its clients wait."""
        self.send(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Continue a frozen daemon."""
        self.send(name, signal.SIGCONT)

    def resume(self, *names: str) -> None:
        """Start these daemons again, or all that are not running. Each listens before the next one is started."""
        for name in names or [name for name, daemon in self.daemons.items() if not daemon.running()]:
            try:
                self._daemon(name).start()
            finally:
                self._save()

    def stop(self, *, remove: bool = False) -> None:
        """End all processes of the cluster, including its jobs. With `remove`, delete the directory."""
        slurmds = [daemon for daemon in self.daemons.values() if daemon.name.startswith("slurmd-")]
        self._end_jobs(slurmds)
        for daemon in slurmds:
            daemon.ask_to_end()
        for daemon in reversed(self.daemons.values()):
            daemon.end()
        self._end_strays()
        if self.oom:
            self._remove_cgroups()
        if remove:
            shutil.rmtree(self.folder)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _prepare(self, options: Options) -> None:
        reason = why_not(os.geteuid())
        if reason:
            raise ClusterError(reason)
        if options.oom and not MEMORY_CGROUPS.is_dir():
            raise ClusterError(f"--oom needs cgroup v1: there is no {MEMORY_CGROUPS}")
        if any(char.isspace() or char in ",#%()" for char in str(self.folder)):
            raise ClusterError(f"a slurm.conf can't hold such a path: {str(self.folder)!r}")
        if len(os.fsencode(self.folder)) > LONGEST_FOLDER:
            raise ClusterError(f"too long for a socket in it, at most {LONGEST_FOLDER} bytes: {self.folder}")
        if (self.folder / NOTES).exists():
            raise ClusterError(f"there is a cluster in {self.folder} already: resume it, or remove it")
        host, prefix = host_name()
        ports = free_ports(options.nodes)
        for name in ("etc", "log", "munge", "mysql/tmp", "run", "slurmctld"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        write_configuration(self.folder, options, host, ports)
        self.oom = options.oom
        if options.accounting:
            install_database(self.folder)
        self.daemons = {daemon.name: daemon for daemon in make_daemons(self.folder, options, prefix, ports)}

    def _save(self) -> None:
        notes = {"oom": self.oom, "daemons": [asdict(daemon) for daemon in self.daemons.values()]}
        (self.folder / f"{NOTES}.new").write_text(json.dumps(notes, indent=1))
        (self.folder / f"{NOTES}.new").replace(self.folder / NOTES)

    def _daemon(self, name: str) -> Daemon:
        if name not in self.daemons:
            raise ClusterError(f"no {name} here, but {', '.join(self.daemons)}")
        return self.daemons[name]

    def _nodes(self, names: set[str]) -> set[str]:
        """Return the states of some nodes."""
        lines = self.run("sinfo", "--noheader", "--Node", "--partition=debug", "--format=%N %t").stdout.splitlines()
        states = dict(line.split() for line in lines)
        return {states.get(name, "unknown") for name in names}

    def _end_jobs(self, slurmds: list[Daemon]) -> None:
        """Let Slurm end its jobs, if it can."""
        controller = self.daemons.get("slurmctld")
        if controller and controller.running() and any(daemon.running() for daemon in slurmds):
            for daemon in (controller, *slurmds):
                daemon.thaw()
            self.cancel_all()
            with contextlib.suppress(ClusterError):
                wait("the end of all jobs", lambda: not any(step_daemons(self.folder)), 5)

    def _end_strays(self) -> None:
        """End the jobs of killed slurmds, because no other process does."""
        for step in list(step_daemons(self.folder)):
            for pid in (*descendants(step), step):
                deliver(pid, signal.SIGKILL)

    def _remove_cgroups(self) -> None:
        """Remove the empty memory cgroups that jobs have left."""
        for name in self.daemons:
            for folder, _, _ in os.walk(MEMORY_CGROUPS / name.replace("slurmd-", "slurm_"), topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def _mariadb_options(folder: Path) -> list[str]:
    return [
        "--no-defaults",
        "--user=root",
        f"--datadir={folder}/mysql/data",
        f"--tmpdir={folder}/mysql/tmp",  # a mariadbd that starts removes the files of others there
        f"--socket={folder}/mysql/socket",
        f"--pid-file={folder}/mysql/pid",
        "--skip-networking",
        "--skip-log-bin",
        "--performance-schema=OFF",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=32M",
        "--innodb-lock-wait-timeout=900",
        "--innodb-flush-log-at-trx-commit=0",
    ]


def install_database(folder: Path) -> None:
    """Create an empty database, in which root needs no password."""
    done = subprocess.run(
        [
            "mariadb-install-db", "--force", *_mariadb_options(folder), "--skip-test-db",
            "--auth-root-authentication-method=socket", "--auth-root-socket-user=root",
        ],
        env={"PATH": PATH}, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")


def make_daemons(folder: Path, options: Options, prefix: list[str], ports: Ports) -> Iterator[Daemon]:
    """Return the daemons of a cluster, in the order in which they must be started."""
    where = str(folder)
    munge = folder / "munge"
    files = [f"--socket={munge}/socket", f"--key-file={munge}/key", f"--pid-file={munge}/pid"]
    argv = ["munged", "--foreground", "--force", *files, f"--seed-file={munge}/seed"]
    yield Daemon("munged", argv, f"{munge}/socket", where)
    if options.accounting:
        database = f"{folder}/mysql/socket"
        yield Daemon("mariadbd", ["mariadbd", *_mariadb_options(folder)], database, where)
        settings = {"MYSQL_UNIX_PORT": database}
        yield Daemon("slurmdbd", [*prefix, "slurmdbd", "-D"], ports.slurmdbd, where, settings)
    clock = faster_clock(options.ctld_speed) if options.ctld_speed != 1 else {}
    yield Daemon("slurmctld", [*prefix, "slurmctld", "-D"], ports.slurmctld, where, clock)
    for number, port in enumerate(ports.slurmds, 1):
        yield Daemon(f"slurmd-n{number}", [*prefix, "slurmd", "-D", "-N", f"n{number}"], port, where)


def faster_clock(speed: float) -> dict[str, str]:
    """Return an environment that makes the clock of a process faster, but not that of its children."""
    (library,) = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    return {"LD_PRELOAD": library, "FAKETIME": f"+0 x{speed:g}", "FAKETIME_DONT_RESET": "1"}
