"""Real schedulers other than Slurm: Flux, OpenPBS, and volclava, a free descendant of LSF.

`SCHEDULERS` has the variables that name the directories where they are installed. The daemons of PBS and LSF listen on
all addresses, so they run in a network namespace of their own. Programs outside of it enter it by wrappers around the
commands. A test can also let a wrapper lose or double a submission.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tools.kill_matrix.flux_scheduler import FluxScheduler
from tools.kill_matrix.real_scheduler import RealScheduler
from tools.testbed.processes import wait_for

_START = 120.0

_WRAPPER = """#!/bin/sh
run() {{ nsenter -t {pid} -n -m env {settings} $TRACER {program} "$@"; }}
fault=$(cat '{folder}/fault' 2>/dev/null)
[ {submits} = yes ] || fault=
[ -z "$fault" ] || rm '{folder}/fault'
{drop}
case $fault in
    lost) run "$@" >/dev/null 2>&1; kill -9 $$ ;;
    twice) run "$@" >/dev/null; run "$@" ;;
    *) exec nsenter -t {pid} -n -m env {settings} $TRACER {program} "$@" ;;
esac
"""

_NAMESPACE = """
ip link set lo up && ip addr add 10.77.0.1/32 dev lo || exit 1
mkdir -p {folder}/etc.upper {folder}/etc.work
mount -t overlay overlay -o lowerdir=/etc,upperdir={folder}/etc.upper,workdir={folder}/etc.work /etc || exit 1
printf '127.0.0.1 localhost\\n10.77.0.1 %s\\n' "$(hostname)" >/etc/hosts
[ ! -d /var/run/postgresql ] || mount -t tmpfs -o mode=1777 tmpfs /var/run/postgresql || exit 1
"""


class Cluster(RealScheduler):
    """A scheduler in a network namespace of its own."""

    commands: ClassVar[tuple[str, ...]]
    submits: ClassVar[str]
    server: ClassVar[str]
    #: The daemon that watches the jobs of the node.
    node: ClassVar[str]
    #: The command that cancels a job.
    cancels: ClassVar[str]

    def __init__(self, prefix: Path, folder: Path) -> None:
        self.prefix, self.folder = prefix, folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        folder.chmod(0o755)
        script = (
            f"{_NAMESPACE.format(folder=folder)}{self.start_script()}\ntouch {folder}/started\nexec sleep infinity\n"
        )
        with (folder / "start.log").open("w") as log:
            self._holder = subprocess.Popen(
                ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for name in self.commands:
            self._wrap(name)

    def start(self) -> None:
        """Wait until the daemons answer. To create its files, PBS starts its server twice."""
        wait_for((self.folder / "started").exists, _START)
        wait_for(self.answers, _START)
        self.configure()

    @abstractmethod
    def start_script(self) -> str:
        """Return shell commands that start the daemons."""

    def configure(self) -> None:
        """Set what can be set only while the daemons run."""

    def settings(self) -> str:
        """Return the variables for the scheduler's commands, as arguments of env."""
        return ""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the scheduler is ready for jobs."""

    def _wrap(self, name: str) -> None:
        path = self.bin / name
        text = _WRAPPER.format(
            pid=self._holder.pid,
            settings=self.settings(),
            program=self.prefix / "bin" / name,
            folder=self.folder,
            submits="yes" if name == self.submits else "no",
            drop=self.dropped(name),
        )
        path.write_text(text)
        path.chmod(0o755)

    def dropped(self, name: str) -> str:
        """Return shell commands that remove arguments which this scheduler does not know."""
        return ":"

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the scheduler, as its administrator."""
        return subprocess.run(
            [str(self.bin / name), *arguments], capture_output=True, text=True, check=False, timeout=60
        )

    def cancel(self, job_id: str) -> int:
        return self.run(self.cancels, job_id).returncode

    def lose_node(self) -> None:
        for pid in self.pids(self.node):
            os.kill(pid, signal.SIGKILL)

    def repair_node(self) -> None:
        self.enter(self.node_script())

    @abstractmethod
    def node_script(self) -> str:
        """Return a shell command that starts the daemon of the node."""

    def enter(self, script: str) -> None:
        """Run a shell command in the namespace."""
        subprocess.run(
            ["nsenter", "-t", str(self._holder.pid), "-n", "-m", "env", *self.settings().split(), "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=60,
        )  # fmt: skip

    # -- the daemons ------------------------------------------------------------------------------------------------

    def pids(self, name: str = "") -> Iterator[int]:
        """Yield the processes in the namespace, or those with this name."""
        try:
            ours = os.readlink(f"/proc/{self._holder.pid}/ns/net")
        except OSError:
            return
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                try:
                    is_ours = os.readlink(place / "ns/net") == ours
                    if is_ours and (not name or (place / "comm").read_text().strip() == name):
                        yield int(place.name)
                except OSError:
                    continue

    def signal_server(self, number: signal.Signals) -> None:
        """Send a signal to the daemon that takes submissions."""
        [*found] = self.pids(self.server)
        assert found, f"no {self.server} runs"
        for pid in found:
            os.kill(pid, number)

    def restart_server(self) -> None:
        """Start the killed server again, and wait until it answers."""
        wait_for(self.answers, _START)

    def stop(self) -> None:
        """End everything in the namespace, and remove the files."""
        end = time.monotonic() + 10
        while (left := [pid for pid in self.pids() if pid != self._holder.pid]) and time.monotonic() < end:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)
        self._holder.kill()
        self._holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class PbsCluster(Cluster):
    """OpenPBS."""

    kind, submits, server, node, cancels = "pbs", "qsub", "pbs_server.bin", "pbs_mom", "qdel"
    submit_commands = ("qsub",)
    prefixes = ("PBS_",)
    commands = ("qsub", "qstat", "qselect", "qdel", "qmgr", "qrerun", "qalter")
    queue, head = "workq", "batch: {type: pbs, queue: workq}\n"
    killed = (*["qsub"] * 6, "qselect", "qstat")
    shortest = "00:00:04"

    def settings(self) -> str:
        return f"PBS_CONF_FILE={self.folder}/pbs.conf"

    def start_script(self) -> str:
        conf = [
            f"PBS_EXEC={self.prefix}", "PBS_HOME=/mnt/home", f"PBS_SERVER={os.uname().nodename}",
            "PBS_START_SERVER=1", "PBS_START_SCHED=1", "PBS_START_COMM=1", "PBS_START_MOM=1", "PBS_CORE_LIMIT=0",
            "PBS_SCP=/bin/false",
        ]  # fmt: skip
        (self.folder / "pbs.conf").write_text("\n".join([*conf, ""]))
        # No directory above PBS_HOME may be writable for others, as /tmp is.
        return f"""
mount -t tmpfs -o mode=755 tmpfs /mnt || exit 1
export PBS_CONF_FILE={self.folder}/pbs.conf PATH={self.prefix}/bin:{self.prefix}/sbin:$PATH
{self.prefix}/libexec/pbs_init.d start
"""

    def version(self) -> str:
        return f"OpenPBS {self.run('qstat', '--version').stdout.rpartition('=')[2].strip()}"

    def answers(self) -> bool:
        done = self.run("qstat", "-B")
        return done.returncode == 0 and "Active" in done.stdout

    def configure(self) -> None:
        host = os.uname().nodename
        for line in (
            "set server acl_roots = root@*", "set server flatuid = true", "set server scheduler_iteration = 1",
            "set server job_history_enable = true", f"set node {host} resources_available.ncpus = 40",
            "create queue small", "set queue small queue_type = Execution", "set queue small enabled = true",
            "set queue small started = true", "set queue small max_queued = [u:PBS_GENERIC=1]",
        ):  # fmt: skip
            self.run("qmgr", "-c", line)

    def batch(self, script: Path) -> str:
        return self.run("qsub", str(script)).stdout.strip()

    def queued(self) -> list[str]:
        return self.run("qselect").stdout.split()

    def requeue(self, job_id: str) -> None:
        assert self.run("qrerun", job_id).returncode != 0  # it is not rerunnable
        assert self.run("qalter", "-r", "y", job_id).returncode == 0
        assert self.run("qrerun", job_id).returncode == 0

    def node_script(self) -> str:
        return f"{self.prefix}/sbin/pbs_mom"

    def restart_server(self) -> None:
        self.enter(f"{self.prefix}/sbin/pbs_server")
        super().restart_server()


_LSB = {
    "lsb.params": """
Begin Parameters
DEFAULT_QUEUE = normal
MBD_SLEEP_TIME = 1
SBD_SLEEP_TIME = 1
JOB_ACCEPT_INTERVAL = 0
JOB_TERMINATE_INTERVAL = 3
End Parameters
""",
    "lsb.queues": """
Begin Queue
QUEUE_NAME = normal
PRIORITY = 30
End Queue
""",
    "lsb.hosts": """
Begin Host
HOST_NAME MXJ r1m pg ls tmp DISPATCH_WINDOW
default 40 () () () () ()
End Host
""",
    "lsb.users": """
Begin User
USER_NAME MAX_JOBS JL/P
End User
""",
}


class LsfCluster(Cluster):
    """volclava. It has no -rn, -Q, -G and -cwd, so its wrapper removes them."""

    kind, submits, server, node, cancels = "lsf", "bsub", "mbatchd", "sbatchd", "bkill"
    submit_commands = ("bsub",)
    prefixes = ("LSF_", "LSB_", "BSUB_")
    commands = ("bsub", "bjobs", "bkill", "lsid", "bhosts", "brequeue")
    queue, head = "normal", "batch: {type: lsf, host: here, bank: mine, queue: normal, launcher: mpirun}\n"
    killed = (*["bsub"] * 6, "bjobs", "bjobs", "lsid")
    shortest = "1"

    def settings(self) -> str:
        return f"LSF_ENVDIR={self.folder}/conf LSB_NTRIES=1"

    def batch(self, script: Path) -> str:
        done = subprocess.run(
            [str(self.bin / "bsub")],
            input=script.read_text(), capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.partition("<")[2].partition(">")[0]

    def queued(self) -> list[str]:
        return [line.split()[0] for line in self.run("bjobs", "-w").stdout.splitlines()[1:]]

    def requeue(self, job_id: str) -> None:
        assert self.run("brequeue", job_id).returncode == 0

    def node_script(self) -> str:
        return f"{self.prefix}/sbin/sbatchd"

    def dropped(self, name: str) -> str:
        if name != self.submits:
            return ":"
        return """
        for word; do
            shift
            case $skip in yes) skip=; continue ;; esac
            case $word in -rn) ;; -Q | -G | -cwd | -nnodes) skip=yes ;; *) set -- "$@" "$word" ;; esac
        done"""

    def start_script(self) -> str:
        conf = self.folder / "conf"
        shutil.copytree(self.prefix / "etc", conf)
        for name in ("log", "work/logdir"):
            (self.folder / name).mkdir(parents=True)
        places = {"LSF_CONFDIR": conf, "LSB_CONFDIR": conf, "LSF_ENVDIR": conf}
        places |= {"LSF_LOGDIR": self.folder / "log", "LSB_SHAREDIR": self.folder / "work"}
        kept = [
            line
            for line in (conf / "lsf.conf").read_text().splitlines()
            if line.partition("=")[0].strip() not in places
        ]
        lines = [f"{name}={value}" for name, value in places.items()]
        (conf / "lsf.conf").write_text("\n".join([*kept, *lines, "LSF_ROOT_REX=local", ""]))
        [shared] = conf.glob("lsf.cluster.*")
        text = shared.read_text().splitlines()
        made = []
        for line in text:
            made.append("Administrators = games" if line.startswith("Administrators") else line)
            if line.startswith("HOSTNAME"):
                made.append(f"{os.uname().nodename} IntelI5 linux 1 3.5 (cs)")
        shared.write_text("\n".join([*made, ""]))
        for name, content in _LSB.items():
            (conf / name).write_text(content)
        sbin = self.prefix / "sbin"
        return f"""
chown -R games {self.folder}/work
export LSF_ENVDIR={conf}
{sbin}/lim; sleep 1; {sbin}/res; {sbin}/sbatchd
"""

    def version(self) -> str:
        return self.run("lsid").stdout.partition(",")[0]

    def answers(self) -> bool:
        done = self.run("bhosts")
        return done.returncode == 0 and " ok " in done.stdout


#: The schedulers, with the variables that name their directories.
SCHEDULERS: dict[str, type[RealScheduler]] = {
    "MAESTRO_ES_FLUX": FluxScheduler, "MAESTRO_ES_OPENPBS": PbsCluster, "MAESTRO_ES_VOLCLAVA": LsfCluster,
}  # fmt: skip


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[RealScheduler]:
    """Have a scheduler of a kind in a new directory, to which the variables of this process lead.

    LookupError if it is not installed.
    """
    for variable, made in SCHEDULERS.items():
        if made.kind == kind and os.environ.get(variable):
            break
    else:
        raise LookupError(f"no {kind}: {', '.join(SCHEDULERS)} say where schedulers are installed")
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)  # daemons of other users look here
    before = dict(os.environ)
    scheduler = made(Path(os.environ[variable]), folder)
    try:
        scheduler.start()
        os.environ.update(scheduler.variables(), PATH=f"{scheduler.bin}:{os.environ['PATH']}")
        yield scheduler
    finally:
        scheduler.stop()
        os.environ.clear()
        os.environ.update(before)
