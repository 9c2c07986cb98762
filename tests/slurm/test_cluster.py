"""The cluster does what other tests rely on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slurm.conftest import leave_out
from tools.slurm_cluster.cluster import MEMORY_CGROUPS, Cluster
from tools.slurm_cluster.configuration import Options
from tools.slurm_cluster.daemons import ClusterError
from tools.slurm_cluster.packages import why_not
from tools.testbed.processes import running_under, wait_for

PROGRAM = Path(__file__).parents[2] / "tools" / "slurm-cluster"
#: As /proc/net/tcp writes them.
LISTENING, LOOPBACK = "0A", "0100007F"


def _command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands as the program does: the environment says which cluster is meant."""
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60, check=False)


def _submit(folder: Path, text: str, *options: str, argument: str = "") -> str:
    """Submit a script, and return its job's id."""
    script = folder / "script.sh"
    script.write_text(f"#!/bin/sh\n{text}\n")
    done = _command("sbatch", "--parsable", "--output=/dev/null", f"--chdir={folder}", *options, script, argument)
    assert done.returncode == 0, done
    return done.stdout.strip()


def _squeue(form: str, *words: str) -> str:
    return _command("squeue", "--noheader", "--states=all", f"--format={form}", *words).stdout.strip()


def _wait_for_state(job: str, state: str) -> None:
    wait_for(lambda: _squeue("%T", f"--jobs={job}") == state)


def _ticks_on(folder: Path) -> bool:
    """Whether a job that ticks, by writing to a file, goes on."""

    def count() -> int:
        return (folder / "ticks").stat().st_size if (folder / "ticks").exists() else 0

    before = count()
    time.sleep(0.3)
    return count() > before


TICK = "while :; do echo >> ticks; sleep 0.05; done"


def test_a_job_runs_to_its_end(cluster, tmp_path):
    job = _submit(tmp_path, "echo done > done")
    _wait_for_state(job, "COMPLETED")
    assert (tmp_path / "done").read_text() == "done\n"


def test_a_job_that_exits_with_3_has_failed(cluster, tmp_path):
    _wait_for_state(_submit(tmp_path, "exit 3"), "FAILED")


def test_a_job_is_seen_by_its_script_while_it_waits_and_runs_and_when_it_has_ended(cluster, tmp_path):
    """Before 23.02, squeue also shows the arguments of the script."""
    waits = _submit(tmp_path, "true", "--hold", argument="token")
    runs = _submit(tmp_path, "sleep 100", argument="token")
    ended = _submit(tmp_path, "true", argument="token")
    _wait_for_state(runs, "RUNNING")
    _wait_for_state(ended, "COMPLETED")

    shown = _squeue("%i %T %o", f"--jobs={waits},{runs},{ended}").replace("script.sh token", "script.sh")
    assert sorted(shown.splitlines()) == [
        f"{waits} PENDING {tmp_path}/script.sh",
        f"{runs} RUNNING {tmp_path}/script.sh",
        f"{ended} COMPLETED {tmp_path}/script.sh",
    ]


def test_what_a_test_does_to_a_cluster_is_undone(cluster, tmp_path):
    _wait_for_state(_submit(tmp_path, TICK), "RUNNING")
    _submit(tmp_path, "true", "--hold")
    cluster.kill("slurmd-n2")
    cluster.freeze("slurmctld")

    cluster.recover()

    assert _command("squeue", "--noheader").stdout == ""
    assert _command("sinfo", "--noheader", "--partition=debug", "--format=%t %D").stdout == "idle 2\n"
    assert not _ticks_on(tmp_path)


def test_a_killed_slurmctld_is_out_of_reach_until_it_resumes(start_cluster, tmp_path):
    cluster = start_cluster(Options(message_timeout=2))
    cluster.kill("slurmctld")
    done = _command("squeue")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unable to contact slurm controller (connect failure)" in done.stderr

    cluster.resume("slurmctld")

    _wait_for_state(_submit(tmp_path, "true"), "COMPLETED")


def test_who_asks_a_frozen_slurmctld_waits_for_the_message_timeout(start_cluster):
    cluster = start_cluster(Options(message_timeout=2))
    cluster.freeze("slurmctld")
    began = time.monotonic()
    done = _command("squeue")
    took = time.monotonic() - began
    assert (done.returncode, done.stdout) == (1, "")
    assert "Socket timed out on send/recv operation" in done.stderr
    assert 1.5 < took < 8

    cluster.thaw("slurmctld")

    assert _command("squeue").returncode == 0


def test_a_job_whose_slurmd_is_killed_goes_on_while_slurm_says_that_it_has_failed(start_cluster, tmp_path):
    cluster = start_cluster(Options(nodes=1))
    job = _submit(tmp_path, TICK, "--no-requeue")
    _wait_for_state(job, "RUNNING")
    cluster.kill("slurmd-n1")
    assert _command("scontrol", "update", "nodename=n1", "state=down", "reason=test").returncode == 0
    _wait_for_state(job, "NODE_FAIL")
    wait_for(lambda: _ticks_on(tmp_path))

    cluster.stop()

    assert not _ticks_on(tmp_path)


def test_a_faster_clock_ends_a_job_that_takes_too_long_in_seconds(start_cluster, tmp_path):
    start_cluster(Options(ctld_speed=30))
    _wait_for_state(_submit(tmp_path, "sleep 100", "--time=1"), "TIMEOUT")


@pytest.mark.skipif(not MEMORY_CGROUPS.is_dir(), reason="the kernel has no cgroup v1, which --oom needs")
def test_a_job_that_needs_more_memory_than_it_asked_for_is_out_of_memory(start_cluster, tmp_path):
    start_cluster(Options(oom=True))
    eat = shlex.join([sys.executable, "-c", "bytearray(400_000_000)"])
    _wait_for_state(_submit(tmp_path, eat, "--mem=50"), "OUT_OF_MEMORY")


def test_accounting_knows_a_job_by_its_submit_line_after_a_while(accounting_cluster, tmp_path):
    job = _submit(tmp_path, "true", argument="token")

    def known() -> bool:
        # For some seconds the name is "allocation" and the line is empty, even of a job that is COMPLETED by then.
        line = _command("sacct", f"--jobs={job}", "--allocations", "--parsable2", "--format=State,JobName,SubmitLine")
        said = line.stdout.splitlines()[-1].split("|")
        return said[:2] == ["COMPLETED", "script.sh"] and said[2].endswith(f" {tmp_path}/script.sh token")

    wait_for(known)


def _exposed(pids: set[int]) -> list[str]:
    """Return the addresses other than loopback on which these processes listen, as the kernel writes them."""
    sockets = set()
    for pid in pids:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            sockets.add(os.readlink(entry.path))
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, state, inode = (line.split()[column] for column in (1, 3, 9))
            if state == LISTENING and f"socket:[{inode}]" in sockets:
                found.append(address)
    assert found  # the daemons do listen
    return [address for address in found if not address.startswith(LOOPBACK)]


def test_nobody_listens_beyond_the_loopback_address(accounting_cluster):
    assert _exposed({daemon.pid for daemon in accounting_cluster.daemons.values()}) == []


def test_a_stopped_cluster_leaves_no_process_and_can_be_resumed(tmp_path, start_cluster):
    cluster = start_cluster(Options())
    _wait_for_state(_submit(tmp_path, TICK), "RUNNING")
    assert running_under(cluster.folder)

    cluster.stop()

    assert running_under(cluster.folder) == []
    assert not _ticks_on(tmp_path)
    cluster.resume()
    cluster.wait_for_nodes()
    _wait_for_state(_submit(tmp_path, "true"), "COMPLETED")


def test_the_command_line_starts_shows_breaks_mends_and_stops_a_cluster(tmp_path):
    def program(*words: str) -> subprocess.CompletedProcess[str]:
        return _command(sys.executable, PROGRAM, words[0], "--dir", tmp_path, *words[1:])

    assert f"export SLURM_CONF={tmp_path}/etc/slurm.conf\n" in program("start", "--nodes=1", "--kill-wait=5").stdout
    try:
        assert "KillWait=5" in (tmp_path / "etc" / "slurm.conf").read_text()
        assert program("signal", "KILL", "slurmd-n1").returncode == 0
        assert program("status").returncode == 3
        assert program("resume").returncode == 0
        assert program("status").returncode == 0
        assert program("start").stderr.startswith("slurm-cluster: there is a cluster in ")
    finally:
        assert program("stop", "--remove").returncode == 0
    assert not tmp_path.exists()
    assert running_under(tmp_path) == []


def test_a_cluster_that_does_not_start_says_why_and_leaves_no_process(tmp_path):
    with pytest.raises(ClusterError, match=r"slurmctld ended at once:\n(.*\n)*.*NoSuchPlugin"):
        Cluster.start(tmp_path, Options(conf=("SchedulerType=sched/NoSuchPlugin",)))
    assert running_under(tmp_path) == []


def test_what_is_missing_is_named(tmp_path):
    assert why_not(0, path=str(tmp_path)).startswith("munged, slurmctld, slurmd, sbatch, ")


@pytest.mark.parametrize(("ci", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_where_there_is_no_slurm_tests_are_skipped_but_in_continuous_integration_they_fail(ci, outcome):
    with pytest.raises(outcome, match="NO SLURM HERE: munged not installed"):
        leave_out("munged not installed", ci=ci)
