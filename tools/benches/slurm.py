"""The cost of a tick with jobs in Slurm."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.core.model import Settings
from maestro_es.creation.create import create_study
from maestro_es.poller.tick import tick
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from maestro_es.study_file.plan import plan_study
from tools.benches.studies import sleeping_study
from tools.benches.timing import MAESTRO_ES, call, median
from tools.slurm_cluster.cluster import Cluster
from tools.slurm_cluster.configuration import Options
from tools.slurm_cluster.packages import why_not
from tools.testbed.processes import wait_for

#: A job in a partition that is down waits, so that what is timed is not what the jobs do.
WAITING = "PartitionName=waiting Nodes=ALL MaxTime=INFINITE State=DOWN"
MESSAGE_TIMEOUT = 2

#: How often submissions are compared. They differ by a third from one time to the next: so much of it is Slurm's work.
TURNS = 11

#: Slurm's commands, and one that notes what it was called with, a word a line, before it does the same.
COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo")
RECORDING = """#!/bin/sh
for word in {name} "$@"; do echo "$word"; done >>{notes}
echo >>{notes}
exec {real} "$@"
"""


def bench(place: Path) -> None:
    """The cost of a tick with jobs in Slurm."""
    if reason := why_not(os.geteuid()):
        print(f"slurm   not run: {reason}")
        return
    cluster = Cluster.start(place / "c", Options(message_timeout=MESSAGE_TIMEOUT, conf=(WAITING,)))
    (place / "bin").mkdir()
    for name in COMMANDS:
        (place / "bin" / name).symlink_to(str(shutil.which(name)))
    os.environ.update(cluster.environment(), PATH=f"{place}/bin:{os.environ['PATH']}")
    try:
        for partition in ("waiting", "debug"):
            bench_submissions(place, partition, cluster)
            cluster.cancel_all()
        bench_in_flight(place, cluster)
        bench_silence(place, cluster)
    finally:
        cluster.stop()


def make_jobs(root: Path, partition: str, count: int) -> None:
    """Create a study with this number of jobs `true` that are not submitted yet."""
    spec = root.with_suffix(".yaml")
    spec.write_text(
        "description: {name: jobs, description: d}\n"
        f"batch: {{type: slurm, host: here, bank: mine, queue: {partition}}}\n"
        "study: [{name: a, description: d, run: {cmd: 'true # $(N)', procs: 1}}]\n"
        f"global.parameters: {{N: {{values: [{', '.join(map(str, range(count)))}], label: N.%%}}}}\n"
    )
    create_study(plan_study(spec, SCHEDULERS, output=root, timestamp="now"), Settings(), Runtime())


def tick_process(root: Path, code: int = 0) -> None:
    """Run one tick as a process."""
    done = subprocess.run([*MAESTRO_ES, "tick", root], capture_output=True, check=False)
    assert done.returncode == code, done


def bench_submissions(place: Path, partition: str, cluster: Cluster) -> None:
    """100 ready steps submitted by one tick, against sbatch for each of the scripts that it has written."""
    count = 100
    processes, passes = [], []
    for turn in range(TURNS):
        first, second = place / f"{partition}{turn}", place / f"{partition}{turn}-pass"
        loop = f'for script in {first}/a/*/*.slurm.sh; do sbatch -D "${{script%/*}}" "$script"; done'
        make_jobs(first, partition, count)
        process = once_done(cluster, partial(tick_process, first))
        make_jobs(second, partition, count)
        here = once_done(cluster, partial(tick_here, second))
        theirs = once_done(cluster, partial(call, "sh", "-c", loop))
        processes.append(process / theirs)
        passes.append(here / theirs)
        print(f"slurm   {count} jobs, {partition}: tick {process:.2f} s, without Python's start {here:.2f} s, "
              f"sbatch {theirs:.2f} s: ratios {processes[-1]:.2f} and {passes[-1]:.2f}")  # fmt: skip
    print(f"slurm   {count} jobs, {partition}: median ratio {statistics.median(processes):.2f}, "
          f"without Python's start {statistics.median(passes):.2f} (goal 0.8)")  # fmt: skip


def once_done(cluster: Cluster, action: Callable[[], None]) -> float:
    """Return the duration of an action in seconds. It begins when all jobs that can run have ended."""
    time = median(action, 1)
    wait_for(lambda: not cluster.run("squeue", "--noheader", "--partition=debug").stdout)
    return time


def tick_here(root: Path) -> None:
    """Run one tick in this process."""
    with Session(root) as study:
        tick(study)


def bench_in_flight(place: Path, cluster: Cluster) -> None:
    """A tick with 1,000 jobs in the queue, against the queries that it makes and a tick with nothing to do."""
    count = 1000
    make_jobs(place / "queued", "waiting", count)
    tick_process(place / "queued")
    queries = recorded_queries(place, partial(tick_process, place / "queued"))
    waiting = cluster.run("squeue", "--noheader", "--states=PENDING").stdout.count("\n")
    assert waiting == count, f"{waiting} jobs wait"
    nothing = sleeping_study(place)
    ours = median(partial(tick_process, place / "queued"), 21)
    idle = median(partial(tick_process, nothing), 21)

    def ask() -> None:
        for query in queries:
            call(*query)

    asked = median(ask, 21)
    call(*MAESTRO_ES, "cancel", "-y", nothing)
    print(f"slurm   {count} jobs in flight: tick {ours * 1e3:.0f} ms, {len(queries)} queries {asked * 1e3:.0f} ms, "
          f"tick with nothing to do {idle * 1e3:.0f} ms: ratio {ours / (asked + idle):.2f} (goal 1.5)")  # fmt: skip


def recorded_queries(place: Path, action: Callable[[], None]) -> list[list[str]]:
    """Return the commands of Slurm's that an action calls; `COMMANDS` are links that ours replace meanwhile."""
    notes = place / "queries"
    for name in COMMANDS:
        link = place / "bin" / name
        real = link.readlink()
        link.unlink()
        link.write_text(RECORDING.format(name=name, notes=notes, real=real))
        link.chmod(0o755)
    action()
    for name in COMMANDS:
        (place / "bin" / name).unlink()
        (place / "bin" / name).symlink_to(str(shutil.which(name)))
    return [query.split("\n") for query in notes.read_text().split("\n\n") if query]


def bench_silence(place: Path, cluster: Cluster) -> None:
    """A tick while slurmctld is dead: what it takes beyond the time that Slurm's own commands wait for it."""
    cluster.kill("slurmctld")
    ours = median(partial(tick_process, place / "queued", 75), 3)
    asked = median(lambda: subprocess.run(["squeue"], capture_output=True, check=False), 3)
    print(f"slurm   slurmctld is dead: tick {ours:.2f} s, squeue {asked:.2f} s, MessageTimeout {MESSAGE_TIMEOUT} s: "
          f"{ours - MESSAGE_TIMEOUT:+.2f} s (goal 1)")  # fmt: skip
