"""The list of the faults. Each function runs a study to its end while the fault happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.crash_matrix import cluster_faults, disk_faults, host_faults, kills
from tools.crash_matrix.calls import Point
from tools.crash_matrix.trial import Trial
from tools.slurm_cluster.configuration import Options

#: Two kinds of clusters. The clock of the first is fast, so that a job of a minute times out in two seconds. But then
#: Slurm's own timeouts are short, too. On a busy machine they expire, and Slurm requeues jobs that are starting. The
#: clock of the second is right.
FAST = Options(ctld_speed=30, kill_wait=60, min_job_age=9000, message_timeout=90, conf=("BatchStartTimeout=3600",))
RIGHT = Options(message_timeout=2)
DYING = Options(message_timeout=2, slurmd_timeout=5)
ACCOUNTS = Options(accounting=True, message_timeout=2)
FORGETFUL = Options(accounting=True, min_job_age=2, message_timeout=2)


@dataclass(frozen=True)
class Fault:
    """A fault: its description, its function, and how often it is tried in a long run.

    Faults that do not touch the cluster share one. If `alone`, the fault needs its own cluster. `lanes` is how many of
    its studies run at the same time. A fault of a system call is tried at each of these `calls` of each scene.
    """

    words: str
    play: Callable[[Trial], None]
    times: int
    options: Options = FAST
    alone: bool = False
    lanes: int = 1
    seconds: float = 0.3
    calls: Callable[[Point], bool] | None = None


#: The faults that are tried at each system call on other schedulers, too.
EVERYWHERE = ("tick-killed", "client-killed")

#: Not a fault, but a survey of the points at which a tick can be killed.
SURVEY = "survey"

FAULTS: dict[str, Fault] = {
    SURVEY: Fault("none", kills.survey, 0),
    "tick-killed": Fault("the tick is killed on entry to a system call", kills.tick_at_every_call, 5000, lanes=6,
                         calls=kills.is_of_tick),
    "tick-killed-anytime": Fault("the tick is killed at a random moment", kills.tick_at_any_time, 800),
    "call-fails": Fault(
        "a call that creates, removes or syncs a file fails: no space, read-only, input/output error",
        disk_faults.call_fails, 1000, lanes=2, calls=disk_faults.changes_files,
    ),
    "log-fails": Fault(
        "from some call onwards, every write or sync of the log fails: no space, input/output error",
        disk_faults.log_fails, 1000, lanes=2, calls=disk_faults.writes_log,
    ),
    "client-killed": Fault("the command that submits is killed on entry to a system call", kills.client_at_a_call, 400,
                           calls=lambda point: not kills.is_of_tick(point)),
    "two-ticks": Fault("several ticks run at once, without a lock", host_faults.ticks_at_once, 300),
    "ticks-overlap": Fault(
        "ticks with the lock are started while earlier ticks still run or hang, as cron does",
        host_faults.ticks_overlap, 300,
    ),
    "tick-frozen": Fault(
        "the tick hangs longer than the grace time, between the request of a submission and its record",
        host_faults.frozen, 60,
    ),
    "reboot": Fault("the login node reboots", host_faults.reboot, 40, seconds=0.6),
    "runner-killed": Fault("the runner of a local step is killed", host_faults.local_runner_killed, 40, seconds=0.8),
    "host-error": Fault(
        "reading /proc about a local step returns an error", host_faults.host_error, 200, seconds=0.8
    ),
    "batch-script-killed": Fault("the runner of a job is killed", host_faults.job_runner_killed, 24, seconds=1.2),
    "report-lost": Fault("the report of a step's end is lost", host_faults.report_lost, 100),
    "inbox-full": Fault("the file system of the inbox is full", disk_faults.inbox_full, 24, RIGHT, alone=True),
    "log-full": Fault("the file system of the log is full", disk_faults.log_full, 24, RIGHT, alone=True),
    "log-read-only": Fault("the login node sees the study read-only", disk_faults.log_read_only, 24),
    "cancelled-by-hand": Fault("a job is cancelled by hand", cluster_faults.cancelled_by_hand, 24, seconds=0.8),
    "requeued": Fault("a job is requeued by hand, in spite of --no-requeue", cluster_faults.requeued, 40, seconds=0.8),
    "id-reused": Fault(
        "an acknowledged job is lost, and its id is reused for another job", cluster_faults.id_reused, 60
    ),
    "controller-killed": Fault(
        "slurmctld is killed just after it has acknowledged a job", cluster_faults.controller_killed, 40, RIGHT,
        alone=True,
    ),
    "controller-killed-accounts": Fault(
        "slurmctld loses jobs that the accounting still lists as pending",
        cluster_faults.controller_killed_with_accounts, 20, ACCOUNTS, alone=True,
    ),
    "controller-stopped": Fault(
        "slurmctld is stopped for a while", cluster_faults.controller_stopped, 20, RIGHT, alone=True
    ),
    "controller-frozen": Fault(
        "slurmctld hangs for a while", cluster_faults.controller_frozen, 20, RIGHT, alone=True
    ),
    "slurmd-killed": Fault(
        "slurmd is killed while jobs run, and is started again", cluster_faults.slurmd_killed, 20, RIGHT, alone=True,
        seconds=0.8,
    ),
    "slurmd-dead": Fault(
        "slurmd is killed for good, and its node is reported as failed while the job keeps running",
        cluster_faults.slurmd_dead, 20, DYING, alone=True,
    ),
    "node-down": Fault(
        "an administrator sets a node down while jobs run on it", cluster_faults.node_down, 20, RIGHT, alone=True,
        seconds=0.8,
    ),
    "accounting-down": Fault(
        "slurmdbd is down when the queue no longer lists a job that has no report", cluster_faults.accounting_down, 20,
        FORGETFUL, alone=True,
    ),
}  # fmt: skip
