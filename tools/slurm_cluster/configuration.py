"""The configuration of a cluster for tests: its options, and the files that its daemons read.

It is for Slurm 22.05 of Debian 12. Some settings are necessary but not obvious. AccountingStoragePass is the socket of
the cluster's own munged. A node may have more CPUs than the machine (config_overrides). A credential expires soon
(AuthInfo), because otherwise a requeued job waits for 120 s. With NoInAddrAny, daemons listen only on the address of
their host name. (slurmdbd does so too, but this is undocumented.) A slurmd refuses to start without cgroups. With
cgroup/v1, it does not look for them unless it needs them (--oom).
"""

from __future__ import annotations

import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from tools.slurm_cluster.daemons import ClusterError

Value = TypeVar("Value")


def _option(default: Value, words: str) -> Value:
    value: Value = field(default=default, metadata={"help": words})
    return value


@dataclass(frozen=True)
class Options:
    """The options of a cluster. Times are in seconds."""

    accounting: bool = _option(default=False, words="with slurmdbd and MariaDB, so that sacct works")
    nodes: int = _option(2, "how many, called n1, n2 ...")
    cpus: int = _option(64, "that each node claims to have; with 1 GiB for each")
    min_job_age: int = _option(300, "how long squeue and scontrol still know a job that has ended")
    kill_wait: int = _option(1, "between SIGTERM and SIGKILL to a job")
    slurmd_timeout: int = _option(300, "until a node that does not answer is down")
    message_timeout: int = _option(10, "that commands wait for a slurmctld that does not answer")
    cred_expire: int = _option(10, "at least, until a requeued job runs again")
    ctld_speed: float = _option(1.0, "how fast slurmctld's clock runs: at 20 a job with --time=1 is TIMEOUT after "
                                "some 5 s, but the times that Slurm shows are nonsense")  # fmt: skip
    oom: bool = _option(default=False, words="jobs that need more than --mem are OUT_OF_MEMORY (needs cgroup v1)")
    scheduler_parameters: str = _option("", "more SchedulerParameters")
    conf: tuple[str, ...] = _option((), "a line KEY=VALUE of slurm.conf, in place of ours; may be given again")
    debug: str = _option("info", "how much the daemons log")


class Ports(NamedTuple):
    """The ports of the daemons, on the loopback address."""

    slurmctld: int
    slurmdbd: int
    slurmds: list[int]


SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports.slurmctld}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={options.cred_expire}
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/slurmctld
SlurmdSpoolDir={folder}/slurmd-%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmctldDebug={options.debug}
SlurmdDebug={options.debug}
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
PropagateResourceLimits=NONE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,bf_resolution=1,batch_sched_delay=0,sched_min_interval=0{scheduler}
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1024
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MaxJobCount=100000
MaxArraySize=20001
MinJobAge={options.min_job_age}
KillWait={options.kill_wait}
InactiveLimit=0
CompleteWait=0
MessageTimeout={options.message_timeout}
SlurmctldTimeout=30
SlurmdTimeout={options.slurmd_timeout}
ReturnToService=2
TreeWidth=64
SlurmdParameters=config_overrides
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL
PartitionName=lowrequeue Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
"""

ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports.slurmdbd}
AccountingStoragePass={folder}/munge/socket
AccountingStoreFlags=job_comment,job_script,job_env
JobCompType=jobcomp/none
"""

NO_ACCOUNTING = """\
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.log
"""

NODE = "NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory}\n"

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
CommunicationParameters=NoInAddrAny
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
DebugLevel={debug}
CommitDelay=0
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""

CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
ConstrainDevices=no
"""


def write_configuration(folder: Path, options: Options, host: str, ports: Ports) -> None:
    """Write all files that the daemons read."""
    etc = folder / "etc"
    (etc / "slurm.conf").write_text(slurm_conf(folder, options, host, ports))
    (etc / "cgroup.conf").write_text(CGROUP_CONF)
    if options.accounting:
        text = SLURMDBD_CONF.format(folder=folder, host=host, port=ports.slurmdbd, debug=options.debug)
        (etc / "slurmdbd.conf").touch(0o600)  # slurmdbd refuses a file that others can read
        (etc / "slurmdbd.conf").write_text(text)
    (folder / "munge" / "key").touch(0o600)
    (folder / "munge" / "key").write_bytes(secrets.token_bytes(128))


def slurm_conf(folder: Path, options: Options, host: str, ports: Ports) -> str:
    """Return the text of slurm.conf."""
    scheduler = f",{options.scheduler_parameters}" if options.scheduler_parameters else ""
    text = (SLURM_CONF + (ACCOUNTING if options.accounting else NO_ACCOUNTING)).format(
        folder=folder, options=options, host=host, ports=ports, scheduler=scheduler
    )
    nodes = [
        NODE.format(number=number, host=host, port=port, cpus=options.cpus, memory=options.cpus * 1024)
        for number, port in enumerate(ports.slurmds, 1)
    ]
    oom = ("TaskPlugin=task/cgroup", "JobAcctGatherParams=NoOverMemoryKill") if options.oom else ()
    for line in (*oom, *options.conf):
        text = _with_line(text, line)
    return text + "".join(nodes)


def _with_line(text: str, line: str) -> str:
    """Replace the line of a key by KEY=VALUE. Lines for partitions and nodes are added."""
    key = line.partition("=")[0].strip().lower() + "="
    lines = text.splitlines()
    if key not in ("nodename=", "partitionname="):
        lines = [old for old in lines if not old.lower().startswith(key)]
    return "\n".join([*lines, line, ""])


def host_name() -> tuple[str, list[str]]:
    """Return the host name for the daemons, and the command under which they must run.

    Daemons listen on the address of their host name. If this is not the loopback address, they get a UTS namespace in
    which the host is called localhost.
    """
    name = socket.gethostname()
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET)}
    except OSError:
        addresses = set()
    if addresses and all(address.startswith("127.") for address in addresses):
        return name.split(".")[0], []
    prefix = ["unshare", "--uts", "sh", "-c", 'hostname localhost && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        raise ClusterError(
            f"the host name {name} does not lead to a loopback address, and unshare --uts is not allowed here: "
            f"add '127.0.0.1 {name}' to /etc/hosts"
        )
    return "localhost", prefix


def free_ports(nodes: int) -> Ports:
    """Choose free ports, below those that the kernel gives to clients."""
    found: list[int] = []
    for _ in range(2000):
        port = 10000 + secrets.randbelow(20000)
        if port not in found and _is_free(port):
            found.append(port)
        if len(found) == nodes + 2:
            return Ports(found[0], found[1], found[2:])
    raise ClusterError("found no free ports on the loopback address")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
